//! Tasks and results in every codec, from the client library to a worker and back, on both servers.

use crate::harness::{Working, on_both, worker};
use crate::support::{PATIENCE, Server, require, run};
use conveyor_client::payload::{Codec, ExecutionResult, Limits, Outcome as Went, TaskId, TaskPayload};
use conveyor_client::{Client, Error, ErrorKind, Job as Submitted, MayHaveRun, Options, TaskOutcome};
use conveyor_worker::{Function, Job, Outcome};
use std::process::Command;

/// Answers as its task asks.
async fn answer(task: TaskPayload, job: Job) -> ExecutionResult {
    job.progress(1, 2).await;
    match format!("{:?}", task.body) {
        body if body.contains("bad") => {
            ExecutionResult { task_id: None, ..ExecutionResult::error(0, "no luck") }
        }
        body if body.contains("worst") => ExecutionResult::critical("own", "no database"),
        _ => ExecutionResult { execution_message: Some(task.body), ..ExecutionResult::of(None, Went::Ok) },
    }
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("an outcome") })
}

async fn connect(server: &Server) -> Client {
    let options = Options::new([server.address.to_string()]);
    let options = Codec::ALL.into_iter().fold(options, |options, codec| options.codec(codec.as_str(), codec));
    Client::connect(options).await.unwrap()
}

async fn ask(client: &Client, function: &str, task: &TaskPayload) -> Result<TaskOutcome, Error> {
    client.submit_task(client.task(function.to_owned(), task)?).await?.outcome().await
}

#[test]
fn every_codec_carries_tasks_and_results() {
    on_both(|server| {
        let hired = Codec::ALL.into_iter().fold(worker(&server), |worker, codec| {
            worker.register(codec.as_str(), Function::task(codec, answer))
        });
        let _working = Working::start(hired.register("default", Function::task(Codec::Json, answer)));
        on_a_runtime(async {
            let client = connect(&server).await;
            for function in ["raw", "json", "bincode", "php", "default"] {
                // Raw bytes have no place for the task.
                let id = |id: TaskId| (function != "raw").then_some(id);
                let good = ask(&client, function, &TaskPayload::new("a-7", "body")).await.unwrap();
                let result = ExecutionResult::ok("a-7", "body");
                let result = ExecutionResult { task_id: id("a-7".into()), ..result };
                assert_eq!(good, TaskOutcome::Answered(result), "{function}");

                let bad = ask(&client, function, &TaskPayload::new(7, "bad")).await.unwrap();
                let worst = ask(&client, function, &TaskPayload::new(7, "worst")).await.unwrap();
                if function == "raw" {
                    assert_eq!(bad, TaskOutcome::Exception("no luck".into()));
                    assert_eq!(worst, TaskOutcome::Exception("no database".into()));
                } else {
                    assert_eq!(
                        bad,
                        TaskOutcome::Answered(ExecutionResult::error(7, "no luck")),
                        "{function}"
                    );
                    let expected = ExecutionResult::critical("own", "no database");
                    assert_eq!(worst, TaskOutcome::Answered(expected), "{function}");
                }
            }
        });
    });
}

#[test]
fn malformed_tasks_and_results_are_errors_with_names() {
    on_both(|server| {
        let junk = |job: Job| async move {
            // The first half goes ahead.
            job.data("{\"no").await;
            Outcome::Complete("t json".into())
        };
        let typed = Function::task(Codec::Json, answer);
        let _working = Working::start(worker(&server).function("junk", junk).register("typed", typed));
        on_a_runtime(async {
            let client = connect(&server).await;
            let error = ask(&client, "junk", &TaskPayload::new(1, "x")).await.unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Payload(_)), "{error}");
            assert_eq!(error.may_have_run, MayHaveRun::Yes);
            let said = error.to_string();
            for part in ["json payload", &server.address.to_string(), "job of junk, H:"] {
                assert!(said.contains(part), "{part} in {said}");
            }
            let job = client.submit_task(Submitted::new("typed", "not json")).await.unwrap();
            let TaskOutcome::Exception(message) = job.outcome().await.unwrap() else {
                panic!("no exception")
            };
            let message = String::from_utf8(message.to_vec()).unwrap();
            assert!(message.starts_with("typed cannot read its task: json payload"), "{message}");

            let small = Limits { bytes: 3, ..Limits::default() };
            let task = TaskPayload::new(1, "four");
            let error = Submitted::task("typed", Codec::Raw, &task, &small).unwrap_err();
            assert!(error.to_string().contains("job of typed, it has not run"), "{error}");
        });
    });
}

/// Debian's PHP with its Gearman extension asks a worker of ours for an array, and reads an object.
#[test]
fn a_php_client_reads_the_answer_of_a_worker_of_ours() {
    require("php");
    let script = r#"
        $client = new GearmanClient(); $client->addServer("127.0.0.1", (int) $argv[1]);
        foreach (["fine", "bad"] as $body) {
            $answer = $client->doNormal("php", serialize(["task_id" => 42, "params" => $body]));
            foreach ((array) unserialize($answer) as $name => $value) {
                $name = substr(strrchr("\0" . $name, "\0"), 1);
                if (in_array($name, ["errorExist", "errorMessage", "taskId"])) { echo $name, "=", json_encode($value), " "; }
            }
            echo $client->returnCode() === GEARMAN_SUCCESS ? "complete" : "not complete", "\n";
        }"#;
    on_both(|server| {
        let _working = Working::start(worker(&server).register("php", Function::task(Codec::Php, answer)));
        let output = run(Command::new("php").args(["-r", script, "--", &server.port().to_string()]));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = "errorExist=false errorMessage=null taskId=42 complete\n\
                        errorExist=true errorMessage=\"no luck\" taskId=42 complete\n";
        assert_eq!(printed, expected, "{}", String::from_utf8_lossy(&output.stderr));
    });
}

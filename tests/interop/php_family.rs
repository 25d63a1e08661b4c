//! The PHP packages of gearman-conveyor over Gearman: their tasks, answers and manager tasks, between stock PHP and ours,
//! in both directions and on both servers. PHP unserializes into real classes (`php/classes.php`).

use crate::support::{PATIENCE, Process, Server, bound, require, run};
use bytes::Bytes;
use conveyor_client::payload::php::{Key, Property, Value};
use conveyor_client::payload::{
    Codec, Content, Endpoints, ExecutionResult, Limits, ManagerTask, Outcome as Went, TaskId, TaskPayload,
};
use conveyor_client::{Client, Error, ErrorKind, Options, Priority, TaskOutcome};
use conveyor_worker::{Function, Job, Outcome, Stop, Worker};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, sync_channel};

#[test]
fn the_document_says_what_is_tried_here() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/interop.md")).unwrap();
    assert!(document.ends_with(crate::report::PHP_FAMILY), "docs/interop.md ends with php_family.md");
}

fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/php/family.php")
}

fn php(args: &[&str]) -> Vec<u8> {
    require("php");
    let output = run(bound("php").arg(script()).args(args));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "php {args:?}: {complaint}");
    output.stdout
}

fn on_both(test: impl Fn(Server)) {
    test(Server::conveyor(&[]));
    test(Server::gearmand(&[]));
}

/// A worker of ours in a thread; it ends when this is dropped.
struct Working {
    stop: Stop,
    ended: Receiver<()>,
}

impl Working {
    fn start(worker: Worker) -> Self {
        let (stop, (sender, ended)) = (worker.stop_handle(), sync_channel(1));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(worker.run());
            // Nobody waits when the test has failed.
            let _ = sender.send(());
        });
        Self { stop, ended }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.now();
        assert!(self.ended.recv_timeout(PATIENCE).is_ok() || std::thread::panicking(), "it did not stop");
    }
}

/// Answers like `perform` in `php/family.php`, with the task itself as the message.
async fn perform(task: TaskPayload, _job: Job) -> ExecutionResult {
    match format!("{:?}", task.body) {
        body if body.contains("\"bad\"") => {
            ExecutionResult { task_id: None, ..ExecutionResult::error(0, "no luck") }
        }
        body if body.contains("\"worst\"") => ExecutionResult::critical("own", "no database"),
        _ => ExecutionResult { execution_message: Some(task.body), ..ExecutionResult::of(None, Went::Ok) },
    }
}

/// Takes the task of a manager and says what it is to do.
fn manage(job: &Job) -> Outcome {
    let limits = Limits::default();
    let result = match Codec::Php.decode::<ManagerTask>(job.payload(), &limits) {
        Ok(task) => {
            let said = format!("{} tasks, {}% of memory", task.tasks_number, task.memory_percent);
            ExecutionResult {
                execution_message: Some(said.as_str().into()),
                ..ExecutionResult::of(task.task_id, Went::Ok)
            }
        }
        Err(error) => ExecutionResult::critical("?", error.to_string()),
    };
    Outcome::Complete(Codec::Php.encode(&result, &limits).unwrap().into())
}

/// What the PHP client printed, in the order of names.
fn answers(server: &Server, function: &str, manager: &str) -> Vec<Json> {
    let printed = php(&["client", &server.port().to_string(), function, manager]);
    let printed = String::from_utf8(printed).unwrap();
    let mut answers: Vec<Json> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    answers.sort_by_key(|answer| answer[0].as_str().map(str::to_owned));
    answers
}

#[test]
fn a_php_client_reads_the_answers_of_performers_of_ours() {
    on_both(|server| {
        let worker = Worker::new(server.address.to_string())
            .register("perform", Function::task(Codec::Php, perform))
            .function("manage", |job: Job| async move { manage(&job) });
        let _working = Working::start(worker);
        let expected = [
            json!(["array", [false, false, 0, null, {"task_id": 0, "file": "b.jpg"}]]),
            // An error without an id of its own gets that of its task.
            json!(["array low", [true, false, "", "no luck", null]]),
            json!(["manager", [false, false, "pm-1", null, "20 tasks, 30% of memory"]]),
            json!(["object", [false, false, 7, null, ["dto", 7, "a.jpg"]]]),
            json!(["object low", [false, false, "a-7", null, ["dto", "a-7", "ff002e6a7067"]]]),
            json!(["worst", [true, true, "own", "no database", null]]),
        ];
        assert_eq!(answers(&server, "perform", "manage"), expected);
    });
}

#[test]
fn a_php_client_reads_the_answers_of_php_under_our_worker_command() {
    require("php");
    on_both(|server| {
        let mut command = bound(env!("CARGO_BIN_EXE_conveyor"));
        command.args(["worker", "-h", "127.0.0.1", "-p", &server.port().to_string(), "-f", "perform", "--"]);
        let _worker = Process::spawn(command.args(["php", script(), "perform"]).stdout(Stdio::null()));
        let expected = [
            json!(["array", [false, false, 0, null, "resized b.jpg"]]),
            json!(["array low", [true, false, null, "no luck", null]]),
            json!(["object", [false, false, 7, null, "resized a.jpg"]]),
            // "resized " and the three bytes ff 00 2e, ".jpg"
            json!(["object low", [false, false, "a-7", null, "726573697a656420ff002e6a7067"]]),
            json!(["worst", [true, true, "7", "no database", null]]),
        ];
        assert_eq!(answers(&server, "perform", ""), expected);
    });
}

/// Our client with PHP workers: one function has PHP's codec.
async fn ask(client: &Client, task: &TaskPayload) -> Result<TaskOutcome, Error> {
    client.submit_task(client.task("perform", task)?).await?.outcome().await
}

fn with_php_worker(test: impl AsyncFn(Client)) {
    on_both(|server| {
        let mut command = bound("php");
        let command = command.arg(script()).args(["worker", &server.port().to_string()]);
        let _worker = Process::spawn(command.stdout(Stdio::null()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = Options::new([server.address.to_string()]);
            let options = options.codec("perform", Codec::Php).codec("manage", Codec::Php);
            let client = Client::connect(options).await.unwrap();
            tokio::time::timeout(PATIENCE, test(client)).await.expect("all answers");
        });
    });
}

fn array(id: impl Into<TaskId>, file: &str) -> TaskPayload {
    let id = id.into();
    let value = match &id {
        TaskId::Int(number) => Value::Int(*number),
        TaskId::Text(text) => Value::Bytes(text.clone()),
    };
    let file = Value::Bytes(Bytes::copy_from_slice(file.as_bytes()));
    TaskPayload::new(id, Value::Array(vec![(Key::new("task_id"), value), (Key::new("file"), file)]))
}

#[test]
fn our_client_reads_what_performers_in_php_answer() {
    with_php_worker(async |client| {
        for id in [TaskId::from(7), "a-7".into(), "7".into(), 0.into(), "".into()] {
            let answer = ask(&client, &array(id.clone(), "a.jpg")).await.unwrap();
            assert_eq!(answer, TaskOutcome::Answered(ExecutionResult::ok(id, "resized a.jpg")));
        }
        let answer = ask(&client, &array(7, "bad")).await.unwrap();
        let expected = ExecutionResult { task_id: None, ..ExecutionResult::error(0, "no luck") };
        assert_eq!(answer, TaskOutcome::Answered(expected), "an error names no task");
        let answer = ask(&client, &array(7, "worst")).await.unwrap();
        assert_eq!(answer, TaskOutcome::Answered(ExecutionResult::critical(7, "no database")));
        let answer = ask(&client, &array(7, "exception")).await.unwrap();
        assert_eq!(answer, TaskOutcome::Exception("Adapter die in Exception".into()));
    });
}

#[test]
fn answers_in_php_that_are_none_are_errors_of_the_payload() {
    with_php_worker(async |client| {
        for (file, said) in [
            ("garbage", "php payload, byte 0: a value is expected"),
            ("false", "php payload, byte 0: an ExecutionDto is expected"),
            ("other class", "php payload, byte 0: an ExecutionDto is expected"),
            ("empty", "php payload, byte 0: ends within a value"),
        ] {
            let error = ask(&client, &array(7, file)).await.unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Payload(_)), "{file}: {error}");
            assert!(error.to_string().contains(said), "{file}: {error}");
        }
        let answer = ask(&client, &array(7, "a.jpg")).await.unwrap();
        assert_eq!(answer, TaskOutcome::Answered(ExecutionResult::ok(7, "resized a.jpg")), "and it goes on");
    });
}

#[test]
fn objects_of_an_application_go_to_php_and_come_back_in_an_answer() {
    let property = |name: &'static str| Property::Protected(Bytes::from_static(name.as_bytes()));
    let file = Property::Private { class: "Application\\ResizeDto".into(), name: "file".into() };
    let object = Value::Object {
        class: "Application\\ResizeDto".into(),
        properties: vec![
            (property("taskId"), Value::Bytes("a-7".into())),
            (file, Value::Bytes("dto".into())),
            (property("width"), Value::Int(800)),
        ],
    };
    with_php_worker(async |client| {
        let answer = ask(&client, &TaskPayload::new("a-7", object.clone())).await.unwrap();
        let TaskOutcome::Answered(result) = answer else { panic!("{answer:?}") };
        assert_eq!(result, ExecutionResult::ok("a-7", Content::Php(object.clone())));
    });
}

/// What `php/family.php read` says of `bytes`.
fn told(directory: &Path, bytes: &[u8]) -> Json {
    let path = directory.join("task");
    std::fs::write(&path, bytes).unwrap();
    serde_json::from_slice(&php(&["read", path.to_str().unwrap()])).unwrap()
}

fn encoded(task: &ManagerTask) -> Vec<u8> {
    Codec::Php.encode(task, &Limits::default()).unwrap()
}

#[test]
fn the_manager_task_of_php_is_read_and_stays_what_it_was_but_for_what_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let written = php(&["write"]);
    let task: ManagerTask = Codec::Php.decode(&written.clone().into(), &Limits::default()).unwrap();
    let address = Some("tcp://127.0.0.1:6268".to_owned());
    let expected = ManagerTask {
        most_at_once: Some(3),
        memory_percent: 30,
        cpu_percent: 80,
        endpoints: Endpoints { publisher_pm: address.clone(), ..Endpoints::default() },
        original: task.original.clone(),
        ..ManagerTask::new("pm-1", 20, "php performer.php")
    };
    assert_eq!(task, expected);
    assert_eq!(encoded(&task), written);

    let mut expected = told(directory.path(), &written);
    assert_eq!((&expected["logger"], &expected["sameLogger"]), (&json!("application"), &json!(true)));
    // No endpoints: five values become one before nothing that is shared; a new id behind everything.
    let changed = ManagerTask {
        tasks_number: 7,
        cpu_percent: 60,
        task_id: Some(TaskId::from(8)),
        endpoints: Endpoints {
            push_pulsar: Some("tcp://h:1".to_owned()),
            publisher_pm: None,
            ..task.endpoints.clone()
        },
        ..task
    };
    expected["tasksNumber"] = json!(7);
    expected["cpu"] = json!(60);
    expected["taskId"] = json!(8);
    expected["endpoints"] = json!([null, null, "tcp://h:1", null]);
    assert_eq!(told(directory.path(), &encoded(&changed)), expected, "logger and addresses are still shared");
}

#[test]
fn php_reads_a_manager_task_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let task = ManagerTask {
        most_at_once: Some(4),
        endpoints: Endpoints { request_pulsar: Some("tcp://h:6275".to_owned()), ..Endpoints::default() },
        ..ManagerTask::new(9, 20, "conveyor worker")
    };
    let expected = json!({
        "managerType": "REACT_PROCESS_MANAGER", "taskId": 9, "tasksNumber": 20, "command": "conveyor worker",
        "loadManager": null, "most": 4, "interval": 1_000_000, "memory": 50, "cpu": 100, "pauseForbidden": null,
        "subtract": 10, "endpoints": ["tcp://h:6275", null, null, null], "sockets": null, "sameSockets": true,
        "logger": null, "sameLogger": true, "modules": [null, null],
    });
    assert_eq!(told(directory.path(), &encoded(&task)), expected);

    // And over Gearman, at high priority as managers are asked.
    with_php_worker(async |client| {
        let job = client.task("manage", &task).unwrap().priority(Priority::High);
        let answer = client.submit_task(job).await.unwrap().outcome().await.unwrap();
        let TaskOutcome::Answered(ExecutionResult {
            execution_message: Some(Content::Bytes(said)),
            task_id,
            ..
        }) = answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (task_id, serde_json::from_slice::<Json>(&said).unwrap()),
            (Some(9.into()), expected.clone())
        );
    });
}

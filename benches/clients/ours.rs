//! The programs on our crates: the bench starts itself with their arguments, so that the CPU of exactly one client or
//! worker is measured. What they do is what `client.c` and `worker.c` do.

use conveyor_client::{Client, Job, Options, Outcome};
use conveyor_worker::{Job as Assigned, Outcome as Done, Worker};
use std::process::ExitCode;
use tokio::task::JoinSet;

/// Bytes of every payload.
const BYTES: usize = 64;

/// Background jobs submitted at a time.
const BATCH: usize = 1000;

/// Foreground jobs under way in the load `flight`.
const IN_FLIGHT: usize = 64;

/// Runs one of the programs, if the arguments are for one.
pub(crate) fn run(args: &[String]) -> Option<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match words.as_slice() {
        ["--client", host, port, load, function, jobs] => {
            let (function, jobs) = ((*function).to_owned(), jobs.parse().unwrap());
            runtime().block_on(client(format!("{host}:{port}"), load, function, jobs));
        }
        ["--worker", host, port, function, slots, connections] => {
            let echo = |job: Assigned| async move { Done::Complete(job.payload().clone()) };
            let mut worker = Worker::new(format!("{host}:{port}")).jobs(slots.parse().unwrap());
            if *connections == "each" {
                worker = worker.connection_per_job();
            }
            runtime().block_on(worker.function(function, echo).run());
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

async fn client(address: String, load: &str, function: String, jobs: usize) {
    let client = Client::connect(Options::new([address])).await.unwrap();
    let function = bytes::Bytes::from(function);
    let job = move || Job::new(function.clone(), vec![b'x'; BYTES]);
    match load {
        "single" => {
            for _ in 0..jobs {
                complete(&client, job()).await;
            }
        }
        "background" => {
            for _ in 0..jobs / BATCH {
                for handle in client.submit_all((0..BATCH).map(|_| job().background())).await {
                    let accepted = handle.unwrap().outcome().await.unwrap();
                    assert!(matches!(accepted, Outcome::Accepted(_)), "{accepted:?}");
                }
            }
        }
        // In lots, as libgearman has it: it has no way to add a task while others run.
        "flight" => {
            for _ in 0..jobs / IN_FLIGHT {
                for handle in client.submit_all((0..IN_FLIGHT).map(|_| job())).await {
                    is_complete(handle.unwrap().outcome().await.unwrap());
                }
            }
        }
        // Always so many, as a service has it.
        "stream" => {
            let mut under_way = JoinSet::new();
            for _ in 0..IN_FLIGHT {
                let (client, job) = (client.clone(), job.clone());
                under_way.spawn(async move {
                    for _ in 0..jobs / IN_FLIGHT {
                        complete(&client, job()).await;
                    }
                });
            }
            under_way.join_all().await;
        }
        other => panic!("no load {other}"),
    }
}

async fn complete(client: &Client, job: Job) {
    is_complete(client.submit(job).await.unwrap().outcome().await.unwrap());
}

fn is_complete(outcome: Outcome) {
    let Outcome::Complete(result) = outcome else { panic!("{outcome:?}") };
    assert_eq!(result.len(), BYTES);
}

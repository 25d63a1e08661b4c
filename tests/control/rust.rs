//! A counting worker of our library, in a process of its own: this test binary, started again.

use crate::support::Server;
use conveyor_worker::performer::Command;
use conveyor_worker::{Cancelled, Function, Job, Outcome, Worker};
use std::io::Write;
use std::time::Duration;

/// The server of the worker.
const PORT: &str = "CONVEYOR_TEST_COUNTER_PORT";

/// Counts to as many as the payload says, 10 ms each, in the file behind the blank.
async fn count(job: Job) -> Outcome {
    let text = String::from_utf8(job.payload().to_vec()).unwrap();
    let (most, file) = text.split_once(' ').unwrap();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    for number in 1..=most.parse::<u64>().unwrap() {
        clock.tick().await;
        match job.checkpoint().await {
            Ok(()) => {}
            Err(Cancelled::Terminated) => return Outcome::Exception(format!("shed at {number}").into()),
            Err(_) => return Outcome::Fail,
        }
        file.write_all(format!("{number}\n").as_bytes()).unwrap();
    }
    Outcome::Complete(text.into())
}

/// Starts the worker below.
pub(crate) fn counter(server: &Server) -> Command {
    let exe = std::env::current_exe().unwrap();
    Command {
        program: exe.into(),
        arguments: ["--exact", "rust::the_counter_of_other_tests", "--nocapture"].map(Into::into).to_vec(),
        variables: vec![(PORT.into(), server.port().to_string().into())],
        ..Command::default()
    }
}

/// Works when another test has started it as a process, and is nothing otherwise.
#[test]
fn the_counter_of_other_tests() {
    let Ok(port) = std::env::var(PORT) else { return };
    let runtime = crate::rig::runtime();
    let worker = Worker::new(format!("127.0.0.1:{port}"))
        .control_from_env()
        .unwrap()
        .register("count", Function::new(count).timeout(Duration::from_secs(3)))
        .function("panic", |_| async { panic!("at work") });
    let ended = runtime.block_on(worker.run());
    println!("ended: {ended:?}");
}

//! Worker on conveyor-worker; see ../README.md.

use conveyor_worker::{Job, Outcome, Worker};
use std::error::Error;
use std::io::Write;
use std::path::Path;

fn done() -> Outcome {
    Outcome::Complete("done".into())
}

async fn status(job: Job) -> Outcome {
    for part in 1..=3 {
        job.progress(part, 3).await;
    }
    done()
}

async fn data(job: Job) -> Outcome {
    job.data("part1").await;
    job.data("part2").await;
    done()
}

async fn warn(job: Job) -> Outcome {
    job.warning("careful").await;
    done()
}

/// Hangs once: whoever finds the mark answers.
async fn hang(job: Job) -> Outcome {
    let path = String::from_utf8_lossy(job.payload()).into_owned();
    if Path::new(&path).exists() {
        return Outcome::Complete("second".into());
    }
    match std::fs::write(path, "") {
        Ok(()) => std::future::pending().await,
        Err(error) => Outcome::Exception(error.to_string().into()),
    }
}

fn log(job: &Job) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(job.payload());
    let (path, line) = text.split_once('\n').ok_or(std::io::ErrorKind::InvalidInput)?;
    writeln!(std::fs::OpenOptions::new().append(true).create(true).open(path)?, "{line}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, port] = args.as_slice() else { return Err("HOST PORT".into()) };
    let worker = Worker::new(format!("{host}:{port}"))
        .function("echo", |job| async move { Outcome::Complete(job.payload().clone()) })
        .function(
            "reverse",
            |job| async move { Outcome::Complete(job.payload().iter().rev().copied().collect()) },
        )
        .function("empty", |_| async { Outcome::Complete("".into()) })
        .function("status", status)
        .function("data", data)
        .function("warn", warn)
        .function("fail", |_| async { Outcome::Fail })
        .function("exception", |_| async { Outcome::Exception("boom".into()) })
        .function("hang", hang)
        .blocking("log", |job| match log(&job) {
            Ok(()) => done(),
            Err(error) => Outcome::Exception(error.to_string().into()),
        });
    worker.run().await;
    Ok(())
}

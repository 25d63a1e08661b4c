//! A worker for one or several servers: `cargo run --example worker [HOST:PORT]...`, 127.0.0.1:4730 unless told
//! otherwise. Ctrl-C lets it finish the jobs it has, a second one gives them back to their servers.

use conveyor_worker::{Cancelled, Concurrency, Function, Job, Outcome, Worker};
use std::error::Error;
use std::time::Duration;

/// Counts words, and says how far it is. It gives up when nobody will take the result any more.
async fn count(job: &Job) -> Result<usize, Cancelled> {
    let words: Vec<&[u8]> =
        job.payload().split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    for (done, word) in (1..).zip(&words) {
        job.checkpoint().await?;
        job.data(word.to_vec()).await;
        job.progress(done, words.len() as u64).await;
    }
    Ok(words.len())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut servers: Vec<String> = std::env::args().skip(1).collect();
    let first = if servers.is_empty() { "127.0.0.1:4730".to_owned() } else { servers.remove(0) };

    // Blocking functions have threads of their own; layers limit, retry, time out and trace any function.
    let reverse = Function::blocking(|job| Outcome::Complete(job.payload().iter().rev().copied().collect()))
        .layer(Concurrency(4))
        .timeout(Duration::from_secs(10));

    let worker = servers.into_iter().fold(Worker::new(first), Worker::server);
    let worker =
        worker.id("example").jobs(16).register("reverse", reverse).function("count", |job| async move {
            match count(&job).await {
                Ok(words) => Outcome::Complete(words.to_string().into()),
                Err(reason) => Outcome::Exception(reason.to_string().into()),
            }
        });

    let stop = worker.stop_handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.drain();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.now();
        }
    });

    // A server that cannot be reached, or is lost, is looked for until the worker ends.
    println!("working");
    println!("ended: {:?}", worker.run().await);
    Ok(())
}

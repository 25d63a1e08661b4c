//! A client of one or several servers: `cargo run --example client [HOST:PORT]...`, 127.0.0.1:4730 unless told
//! otherwise. `cargo run --example worker` does what it asks for.

use conveyor_client::{Client, Job, Options, Outcome, Priority, Unique, Update};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut servers: Vec<String> = std::env::args().skip(1).collect();
    if servers.is_empty() {
        servers.push("127.0.0.1:4730".to_owned());
    }
    let client = Client::connect(Options::new(servers)).await?;

    // Everything below has to be over in a minute.
    let run = client.run(Duration::from_secs(60));

    // One job, and what its worker says on the way.
    let mut job = run.submit(Job::new("count", "one two three").priority(Priority::High)).await?;
    while let Some(update) = job.next().await {
        match update {
            Update::Status { numerator, denominator } => println!("count: {numerator} of {denominator}"),
            Update::Data(word) => println!("count: {}", String::from_utf8_lossy(&word)),
            other => println!("count: {other:?}"),
        }
    }
    // A worker may fail: that is an outcome. An error means that there is none, and says whether the job may have run.
    match job.outcome().await {
        Ok(Outcome::Complete(result)) => println!("count: {} words", String::from_utf8_lossy(&result)),
        Ok(other) => println!("count did not complete: {other:?}"),
        Err(error) => println!("count has no outcome: {error}"),
    }

    // Many at a time. With a unique, jobs survive the loss of a server: they are submitted again.
    let jobs = (0..1000).map(|number| Job::new("reverse", format!("job {number}")).unique(Unique::OfPayload));
    let mut complete = 0;
    for job in run.submit_all(jobs).await {
        if let Outcome::Complete(_) = job?.outcome().await? {
            complete += 1;
        }
    }
    println!("reverse: {complete} of 1000 complete");

    // In the background: over as soon as a server has it. Its handle is there to ask for its status.
    if let Outcome::Accepted(handle) =
        run.submit(Job::new("reverse", "later").background()).await?.outcome().await?
    {
        println!("in the background: {}", String::from_utf8_lossy(&handle));
        println!("known to the server: {}", client.status(&handle).await?.known);
    }
    Ok(())
}

//! Server, worker and client in one process, for tests and small programs: `cargo run --example all_in_one`. Ends by
//! itself. The address, 127.0.0.1 and a free port unless told otherwise, is its only argument.

use conveyor_client::{Client, Job, Options, Outcome};
use conveyor_common::HandlePrefix;
use conveyor_server::core::{Compat, Durability, Identity, Keeps, Rules, Wakeup};
use conveyor_server::{Config, Keepalive, Limits, Server, ServerHandle, Stop};
use conveyor_worker::{Outcome as Work, Worker};
use std::error::Error;

/// A server on a thread of its own; `server.rs` says more.
fn serve(address: &str) -> Result<ServerHandle, Box<dyn Error>> {
    let (host, port) = address.rsplit_once(':').ok_or("give the address as HOST:PORT")?;
    let identity = Identity { version: "1".to_owned(), pid: std::process::id(), verbose: "ERROR".to_owned() };
    let rules = Rules {
        compat: Compat::V2_0,
        round_robin: false,
        max_losses: None,
        wakeup: Wakeup::AsNeeded,
        exceptions: false,
        prefix: HandlePrefix::new(b"H:inside"),
        durability: Durability::Memory,
        keeps: Keeps::default(),
        queue_bytes: 1 << 30,
        identity,
    };
    let (limits, keepalive) = (Limits::default(), Keepalive::default());
    let listen = vec![host.to_owned()];
    let config = Config { listen, port: port.parse()?, backlog: 128, rules, store: None, limits, keepalive };
    Ok(Server::bind(config)?.spawn()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let server = serve(&address)?;
    let address = server.addresses().first().ok_or("the server has no address")?.to_string();

    let square = |job: conveyor_worker::Job| async move {
        let number = String::from_utf8_lossy(job.payload()).parse::<u64>();
        match number.ok().and_then(|number| number.checked_mul(number)) {
            Some(square) => Work::Complete(square.to_string().into()),
            None => Work::Exception("send a number below 2^32".into()),
        }
    };
    let worker = Worker::new(&address).jobs(8).function("square", square);
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());

    let client = Client::connect(Options::new([&address])).await?;
    let jobs = (1..=10_u64).map(|number| Job::new("square", number.to_string()));
    let mut sum = 0;
    for job in client.submit_all(jobs).await {
        if let Outcome::Complete(square) = job?.outcome().await? {
            sum += String::from_utf8_lossy(&square).parse::<u64>()?;
        }
    }
    println!("the squares of 1 to 10 are {sum} in all");

    match client.submit(Job::new("square", "seven")).await?.outcome().await? {
        Outcome::Exception(why) => println!("seven: {}", String::from_utf8_lossy(&why)),
        other => return Err(format!("an exception was due, not {other:?}").into()),
    }

    // The worker reports what it has, then the server goes.
    stop.drain();
    println!("the worker ended: {:?}", working.await?);
    server.stop(Stop::Now);
    server.join();
    Ok(())
}

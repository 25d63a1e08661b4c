//! A farm whose servers are killed and started again all the time, under load: every job's fate is accounted for. A
//! client submits jobs of every kind; workers keep a log of what they run. In the end both must agree: one outcome a job,
//! the right one, and no job ran of which it was said that it has not.
//!
//! `CONVEYOR_STORM_SECONDS` (default 20) says for how long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod kinds;
mod ledger;
#[path = "../support/mod.rs"]
mod support;
mod weather;

use conveyor_client::{Client, Job, Options, Outcome, Unique};
use conveyor_worker::{Ended, Outcome as Work, Stop, Worker};
use kinds::{Kind, result};
use ledger::{Fate, Ledger, Runs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{PATIENCE, Server, lasting_port};
use tokio::task::{JoinHandle, JoinSet};

/// The function of all jobs.
const FUNCTION: &str = "work";

/// Jobs under way at once.
const IN_FLIGHT: usize = 300;

/// What a long job takes.
const LONG: Duration = Duration::from_millis(500);

/// What memory may grow by between a quarter of the time and the end: allocators keep some, a leak of a few hundred bytes
/// a job is more.
const GROWTH_BYTES: u64 = 48 << 20;

fn seconds() -> u64 {
    std::env::var("CONVEYOR_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Resident memory of this process, in bytes: client and workers are in it.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Waits until `condition` holds, without blocking the tasks of client and workers.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let looking = async {
        while !condition() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("gave up waiting: {what}"));
}

/// A worker of all servers that writes down every job it starts.
fn hire(addresses: &[String], runs: &Arc<Runs>) -> (Stop, JoinHandle<Ended>) {
    let runs = Arc::clone(runs);
    let work = move |job: conveyor_worker::Job| {
        let number = kinds::number(job.payload());
        runs.add(number);
        async move {
            if kinds::is_talkative(number) {
                job.progress(1, 2).await;
                job.data(result(number)).await;
                tokio::task::yield_now().await;
            }
            if kinds::is_long(number) {
                let _ = tokio::time::timeout(LONG, std::future::pending::<()>()).await;
            }
            Work::Complete(result(number).into())
        }
    };
    let worker = addresses[1..].iter().fold(Worker::new(&addresses[0]), Worker::server);
    let worker = worker.jobs(16).function(FUNCTION, work);
    (worker.stop_handle(), tokio::spawn(worker.run()))
}

/// Submits jobs until the time is over, and waits for the end of every one.
async fn load(client: &Client, ledger: &mut Ledger, time: Duration) {
    let start = Instant::now();
    let mut under_way = JoinSet::new();
    let mut early = None;
    let mut number = 0;
    while start.elapsed() < time {
        let kind = Kind::of(number);
        for _ in 0..kind.copies() {
            let submitted = client.submit(kind.job(number)).await;
            under_way.spawn(Fate::follow(number, kind, submitted));
            ledger.submitted();
        }
        while let Some(fate) = under_way.try_join_next() {
            ledger.settle(fate.unwrap());
        }
        if early.is_none() && start.elapsed() > time / 4 {
            early = Some(memory());
        }
        number += 1;
    }
    let rest = async {
        while let Some(fate) = under_way.join_next().await {
            ledger.settle(fate.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE * 3, rest).await.expect("every job ends");
    let (early, late) = (early.unwrap(), memory());
    println!("memory: {} MiB after a quarter, {} MiB at the end", early >> 20, late >> 20);
    assert!(late < early + GROWTH_BYTES, "memory grew from {early} to {late} bytes");
}

async fn weather_the_storm(name: &str, servers: [Server; 2]) {
    let addresses = servers.each_ref().map(|server| server.address.to_string());
    let runs = Arc::new(Runs::default());
    let workers = [hire(&addresses, &runs), hire(&addresses, &runs)];
    let options = Options::new(&addresses)
        .in_flight(IN_FLIGHT)
        .backoff(Duration::from_millis(20), Duration::from_millis(200))
        .give_up(PATIENCE * 3);
    let client = Client::connect(options).await.unwrap();
    for server in &servers {
        eventually("both workers are there", || {
            server.status().iter().any(|row| row.0 == FUNCTION && row.3 == 2)
        })
        .await;
    }
    let tasks = alive_tasks();

    let mut ledger = Ledger::new(Arc::clone(&runs));
    let storm = weather::Storm::begin(servers);
    load(&client, &mut ledger, Duration::from_secs(seconds())).await;
    let (servers, kills) = storm.end();

    // There is still room for as many jobs as before: none of them kept its place. The last death may be so recent
    // that the client has yet to hear of it: with a unique they are submitted again then.
    let again = || Job::new(FUNCTION, "0").unique(Unique::Random).deadline(PATIENCE);
    for job in client.submit_all((0..IN_FLIGHT).map(|_| again())).await {
        assert_eq!(job.unwrap().outcome().await.unwrap(), Outcome::Complete(result(0).into()));
    }
    // What was given up by the client may still run: only afterwards is it known what has not.
    for server in &servers {
        eventually("nothing is left", || server.status().iter().all(|row| row.1 == 0)).await;
    }
    eventually("no task is left over", || alive_tasks() <= tasks).await;
    for (stop, working) in workers {
        stop.drain();
        let ended = tokio::time::timeout(PATIENCE, working).await.expect("a worker ends").unwrap();
        assert_eq!(ended, Ended::Drained);
    }
    println!("{name}: {kills} servers killed; {}", ledger.close());
    assert!(kills as u64 >= seconds() / 4, "a storm was asked for");
}

fn conveyor() -> Server {
    Server::conveyor_at(lasting_port(), &[])
}

fn gearmand() -> Server {
    Server::gearmand_at(lasting_port(), &[])
}

#[tokio::test]
async fn every_job_is_accounted_for_when_conveyors_die() {
    weather_the_storm("two conveyors", [conveyor(), conveyor()]).await;
}

#[tokio::test]
async fn every_job_is_accounted_for_when_gearmands_die() {
    weather_the_storm("two gearmands", [gearmand(), gearmand()]).await;
}

#[tokio::test]
async fn every_job_is_accounted_for_when_a_conveyor_and_a_gearmand_die() {
    weather_the_storm("one of each", [conveyor(), gearmand()]).await;
}

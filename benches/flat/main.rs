//! Whether the cost of a job stays what it is when there is more of everything: functions, connections, queued jobs,
//! sleeping workers. Prints tables and draws docs/flat-cost.svg from its own data.
//!
//! `cargo bench --bench flat`; `CONVEYOR_BENCH_SECONDS` (default 1) sets how long each point is measured,
//! `CONVEYOR_BENCH_ROUNDS` (default 3) how often; the median is taken. Nothing is asserted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and says where"
)]

mod plot;
#[path = "../../tests/support/mod.rs"]
mod support;

use plot::{Line, Panel};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};
use support::Server;

/// Where the picture goes.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/flat-cost.svg");

/// All clients connect at once, and ten thousand of them need descriptors.
const OPTIONS: &[&str] = &["--backlog", "1024", "--file-descriptors", "15000", "--queue-type", "builtin"];

/// What grows, and how it is told to `conveyor bench`.
struct Series {
    title: &'static str,
    sizes: &'static str,
    load: &'static str,
    option: &'static str,
    conveyor: &'static [u32],
    /// gearmand takes minutes for the largest sizes.
    gearmand: &'static [u32],
}

const SERIES: [Series; 5] = [
    Series {
        title: "Foreground jobs, by number of functions",
        sizes: "functions that every worker can do",
        load: "foreground",
        option: "--functions",
        conveyor: &[1, 10, 100, 1000, 10_000],
        gearmand: &[1, 10, 100, 1000],
    },
    Series {
        title: "Foreground jobs, by number of connections",
        sizes: "idle connections",
        load: "foreground",
        option: "--idle",
        conveyor: &[10, 100, 1000, 10_000],
        gearmand: &[10, 100, 1000, 10_000],
    },
    Series {
        title: "Foreground jobs, by number of queued jobs",
        sizes: "jobs waiting in another queue",
        load: "foreground",
        option: "--backlog",
        conveyor: &[1, 1000, 100_000, 1_000_000, 3_000_000],
        gearmand: &[1, 1000, 100_000],
    },
    Series {
        title: "Emptying a queue, by its length",
        sizes: "queued jobs",
        load: "drain",
        option: "--jobs",
        conveyor: &[30_000, 100_000, 300_000, 1_000_000, 3_000_000],
        gearmand: &[30_000, 100_000, 300_000],
    },
    Series {
        title: "Foreground jobs, by number of sleeping workers",
        sizes: "workers, nearly all asleep",
        load: "sleepers",
        option: "--workers",
        conveyor: &[10, 100, 1000, 10_000],
        gearmand: &[10, 100, 1000],
    },
];

/// CPU us an operation at one size, and the rate.
fn measure(server: &Server, series: &Series, size: u32, seconds: f64) -> (f64, f64) {
    let output = Command::new(env!("CARGO_BIN_EXE_conveyor"))
        .args([
            "bench",
            &server.address.to_string(),
            "--load",
            series.load,
            "--seconds",
            &seconds.to_string(),
        ])
        .args([series.option, &size.to_string(), "--rounds", "1", "--leave-jobs", "--json"])
        .output()
        .unwrap();
    let failure = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} at {size}: {failure}", series.load);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &document["results"][0]["servers"][0]["median"];
    (run["cpu_us"].as_f64().unwrap(), run["per_second"].as_f64().unwrap())
}

/// The median point of several rounds, each on a fresh server.
fn point(
    start: fn(&[&str]) -> Server,
    series: &Series,
    size: u32,
    (seconds, rounds): (f64, f64),
) -> (f64, f64) {
    let mut points = Vec::new();
    let mut round = 0.0;
    while round < rounds {
        round += 1.0;
        points.push(measure(&start(OPTIONS), series, size, seconds));
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points[points.len() / 2]
}

/// What ten thousand connections cost that do nothing.
fn idle() {
    const CONNECTIONS: u64 = 10_000;
    let server = Server::conveyor(OPTIONS);
    let before = server.memory();
    let peers: Vec<support::Peer> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    // The last one is served, so all are.
    assert!(server.connect().line("version").starts_with("OK"));
    let grown = server.memory() - before;
    let (ticks, start) = (server.cpu_ticks(), Instant::now());
    let rest = Duration::from_secs(5);
    while start.elapsed() < rest {
        std::thread::park_timeout(rest.saturating_sub(start.elapsed()));
    }
    let used = (server.cpu_ticks() - ticks) * 10;
    println!("{CONNECTIONS} idle connections: {} bytes each, {used} ms of CPU in 5 s", grown / CONNECTIONS);
    drop(peers);
}

/// How much of a drained backlog is given back.
fn given_back() {
    let server = Server::conveyor(OPTIONS);
    let before = server.memory();
    let series = &SERIES[3];
    let (_, per_second) = measure(&server, series, 3_000_000, 1.0);
    let start = Instant::now();
    let mut left = server.memory() - before;
    println!("3,000,000 jobs drained at {per_second:.0} a second; above the start then: {} MiB", left >> 20);
    while start.elapsed() < Duration::from_secs(3) {
        std::thread::park_timeout(Duration::from_millis(100));
        left = server.memory().saturating_sub(before);
    }
    println!("3 s later: {} MiB", left >> 20);
}

fn setting(variable: &str, otherwise: f64) -> f64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Ten thousand connections need as many descriptors.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn main() {
    raise_descriptor_limit();
    let plan = (setting("CONVEYOR_BENCH_SECONDS", 1.0), setting("CONVEYOR_BENCH_ROUNDS", 3.0));
    let with_gearmand = std::path::Path::new(support::GEARMAND).exists();
    idle();
    given_back();
    let mut panels = Vec::new();
    for series in &SERIES {
        println!("\n| {} | conveyor: CPU us · per s | gearmand |\n|---|---|---|", series.sizes);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for size in series.conveyor {
            let (cpu, rate) = point(Server::conveyor, series, *size, plan);
            ours.push((f64::from(*size), cpu));
            let mut other = "-".to_owned();
            if with_gearmand && series.gearmand.contains(size) {
                let (cpu, rate) = point(Server::gearmand, series, *size, plan);
                theirs.push((f64::from(*size), cpu));
                other = format!("{cpu:.2} · {rate:.0}");
            }
            println!("| {size} | {cpu:.2} · {rate:.0} | {other} |");
        }
        let lines = [Line { name: "conveyor", points: ours }, Line { name: "gearmand", points: theirs }];
        let lines = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
        panels.push(Panel { title: series.title, sizes: series.sizes, lines });
    }
    plot::draw(PICTURE, &panels);
    println!("\ndrawn: {PICTURE}");
}

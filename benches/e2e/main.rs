//! Whole servers under load: conveyor, the floor (see `floor`) and, where it is installed, gearmand, in turns, in
//! one run, each load on a fresh server. `conveyor bench` generates the load.
//!
//! `cargo bench --bench e2e` prints the table of docs/performance.md. Nothing is asserted. Settings:
//! `CONVEYOR_BENCH_SECONDS` (default 2) a load, `CONVEYOR_BENCH_ROUNDS` (default 5), and `CONVEYOR_BENCH_LOADS`
//! (names of loads with commas between them; default all).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and says where"
)]

mod floor;
#[path = "../../tests/support/mod.rs"]
mod support;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use support::{Process, Server};

/// All clients of a load connect at once.
const BACKLOG: &[&str] = &["--backlog", "1024"];

/// Everything in memory, as gearmand.
const IN_MEMORY: &[&str] = &["--backlog", "1024", "--queue-type", "builtin"];

/// A row of the table.
struct Row {
    load: &'static str,
    /// Server and generator share one core. With one request in flight there is never work for two, and where the
    /// scheduler puts them decides the figures: waking another core takes several times as long as the server does.
    one_core: bool,
    /// Both servers store background jobs in SQLite before they answer.
    stored: bool,
    /// Hoped for: rate and CPU over gearmand's.
    goal: &'static str,
}

const fn row(load: &'static str, goal: &'static str) -> Row {
    Row { load, one_core: false, stored: false, goal }
}

const fn on_one_core(load: &'static str, goal: &'static str) -> Row {
    Row { load, one_core: true, stored: false, goal }
}

const fn stored(load: &'static str, goal: &'static str) -> Row {
    Row { load, one_core: false, stored: true, goal }
}

const ROWS: &[Row] = &[
    row("echo", "1.2 · 0.5"),
    on_one_core("echo-single", "1.7 · 0.5"),
    row("echo-single", "1.7 · 0.5"),
    row("foreground", "2.2 · 0.35"),
    on_one_core("foreground-single", "1.5 · 0.45"),
    row("foreground-single", "1.5 · 0.45"),
    row("foreground-many", "1.55 · 0.5"),
    row("background", "2.5 · 0.4, memory 0.30"),
    stored("stored", "40 · 0.08"),
    stored("stored-single", "1.5"),
    row("drain", "8 · 0.12"),
    row("drain-deep", "8 · 0.12"),
    row("functions", "2.4 · 0.35"),
    row("sleepers", "22 · 0.02"),
    row("sleepers-10k", ""),
    row("large", "1.0 · 1.0, p99 0.7"),
    row("priorities", ""),
    row("mixed", ""),
];

/// Names of the servers, in the order of the columns.
const SERVERS: [&str; 3] = ["conveyor", "gearmand", "floor"];

/// What one run of one load gave; not everything is known of every load.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    per_second: Option<f64>,
    cpu_us: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    bytes_per_job: Option<f64>,
    /// For the mixed load: the 99th percentile of the same jobs without company.
    alone_p99_us: Option<f64>,
}

/// Starts a server, loads it once, and ends it.
fn run(server: &str, (load, stored): (&str, bool), seconds: f64) -> Figures {
    match server {
        "conveyor" => {
            // Without a word it stores, in a directory of its own.
            let server = Server::conveyor(if stored { BACKLOG } else { IN_MEMORY });
            measure(server.address, load, seconds)
        }
        "gearmand" if stored => {
            let directory = tempfile::tempdir().unwrap();
            let file = format!("--libsqlite3-db={}", directory.path().join("queue.db").display());
            let options = [BACKLOG, &["--queue-type=libsqlite3", &file]].concat();
            let server = Server::gearmand(&options);
            measure(server.address, load, seconds)
        }
        "gearmand" => {
            let server = Server::gearmand(BACKLOG);
            measure(server.address, load, seconds)
        }
        _ => {
            let port = support::free_port();
            let mut command = Command::new(std::env::current_exe().unwrap());
            let _server = Process::spawn(command.args(["--floor", &port.to_string()]));
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            support::wait_for("the floor accepts", || std::net::TcpStream::connect(address).ok());
            measure(address, load, seconds)
        }
    }
}

fn measure(address: SocketAddr, load: &str, seconds: f64) -> Figures {
    let seconds = seconds.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_conveyor"))
        .args(["bench", &address.to_string(), "--load", load, "--seconds", &seconds])
        .args(["--rounds", "1", "--leave-jobs", "--json"])
        .output()
        .unwrap();
    let failure = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{load} on {address}: {failure}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &document["results"][0]["servers"][0]["median"];
    let alone =
        run["classes"].as_array().and_then(|classes| classes.iter().find(|class| class[0] == "alone"));
    Figures {
        per_second: run["per_second"].as_f64(),
        cpu_us: run["cpu_us"].as_f64(),
        p50_us: run["latency"]["p50_us"].as_f64(),
        p99_us: run["latency"]["p99_us"].as_f64(),
        bytes_per_job: run["bytes_per_job"].as_f64(),
        alone_p99_us: alone.and_then(|class| class[1]["p99_us"].as_f64()),
    }
}

/// The median of one figure.
fn median(runs: &[Figures], figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().filter_map(figure).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn medians(runs: &[Figures]) -> Figures {
    Figures {
        per_second: median(runs, |run| run.per_second),
        cpu_us: median(runs, |run| run.cpu_us),
        p50_us: median(runs, |run| run.p50_us),
        p99_us: median(runs, |run| run.p99_us),
        bytes_per_job: median(runs, |run| run.bytes_per_job),
        alone_p99_us: median(runs, |run| run.alone_p99_us),
    }
}

/// Rate, CPU a operation, latencies, for one cell.
fn cell(figures: Figures) -> String {
    let show =
        |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
    let mut text = format!(
        "{} · {} · {}/{}",
        show(figures.per_second, 0),
        show(figures.cpu_us, 2),
        show(figures.p50_us, 0),
        show(figures.p99_us, 0)
    );
    if let Some(bytes) = figures.bytes_per_job {
        text += &format!(", {bytes:.0} B/job");
    }
    if let Some(alone) = figures.alone_p99_us {
        text += &format!(", alone {alone:.0}");
    }
    text
}

/// The median of the ratios of single rounds: both servers had the same weather.
fn ratio(ours: &[Figures], theirs: &[Figures]) -> String {
    let of = |figure: fn(&Figures) -> Option<f64>| {
        let mut ratios: Vec<f64> =
            ours.iter().zip(theirs).filter_map(|(a, b)| Some(figure(a)? / figure(b)?)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    let (rate, cpu) = (of(|run| run.per_second), of(|run| run.cpu_us));
    let (p99, bytes) = (of(|run| run.p99_us), of(|run| run.bytes_per_job));
    let bytes = if bytes == "-" { String::new() } else { format!(", memory {bytes}") };
    format!("{rate} · {cpu}, p99 {p99}{bytes}")
}

fn setting(variable: &str, otherwise: f64) -> f64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The runs of one load on the three servers, in turns.
fn alternate(
    (load, stored): (&str, bool),
    (seconds, rounds): (f64, f64),
    with_gearmand: bool,
) -> [Vec<Figures>; 3] {
    let mut runs: [Vec<Figures>; 3] = Default::default();
    let mut round = 0.0;
    while round < rounds {
        round += 1.0;
        for (server, runs) in SERVERS.iter().zip(&mut runs) {
            let can = match *server {
                "gearmand" => with_gearmand,
                // It knows no functions: the workers of the mixed load would do each other's jobs.
                "floor" => load != "mixed" && !stored,
                _ => true,
            };
            if can {
                runs.push(run(server, (load, stored), seconds));
            }
        }
    }
    runs
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == "--floor") {
        floor::serve(arguments[2].parse().unwrap());
    }
    let seconds = setting("CONVEYOR_BENCH_SECONDS", 2.0);
    let rounds = setting("CONVEYOR_BENCH_ROUNDS", 5.0);
    let only = std::env::var("CONVEYOR_BENCH_LOADS").unwrap_or_default();
    let with_gearmand = std::path::Path::new(support::GEARMAND).exists();
    println!("{rounds} rounds of {seconds} s a load, servers in turns; medians");
    println!("cells: per second · server CPU us an operation · p50/p99 us; ratios: rate · CPU, p99");
    println!(
        "| load | conveyor | gearmand | floor | floor ÷ gearmand | conveyor ÷ gearmand | conveyor ÷ floor | goal |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let all_cores = sched_getaffinity(None).unwrap();
    let mut one_core = CpuSet::new();
    one_core.set((0..CpuSet::MAX_CPU).find(|cpu| all_cores.is_set(*cpu)).unwrap());
    for Row { load, one_core: pinned, stored, goal } in ROWS {
        if !only.is_empty() && !only.split(',').any(|name| name == *load) {
            continue;
        }
        // What is started from here on inherits it.
        sched_setaffinity(None, if *pinned { &one_core } else { &all_cores }).unwrap();
        let runs = alternate((load, *stored), (seconds, rounds), with_gearmand);
        let [ours, theirs, floor] = &runs;
        let cells = [ours, theirs, floor].map(|runs| cell(medians(runs))).join(" | ");
        let name = format!("{load}{}", if *pinned { ", one core" } else { "" });
        let ratios = [ratio(floor, theirs), ratio(ours, theirs), ratio(ours, floor)].join(" | ");
        println!("| {name} | {cells} | {ratios} | {goal} |");
    }
}

//! What our client and our worker cost beside libgearman's: programs that do the same, in turns, each run on a fresh
//! server (`conveyor server --queue-type builtin`).
//!
//! `cargo bench --bench clients` prints the table of docs/performance.md; it needs a C compiler and libgearman's headers
//! (`scripts/test-deps.sh`). Nothing is asserted but that every job is done. Settings: `CONVEYOR_BENCH_ROUNDS` (default 5)
//! and `CONVEYOR_BENCH_LOADS` (names of loads with commas between them; default all).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and says where"
)]

mod ours;
#[path = "../../tests/support/mod.rs"]
mod support;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use support::{Process, Server, bound};

/// The function of all jobs.
const FUNCTION: &str = "echo";

/// Whose program is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
}

use Whose::{Ours, Theirs};

/// What is measured.
#[derive(Clone, Copy)]
enum Load {
    /// The client: its load by name, and so many workers of libgearman to do the jobs.
    Client { name: &'static str, workers: usize },
    /// The workers, on jobs that are queued already: so many jobs at a time, in one process of ours, with `one`
    /// connection or one `each`, or in as many processes of libgearman.
    Drain { jobs_at_a_time: usize, connections: &'static str },
    /// The same, with a client that keeps 64 foreground jobs under way.
    Fed { jobs_at_a_time: usize, connections: &'static str },
}

/// Name, load, jobs in a run.
const LOADS: &[(&str, Load, usize)] = &[
    ("client-single", Load::Client { name: "single", workers: 1 }, 20_000),
    ("client-background", Load::Client { name: "background", workers: 0 }, 200_000),
    ("client-flight", Load::Client { name: "flight", workers: 4 }, 64_000),
    ("worker-drain", Load::Drain { jobs_at_a_time: 1, connections: "one" }, 40_000),
    ("worker-drain-16", Load::Drain { jobs_at_a_time: 16, connections: "one" }, 80_000),
    ("worker-drain-16, a connection each", Load::Drain { jobs_at_a_time: 16, connections: "each" }, 80_000),
    ("worker-fed", Load::Fed { jobs_at_a_time: 1, connections: "one" }, 32_000),
    ("worker-fed-16", Load::Fed { jobs_at_a_time: 16, connections: "one" }, 64_000),
    ("worker-fed-16, a connection each", Load::Fed { jobs_at_a_time: 16, connections: "each" }, 64_000),
];

/// One run: jobs a second, and microseconds of the measured processes' CPU a job.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_us: f64,
}

/// The programs on libgearman, compiled.
fn compiled() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::current_exe().unwrap().parent().unwrap().join("clients-libgearman");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["client", "worker"] {
        let mut command = Command::new("cc");
        command.args(["-Wall", "-Wextra", "-Werror", "-O2", "-o"]).arg(folder.join(name));
        command.arg(root.join(format!("benches/clients/{name}.c"))).arg("-lgearman");
        assert!(command.status().unwrap().success(), "cannot compile {name}.c: run scripts/test-deps.sh");
    }
    folder
}

/// User and system time of a process, threads included, in seconds. To be had as long as it was not waited for.
fn cpu_seconds(process: &Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let columns: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = columns[11..13].iter().map(|column| column.parse::<u64>().unwrap()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// A server, and the programs of both sides.
struct Rig {
    server: Server,
    folder: PathBuf,
}

impl Rig {
    fn new(folder: &Path) -> Self {
        let server = Server::conveyor(&["--queue-type", "builtin"]);
        Self { server, folder: folder.to_owned() }
    }

    fn program(&self, whose: Whose, role: &str) -> Command {
        let mut command = match whose {
            Ours => bound(std::env::current_exe().unwrap()),
            Theirs => bound(self.folder.join(role)),
        };
        command.args((whose == Ours).then(|| format!("--{role}")));
        command.args(["127.0.0.1", &self.server.port().to_string()]);
        command
    }

    fn client(&self, whose: Whose, load: &str, jobs: usize) -> Process {
        let mut command = self.program(whose, "client");
        Process::spawn(command.args([load, FUNCTION, &jobs.to_string()]))
    }

    /// Workers that do so many jobs at a time, ready.
    fn workers(&self, whose: Whose, jobs_at_a_time: usize, connections: &str) -> Vec<Process> {
        let processes = if whose == Ours { 1 } else { jobs_at_a_time };
        let registered = if connections == "one" { processes } else { jobs_at_a_time };
        let start = |_| {
            let mut command = self.program(whose, "worker");
            command.arg(FUNCTION);
            if whose == Ours {
                command.args([&jobs_at_a_time.to_string(), connections]);
            }
            Process::spawn(&mut command)
        };
        let workers: Vec<Process> = (0..processes).map(start).collect();
        if registered > 0 {
            self.server.wait_for_workers(FUNCTION, registered as u64);
        }
        workers
    }

    /// Waits for the end of a client, which has to be good; its CPU time in seconds.
    fn end(mut client: Process) -> f64 {
        let id = WaitId::Pid(Pid::from_child(&client.child));
        waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let cpu = cpu_seconds(&client);
        assert!(client.child.wait().unwrap().success(), "the client failed");
        cpu
    }

    fn is_empty(&self) -> bool {
        self.server.status().iter().all(|row| row.1 == 0)
    }

    fn run(&self, whose: Whose, load: Load, jobs: usize) -> Figures {
        let (seconds, cpu) = match load {
            Load::Client { name, workers } => {
                let _workers = self.workers(Theirs, workers, "each");
                let start = Instant::now();
                let cpu = Self::end(self.client(whose, name, jobs));
                (start.elapsed().as_secs_f64(), cpu)
            }
            Load::Drain { jobs_at_a_time, connections } => {
                Self::end(self.client(Ours, "background", jobs));
                let start = Instant::now();
                let workers = self.workers(whose, jobs_at_a_time, connections);
                support::wait_for("an empty queue", || self.is_empty().then_some(()));
                (start.elapsed().as_secs_f64(), workers.iter().map(cpu_seconds).sum())
            }
            Load::Fed { jobs_at_a_time, connections } => {
                let workers = self.workers(whose, jobs_at_a_time, connections);
                let start = Instant::now();
                Self::end(self.client(Ours, "stream", jobs));
                (start.elapsed().as_secs_f64(), workers.iter().map(cpu_seconds).sum())
            }
        };
        Figures { per_second: jobs as f64 / seconds, cpu_us: cpu * 1e6 / jobs as f64 }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cell(runs: &[Figures]) -> String {
    let per_second = median(runs.iter().map(|run| run.per_second));
    format!("{per_second:.0} · {:.2}", median(runs.iter().map(|run| run.cpu_us)))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = ours::run(&arguments) {
        return code;
    }
    let rounds = std::env::var("CONVEYOR_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let only = std::env::var("CONVEYOR_BENCH_LOADS").unwrap_or_default();
    let folder = compiled();
    println!("{rounds} rounds, ours and libgearman's in turns; medians. Cells: jobs a second · CPU us a job");
    println!("| load | ours | libgearman | ours ÷ libgearman |");
    println!("|---|---|---|---|");
    for (name, load, jobs) in LOADS {
        if !only.is_empty() && !only.split(',').any(|wanted| wanted == *name) {
            continue;
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(Rig::new(&folder).run(Ours, *load, *jobs));
            theirs.push(Rig::new(&folder).run(Theirs, *load, *jobs));
        }
        // Both of a round had the same weather.
        let ratio = |figure: fn(&Figures) -> f64| {
            median(ours.iter().zip(&theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)))
        };
        let (rate, cpu) = (ratio(|run| run.per_second), ratio(|run| run.cpu_us));
        println!("| {name} | {} | {} | {rate:.2} · {cpu:.2} |", cell(&ours), cell(&theirs));
    }
    ExitCode::SUCCESS
}

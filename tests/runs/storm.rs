//! A run of 10,000 tasks while performers, the server and the client itself are killed: its ledger, and the one that the
//! performers keep, must agree about every task.

use crate::rig::unix_ms;
use crate::support::{Process, Server, bound, example, lasting_port, require, wait_for};
use conveyor_client::run::{OutcomeKind, Report, RunOutcome, Saved, TaskIndex, TaskState};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const TASKS: usize = 10_000;
const PERFORMERS: usize = 4;

/// Jobs of the client that wait at once; see `examples/run.rs`.
const IN_FLIGHT: usize = 200;

#[test]
fn every_task_is_accounted_for_on_conveyor() {
    storm(Server::conveyor_at(lasting_port(), &[]));
}

#[test]
fn every_task_is_accounted_for_on_gearmand() {
    storm(Server::gearmand_at(lasting_port(), &[]));
}

/// What comes next, of a seed.
struct Chance(u64);

impl Chance {
    /// The seed in CONVEYOR_SEED, or any.
    fn new() -> Self {
        let given = std::env::var("CONVEYOR_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed =
            given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64);
        println!("CONVEYOR_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn performer(server: &Server, ledger: &Path) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/performer.php");
    let mut command = bound("php");
    Process::spawn(command.arg(script).args(["127.0.0.1", &server.port().to_string()]).arg(ledger))
}

fn client(server: &Server, journal: &Path) -> Process {
    let mut command = bound(example("run"));
    command.args([&server.address.to_string(), "work"]).arg(journal);
    Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()))
}

/// Lines that the performers have written.
fn lines(ledger: &Path) -> usize {
    std::fs::read(ledger).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
}

fn storm(mut server: Server) {
    require("php");
    let mut chance = Chance::new();
    let directory = tempfile::tempdir().unwrap();
    let (ledger, journal) = (directory.path().join("ledger"), directory.path().join("run.jsonl"));
    let mut crew: Vec<Process> = (0..PERFORMERS).map(|_| performer(&server, &ledger)).collect();
    let mut running = client(&server, &journal);
    let list: String = (1..=TASKS).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    running.child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();

    let mut server_dies = Some(2000 + chance.below(2000));
    let mut client_dies = Some(5000 + chance.below(3000));
    let mut performer_dies = 500;
    let mut kills = 0;
    let start = Instant::now();
    let mut drained = drain(&mut running);
    let status = loop {
        let next = [Some(performer_dies), server_dies, client_dies].into_iter().flatten().min();
        let ended = wait_for("the run goes on", || {
            let ended = running.child.try_wait().unwrap();
            (ended.is_some() || next.is_some_and(|at| lines(&ledger) >= at)).then_some(ended)
        });
        if let Some(status) = ended {
            break status;
        }
        let done = lines(&ledger);
        if done >= performer_dies {
            performer_dies = done + 300 + chance.below(700);
            let victim = chance.below(PERFORMERS);
            crew[victim].child.kill().unwrap();
            crew[victim] = performer(&server, &ledger);
            kills += 1;
        }
        if server_dies.is_some_and(|at| done >= at) {
            server_dies = None;
            server.kill();
            server.start_again();
        }
        if client_dies.is_some_and(|at| done >= at) {
            client_dies = None;
            running.child.kill().unwrap();
            running.child.wait().unwrap();
            running = client(&server, &journal);
            drained = drain(&mut running);
        }
    };
    let printed = drained.join().unwrap();
    assert_eq!((server_dies, client_dies), (None, None), "all that was to happen has");
    println!("{TASKS} tasks in {:?}, {kills} performers killed", start.elapsed());
    let report: Report = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "some tasks are not done");
    compare(&report, &Saved::read(&journal).unwrap(), &std::fs::read_to_string(&ledger).unwrap(), kills);
}

/// Takes what a client prints.
fn drain(running: &mut Process) -> std::thread::JoinHandle<String> {
    let mut output = running.child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text);
        text
    })
}

/// The report, the journal, and what the performers say.
fn compare(report: &Report, saved: &Saved, ledger: &str, kills: usize) {
    assert_eq!(&saved.report(unix_ms()), report, "the journal says the same");
    assert_eq!((report.created, report.times.resumed), (TASKS, 1), "{report}");
    assert_eq!(report.outcome, RunOutcome::Incomplete);
    let mut done: BTreeMap<usize, BTreeSet<(u32, &str)>> = BTreeMap::new();
    let mut count = 0;
    for line in ledger.lines() {
        let mut words = line.split(' ');
        let (id, attempt) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
        done.entry(id).or_default().insert((attempt, words.next().unwrap()));
        count += 1;
    }
    let (mut ok, mut error, mut missing) = (0, 0, 0);
    for id in 1..=TASKS {
        let tries = done.get(&id).cloned().unwrap_or_default();
        let state = saved.ledger.state(TaskIndex(id - 1)).unwrap();
        match state {
            TaskState::Ended(OutcomeKind::Ok) => {
                ok += 1;
                assert!(tries.iter().any(|(_, went)| *went == "ok"), "task {id} is done, say we: {tries:?}");
            }
            TaskState::Ended(OutcomeKind::Error) => {
                error += 1;
                assert!(id % 500 == 0, "task {id} failed: {tries:?}");
                assert!(
                    tries.contains(&(2, "error")) && !tries.iter().any(|(_, went)| *went == "ok"),
                    "{tries:?}"
                );
            }
            TaskState::Ended(OutcomeKind::Lost) => missing += 1,
            other => panic!("task {id} is {other:?}: {tries:?}"),
        }
        assert!(tries.iter().all(|(attempt, _)| (1..=2).contains(attempt)), "task {id}: {tries:?}");
        let second = tries.iter().any(|(attempt, _)| *attempt == 2);
        assert!(
            !second || id % 50 == 0 || saved.ledger.attempts(TaskIndex(id - 1)) == Some(2),
            "task {id} ran twice: {tries:?}"
        );
    }
    assert_eq!((report.ok, report.error, report.missing), (ok, error, missing));
    assert_eq!((ok, error, missing), (TASKS - TASKS / 500, TASKS / 500, 0), "{report}");
    let runs: usize = done.values().map(BTreeSet::len).sum();
    let twice = count - runs;
    println!("{count} jobs done for {} tries, {twice} of them once more", report.attempts);
    // A job whose performer is killed behind the line runs again, and what was done when server or client died may.
    assert!(twice <= kills + 2 * IN_FLIGHT, "{twice} tries ran more than once");
}

//! What `conveyor client submit` shows on a terminal, and that nothing of it is written anywhere else.

use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, Process, Server, run, wait_for};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// A worker whose jobs report a half, and end when they may.
struct Gate {
    server: Server,
    directory: tempfile::TempDir,
    _worker: Process,
}

impl Gate {
    fn new() -> Self {
        let server = Server::conveyor(&[]);
        let directory = tempfile::tempdir().unwrap();
        let script = "read name; echo progress 1 2 >&3; echo warning beware >&3; while [ ! -e go ]; do sleep 0.01; done; printf %s-end $name";
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.args(["worker", "-p", &server.port().to_string(), "-f", "slow", "--jobs", "20"]);
        command.arg("--directory").arg(directory.path()).args(["--", "sh", "-c", script]);
        let worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        server.wait_for_workers("slow", 1);
        Self { server, directory, _worker: worker }
    }

    fn submit(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.args(["client", "submit", "-p", &self.server.port().to_string(), "-f", "slow"]).args(args);
        command.stdin(Stdio::null());
        command
    }

    fn go(&self) -> PathBuf {
        self.directory.path().join("go")
    }

    fn open(&self) {
        std::fs::write(self.go(), "").unwrap();
    }
}

#[test]
fn on_a_terminal_it_shows_all_jobs_and_the_progress_of_eight() {
    let gate = Gate::new();
    let mut terminal = Terminal::new();
    let names: Vec<String> = (1..=10).map(|number| format!("n{number}\n")).collect();
    let mut command = gate.submit(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut client = Process::spawn(command.stdout(Stdio::piped()).stderr(terminal.stdio()));
    drop(command);
    terminal.wait_until("the view", |screen| {
        screen.contains("0/10 jobs, 0 failed, 10 running") && screen.matches("50% (1/2)").count() == 8
    });
    gate.open();
    let mut results = String::new();
    client.child.stdout.take().unwrap().read_to_string(&mut results).unwrap();
    assert_eq!(client.exit_code(), Some(0));
    let expected: String = (1..=10).map(|number| format!("n{number}-end")).collect();
    assert_eq!(results, expected, "not a byte of the view");
    let (screen, _) = terminal.at_the_end();
    assert!(screen.contains("10 jobs: 10 done, 0 failed, 0 without outcome"), "{screen}");
    assert!(screen.contains("slowest") && screen.contains("jobs/s"), "{screen}");
    assert!(!screen.contains("running") && !screen.contains("50%"), "the view is gone: {screen}");
    assert_eq!(screen.matches("beware").count(), 10, "{screen}");
}

#[test]
fn results_and_the_view_share_a_terminal_without_damage() {
    let gate = Gate::new();
    let mut terminal = Terminal::new();
    let mut command = gate.submit(&["-P", "one\n", "two\n", "three\n"]);
    let mut client = Process::spawn(command.stdout(terminal.stdio()).stderr(terminal.stdio()));
    drop(command);
    terminal.wait_until("the view", |screen| screen.contains("0/3 jobs"));
    gate.open();
    assert_eq!(client.exit_code(), Some(0));
    let (screen, _) = terminal.at_the_end();
    let lines: Vec<&str> = screen.lines().map(str::trim_end).filter(|line| *line != "beware").collect();
    assert_eq!(lines.get(..3), Some(&["slow: one-end", "slow: two-end", "slow: three-end"][..]), "{screen}");
    assert!(lines.get(3).is_some_and(|line| line.starts_with("3 jobs: 3 done")), "{screen}");
    assert_eq!(lines.len(), 4 + usize::from(lines.len() > 4), "{screen}");
}

/// What is written to a terminal that is standard error.
fn on_terminal(gate: &Gate, args: &[&str]) -> String {
    let terminal = Terminal::new();
    let mut command = gate.submit(args);
    let mut client = Process::spawn(command.stdout(Stdio::null()).stderr(terminal.stdio()));
    drop(command);
    assert_eq!(client.exit_code(), Some(0));
    terminal.at_the_end().1
}

fn piped(gate: &Gate, args: &[&str]) -> Output {
    run(&mut gate.submit(args))
}

#[test]
fn without_a_terminal_or_when_not_wanted_nothing_of_the_view_is_written() {
    let gate = Gate::new();
    gate.open();
    let written = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let plain = piped(&gate, &["a\n", "b\n"]);
    assert_eq!(written(&plain), "50% Complete\nbeware\n50% Complete\nbeware\n");
    assert_eq!(written(&piped(&gate, &["--quiet", "a\n"])), "");
    assert_eq!(on_terminal(&gate, &["--quiet", "a\n", "b\n"]), "");
    assert_eq!(on_terminal(&gate, &["--progress", "never", "a\n"]), "50% Complete\r\nbeware\r\n");
    assert_eq!(on_terminal(&gate, &["--json", "a\n", "b\n"]), "");
    // Over before anybody could look: a summary of more than one.
    assert_eq!(on_terminal(&gate, &["a\n"]), "beware\r\n");
    assert!(on_terminal(&gate, &["a\n", "b\n"]).contains("2 jobs: 2 done"));
}

#[test]
fn a_view_can_be_had_without_a_terminal() {
    let gate = Gate::new();
    let mut command = gate.submit(&["--progress", "always", "a\n"]);
    let mut client = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let mut errors = client.child.stderr.take().unwrap();
    let mut seen = String::new();
    let mut chunk = [0; 4096];
    let start = Instant::now();
    while !(seen.contains("0/1 jobs") && seen.contains("50% (1/2)")) {
        let read = errors.read(&mut chunk).unwrap();
        assert!(read > 0 && start.elapsed() < PATIENCE, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    gate.open();
    // The rest must be taken, or it waits.
    std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    assert_eq!(client.exit_code(), Some(0));
    wait_for("the gate", || gate.go().exists().then_some(()));
}

//! `conveyor worker` beside `gearman -w`: what clients see of it.

use crate::support::{GEARMAND, Process, Server, require, run, wait_for};
use std::process::{Command, Output, Stdio};

fn hire(server: &Server, function: &str, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["worker", "-p", &server.port().to_string(), "-f", function]).args(args);
    let worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    server.wait_for_workers(function, 1);
    worker
}

fn gearman(server: &Server, args: &[&str]) -> Output {
    require("gearman");
    run(Command::new("gearman").args(["-h", "127.0.0.1", "-p", &server.port().to_string()]).args(args))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn commands_do_jobs(server: &Server) {
    let _workers = [
        hire(server, "upper", &["--", "tr", "a-z", "A-Z"]),
        hire(server, "fails", &["--", "sh", "-c", "echo no luck >&2; exit 3"]),
        hire(server, "lines", &["-n", "--", "cat"]),
        hire(server, "stripped", &["-N", "--", "cat"]),
        hire(server, "talks", &["--", "sh", "-c", "echo progress 1 2 >&3; echo data part. >&3; printf end"]),
        hire(server, "slow", &["--timeout-ms", "200", "--grace-ms", "100", "--", "sleep", "987654"]),
        hire(server, "env", &["--env", "COLOUR=blue", "--", "sh", "-c", "echo $COLOUR $CONVEYOR_FUNCTION"]),
    ];
    let result = |args: &[&str]| {
        let output = gearman(server, args);
        (text(&output.stdout), output.status.success())
    };
    assert_eq!(result(&["-f", "upper", "hello"]), ("HELLO".to_owned(), true));
    assert!(!result(&["-f", "fails", "x"]).1);
    assert_eq!(result(&["-f", "lines", "a\nb\nc"]), ("a\nb\nc".to_owned(), true));
    assert_eq!(result(&["-f", "stripped", "a\nb\nc"]), ("abc".to_owned(), true));
    let (talk, good) = result(&["-f", "talks", "x"]);
    assert!(
        good && talk.contains("part.") && talk.contains("end") && talk.contains("50% Complete"),
        "{talk}"
    );
    assert!(!result(&["-f", "slow", "x"]).1);
    assert_eq!(result(&["-f", "env", "x"]), ("blue env\n".to_owned(), true));
}

#[test]
fn a_command_does_each_job() {
    commands_do_jobs(&Server::conveyor(&[]));
}

#[test]
fn a_command_does_each_job_of_gearmand_too() {
    require(GEARMAND);
    commands_do_jobs(&Server::gearmand(&[]));
}

#[test]
fn a_failure_says_why_by_a_warning_or_an_exception() {
    let server = Server::conveyor(&[]);
    let script = ["--", "sh", "-c", "echo no luck >&2; exit 3"];
    let _workers = [
        hire(&server, "warns", &script),
        hire(&server, "throws", &[&["--exceptions"], &script[..]].concat()),
    ];
    let port = server.port().to_string();
    for (function, end) in [("warns", "warns: Job failed\n"), ("throws", "exit code 3\nno luck\n")] {
        let args = ["client", "submit", "-p", &port, "-f", function, "x"];
        let output = run(Command::new(env!("CARGO_BIN_EXE_conveyor")).args(args));
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains("exit code 3\nno luck") && said.ends_with(end), "{said}");
    }
}

#[test]
fn it_ends_after_so_many_jobs_or_when_told_once_running_jobs_are_done() {
    let server = Server::conveyor(&[]);
    let mut counted = hire(&server, "counted", &["-c", "2", "--", "cat"]);
    assert_eq!(gearman(&server, &["-f", "counted", "a", "b"]).status.code(), Some(0));
    assert_eq!(counted.exit_code(), Some(0));

    let directory = tempfile::tempdir().unwrap();
    let (started, go) = (directory.path().join("started"), directory.path().join("go"));
    let script = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.01; done; echo done",
        started.display(),
        go.display()
    );
    let mut told = hire(&server, "told", &["--", "sh", "-c", &script]);
    let port = server.port().to_string();
    let mut client = Command::new("gearman");
    client.args(["-h", "127.0.0.1", "-p", &port, "-f", "told", "x"]);
    let client = Process::spawn(client.stdout(Stdio::piped()));
    wait_for("the job runs", || started.exists().then_some(()));
    told.signal("TERM");
    std::fs::write(&go, "").unwrap();
    let mut client = client;
    let mut output = String::new();
    std::io::Read::read_to_string(&mut client.child.stdout.take().unwrap(), &mut output).unwrap();
    assert_eq!((output.as_str(), client.exit_code(), told.exit_code()), ("done\n", Some(0), Some(0)));
}

#[test]
fn several_jobs_are_done_at_a_time() {
    let server = Server::conveyor(&[]);
    let directory = tempfile::tempdir().unwrap();
    // Each waits for the other: one after the other they would never end.
    let script = "read me other; touch $me; while [ ! -e $other ]; do sleep 0.01; done; echo met";
    let path = directory.path().to_str().unwrap();
    let _worker = hire(&server, "meet", &["--jobs", "2", "--directory", path, "--", "sh", "-c", script]);
    let port = server.port().to_string();
    let args = ["client", "submit", "-p", &port, "-f", "meet", "a b\n", "b a\n"];
    let output = run(Command::new(env!("CARGO_BIN_EXE_conveyor")).args(args));
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("met\nmet\n", Some(0)));
}

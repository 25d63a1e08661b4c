//! `conveyor client submit` beside `gearman`: the same options, the same bytes.

use crate::support::{GEARMAND, Process, Server, bound, require, run, wait_for};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// A stock worker that runs a shell command for every job.
fn worker(server: &Server, function: &str, shell: &str) -> Process {
    require("gearman");
    let port = server.port().to_string();
    let mut command = bound("gearman");
    command.args(["-h", "127.0.0.1", "-p", &port, "-w", "-f", function, "--", "sh", "-c", shell]);
    let worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    server.wait_for_workers(function, 1);
    worker
}

/// Runs a command with an input.
fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that fails at once does not read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn submit(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    with_input(command.args(["client", "submit", "-p", &server.port().to_string()]).args(args), input)
}

fn gearman(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("gearman");
    with_input(command.args(["-h", "127.0.0.1", "-p", &server.port().to_string()]).args(args), input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Options, input, and whether it succeeds; every one means the same to both programs.
const SAME: &[(&[&str], &[u8], bool)] = &[
    (&["-f", "upper", "hello"], b"", true),
    (&["-f", "upper", "one", "two"], b"", true),
    (&["-f", "upper"], b"from\nstdin\0", true),
    (&["-f", "upper", "-n"], b"a\nb\nc", true),
    // Without the last line end `gearman` strips a letter instead.
    (&["-f", "upper", "-N"], b"a\nb\nc\n", true),
    (&["-f", "upper", "-P"], b"a\nb\n", true),
    (&["-f", "upper", "-s"], b"not read", true),
    (&["-f", "upper", "-u", "key", "x"], b"", true),
    (&["-f", "upper", "-I", "x"], b"", true),
    (&["-f", "upper", "-L", "x"], b"", true),
    (&["-f", "upper", "-b", "x"], b"", true),
    (&["-f", "fails", "x"], b"", false),
];

fn compare(server: &Server) {
    let _workers = [
        worker(server, "upper", "tr a-z A-Z"),
        worker(server, "rev", "rev"),
        worker(server, "fails", "exit 1"),
    ];
    for (args, input, succeeds) in SAME {
        let (ours, theirs) = (submit(server, args, input), gearman(server, args, input));
        assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{args:?}: {}", text(&ours.stderr));
        assert_eq!(ours.status.success(), *succeeds, "{args:?}: {}", text(&ours.stderr));
        assert_eq!(theirs.status.success(), *succeeds, "{args:?}");
    }
    // Several functions: `gearman` writes what ends first, we write in the order given.
    let args = ["-P", "-f", "upper", "-f", "rev", "xyz"];
    assert_eq!(text(&submit(server, &args, b"").stdout), "upper: XYZrev: zyx");
    let theirs = text(&gearman(server, &args, b"").stdout);
    assert!(["upper: XYZrev: zyx", "rev: zyxupper: XYZ"].contains(&theirs.as_str()), "{theirs}");
}

#[test]
fn every_client_option_of_gearman_gives_the_same_bytes() {
    compare(&Server::conveyor(&[]));
}

#[test]
fn it_works_with_gearmand_too() {
    require(GEARMAND);
    compare(&Server::gearmand(&[]));
}

#[test]
fn thousands_of_jobs_from_a_file_come_back_in_order() {
    let server = Server::conveyor(&[]);
    let _workers = [worker(&server, "rev", "rev"), worker(&server, "rev", "rev")];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs");
    let lines: Vec<String> = (0..2000).map(|number| format!("job-{number}")).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let args = ["-f", "rev", "-n", "-v", "--in-flight", "50", "--file", path.to_str().unwrap()];
    let output = submit(&server, &args, b"");
    let reversed = |line: &String| line.chars().rev().collect::<String>() + "\n";
    assert_eq!(text(&output.stdout), lines.iter().map(reversed).collect::<String>());
    assert!(text(&output.stderr).contains("2000 jobs: 2000 done, 0 failed"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn jobs_are_done_while_more_input_is_awaited() {
    let server = Server::conveyor(&[]);
    let _worker = worker(&server, "rev", "rev");
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["client", "submit", "-p", &server.port().to_string(), "-f", "rev", "-n"]);
    let mut child = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut input = child.child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.child.stdout.take().unwrap());
    for (line, result) in [("abc\n", "cba\n"), ("xyz\n", "zyx\n")] {
        input.write_all(line.as_bytes()).unwrap();
        let mut got = String::new();
        std::io::BufRead::read_line(&mut output, &mut got).unwrap();
        assert_eq!(got, result);
    }
    drop(input);
    assert_eq!(child.exit_code(), Some(0));
}

#[test]
fn events_are_json_and_exit_codes_tell_failures_from_the_unknown() {
    let server = Server::conveyor(&[]);
    let _workers = [worker(&server, "rev", "rev"), worker(&server, "fails", "exit 1")];
    let events = |output: &Output| -> Vec<Value> {
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let output = submit(&server, &["-f", "rev", "--json", "abc"], b"");
    let names: Vec<String> =
        events(&output).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!((names.first().unwrap().as_str(), names.last().unwrap().as_str()), ("created", "complete"));
    let data: String = events(&output)
        .iter()
        .filter_map(|event| event["data"].as_str().or(event["result"].as_str()))
        .collect();
    assert_eq!(data.trim_end(), "cba");

    let failed = submit(&server, &["-f", "fails", "x"], b"");
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("Job failed"), "{}", text(&failed.stderr));

    let late = submit(&server, &["-f", "nobody", "-t", "200", "x"], b"");
    assert_eq!(late.status.code(), Some(3), "{}", text(&late.stderr));
    assert!(text(&late.stderr).contains("deadline"), "{}", text(&late.stderr));

    let scheduled = submit(&server, &["-f", "later", "--at", "+1d", "-v", "x"], b"");
    assert_eq!(scheduled.status.code(), Some(0), "{}", text(&scheduled.stderr));
    wait_for("the job is queued", || {
        server.status().iter().any(|row| row.0 == "later" && row.1 == 1).then_some(())
    });

    // A wrong time is wrong usage; TZ is that of a machine.
    let at = |zone: &str, time: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.env("TZ", zone).args(["client", "submit", "-p", &server.port().to_string()]);
        run(command.args(["-f", "then", "-b", "x", "--at", time]))
    };
    for (zone, time, code, said) in [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "tomorrow 03:00", 0, ""),
        ("Europe/Berlin", "2100-01-01 03:00", 0, ""),
        ("No/Where", "2100-01-01 03:00", 2, "set TZ"),
        ("No/Where", "2100-01-01T03:00:00+01:00", 0, ""),
        ("No/Where", "in 3 days", 0, ""),
        ("UTC", "2001-01-01 03:00", 2, "is past"),
        ("UTC", "some day", 2, "'monday 09:00'"),
    ] {
        let output = at(zone, time);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{zone} {time}: {stderr}");
        assert!(stderr.contains(said), "{zone} {time}: {stderr}");
    }
    assert_eq!(submit(&server, &["x"], b"").status.code(), Some(2));
    let port = server.port();
    drop(server);
    let output = run(Command::new(env!("CARGO_BIN_EXE_conveyor"))
        .args(["client", "submit", "-f", "rev", "-s", "-p"])
        .arg(port.to_string()));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("conveyor server"), "{}", text(&output.stderr));
}

/// With `--wait`, a background job is asked for until it is gone.
fn waits(server: &Server, starts: &[&[&str]]) {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.01; done", go.display());
    let _worker = worker(server, "gated", &script);
    for start in starts {
        let args = [*start, &["--wait", "-v", "x"]].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.args(["client", "submit", "-p", &server.port().to_string(), "-f", "gated"]).args(args);
        let mut client = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        wait_for("the job runs", || {
            server.status().iter().any(|row| row.0 == "gated" && row.2 == 1).then_some(())
        });
        assert!(client.child.try_wait().unwrap().is_none(), "it waits");
        std::fs::write(&go, "").unwrap();
        assert_eq!(client.exit_code(), Some(0));
        let said = client.child.stderr.take().unwrap();
        let said = std::io::read_to_string(said).unwrap();
        assert!(said.contains("Task gone: H:") && said.contains("leave no outcome"), "{said}");
        std::fs::remove_file(&go).unwrap();
    }
    let late = submit(server, &["-f", "gated", "--at", "in 1 day", "--wait", "-t", "300", "x"], b"");
    assert_eq!(late.status.code(), Some(3), "{}", text(&late.stderr));
    assert!(text(&late.stderr).contains("has not ended within 300 ms"), "{}", text(&late.stderr));
    std::fs::write(&go, "").unwrap();
    let plain = submit(server, &["-f", "gated", "--wait", "x"], b"");
    assert_eq!((plain.status.code(), text(&plain.stderr)), (Some(0), String::new()));
}

#[test]
fn background_jobs_can_be_waited_for() {
    waits(&Server::conveyor(&[]), &[&["-b"], &["--at", "now"]]);
}

#[test]
fn background_jobs_of_gearmand_can_be_waited_for_too() {
    require(GEARMAND);
    // It wakes nobody when a start time has come: such a job would be done at some time or other.
    waits(&Server::gearmand(&[]), &[&["-b"]]);
}

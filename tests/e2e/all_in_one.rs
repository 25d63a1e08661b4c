//! The first minute: `conveyor all-in-one`, the stock command line tool, and `conveyor admin`.

use crate::support::{Process, free_port, require, run, wait_for};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

struct AllInOne {
    _process: Process,
    port: String,
    greeting: String,
}

fn start() -> AllInOne {
    let port = free_port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    let mut process = Process::spawn(command.args(["all-in-one", "--port", &port]).stdout(Stdio::piped()));
    let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
    let mut greeting = String::new();
    while !greeting.contains("Ctrl-C") {
        greeting.push_str(&lines.next().expect("it greets").unwrap());
        greeting.push('\n');
    }
    AllInOne { _process: process, port, greeting }
}

fn gearman(port: &str, args: &[&str]) -> (Option<i32>, String) {
    require("gearman");
    let output = run(Command::new("gearman").args(["-h", "127.0.0.1", "-p", port]).args(args));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn admin(port: &str, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    let output = run(command.args(["admin", "--server", &format!("127.0.0.1:{port}")]).args(args));
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_greeting_says_what_to_try_and_it_works() {
    let it = start();
    let line = format!("gearman -p {} -f reverse hello", it.port);
    assert!(it.greeting.contains(&line), "{}", it.greeting);
    assert_eq!(gearman(&it.port, &["-f", "reverse", "hello"]), (Some(0), "olleh".to_owned()));
}

#[test]
fn every_demo_function_answers_a_stock_client() {
    let it = start();
    assert_eq!(gearman(&it.port, &["-f", "echo", "same"]), (Some(0), "same".to_owned()));
    assert_eq!(gearman(&it.port, &["-f", "upper", "loud"]), (Some(0), "LOUD".to_owned()));
    assert_eq!(gearman(&it.port, &["-f", "wc", "one two"]), (Some(0), "0 2 7\n".to_owned()));
    assert_eq!(gearman(&it.port, &["-f", "fail", "x"]).0, Some(1));
    let (code, printed) = gearman(&it.port, &["-s", "-f", "sleep", "0.2"]);
    assert_eq!(code, Some(0));
    assert!(printed.contains("50% Complete") && printed.contains("slept 0.2 s"), "{printed}");
}

#[test]
fn admin_shows_and_changes_what_the_protocol_knows() {
    let it = start();
    let port = it.port.as_str();
    wait_for("all workers are there", || admin(port, &["status"]).contains("      4").then_some(()));
    assert!(admin(port, &["status"]).starts_with("FUNCTION  TOTAL  RUNNING  WORKERS\n"));
    let rows: serde_json::Value = serde_json::from_str(&admin(port, &["--json", "workers"])).unwrap();
    let demo = |row: &serde_json::Value| row["id"].as_str().unwrap().starts_with("demo-");
    assert_eq!(rows.as_array().unwrap().iter().filter(|row| demo(row)).count(), 4);
    assert_eq!(admin(port, &["create-function", "idle"]), "OK\n");
    assert_eq!(gearman(port, &["-b", "-f", "idle", "x"]).0, Some(0));
    let jobs: serde_json::Value = serde_json::from_str(&admin(port, &["--json", "show-jobs"])).unwrap();
    assert_eq!(jobs[0]["background"], true);
    let handle = jobs[0]["handle"].as_str().unwrap();
    assert_eq!(admin(port, &["cancel-job", handle]), "OK\n");
    assert!(admin(port, &["priority-status"]).contains("idle"));
    assert_eq!(admin(port, &["max-queue", "idle", "5"]), "OK\n");
    assert_eq!(admin(port, &["drop-function", "idle"]), "OK\n");
    assert_eq!(admin(port, &["show-unique-jobs"]), "UNIQUE\n");
    assert!(admin(port, &["version"]).contains("+conveyor-"));
    assert!(admin(port, &["getpid"]).trim().parse::<u32>().is_ok());
    assert_eq!(admin(port, &["verbose"]), "WARNING\n");
}

//! The text command `readiness`, and `conveyor admin readiness`.

use crate::mending::{PAGE, damage, pages};
use crate::store::{filled, server, stop};
use crate::support::{GEARMAND, Process, Server, lasting_port, require, run};
use crate::wire;
use std::process::{Command, Output, Stdio};

fn command(port: u16, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["admin", "--server", &format!("127.0.0.1:{port}"), "readiness"]).args(words);
    command
}

fn ask(port: u16, words: &[&str]) -> Output {
    run(&mut command(port, words))
}

#[test]
fn a_server_is_ready_with_a_store_and_without() {
    for options in [&[][..], &["--queue-type", "builtin"]] {
        let running = Server::conveyor(options);
        let output = ask(running.port(), &["--wait", "20"]);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"ready\n"[..]));
        assert_eq!(running.connect().line("readiness"), "OK ready\n");
        let told = ask(running.port(), &["--json"]).stdout;
        assert_eq!(told, b"{\"read\":null,\"state\":\"ready\"}\n");
    }
}

#[test]
fn waiting_begins_before_the_server() {
    let port = lasting_port();
    assert_eq!(ask(port, &[]).status.code(), Some(1), "nobody is there, and nobody is waited for");
    let mut waiting = Process::spawn(command(port, &["--wait", "20"]).stdout(Stdio::null()));
    let running = Server::conveyor_at(port, &[]);
    assert_eq!(waiting.exit_code(), Some(0));
    stop(running);
}

#[test]
fn a_server_whose_store_failed_is_not_ready_and_says_so() {
    let directory = filled(3000);
    damage(directory.path(), |bytes| {
        let leaves = pages(bytes, 0x0d);
        let middle = leaves[leaves.len() / 2] * PAGE;
        bytes[middle..middle + PAGE].fill(0xa5);
    });
    let running = server(directory.path());
    let output = ask(running.port(), &["--wait", "20"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("STORE_FAILED"), "{told}");
    let mut peer = running.connect();
    assert_eq!(peer.line("readiness"), "ERR STORE_FAILED background+jobs+are+refused\n");
    peer.send(wire::SUBMIT_JOB_BG, &[b"f", b"", b"x"]);
    assert_eq!(peer.receive().0, wire::ERROR);
}

#[test]
fn gearmand_does_not_know_the_question() {
    require(GEARMAND);
    let running = Server::gearmand(&[]);
    let output = ask(running.port(), &["--wait", "20"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("UNKNOWN_COMMAND"), "{told}");
}

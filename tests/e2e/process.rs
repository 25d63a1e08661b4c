//! The server as a process: options, messages, signals, exit codes, files.

use crate::support::{Process, Server, free_port, run, wait_for};
use crate::wire;
use std::fs;
use std::net::TcpStream;
use std::process::Command;

fn conveyor(args: &[&str]) -> std::process::Output {
    run(Command::new(env!("CARGO_BIN_EXE_conveyor")).args(args))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_args_version_and_help_end_with_success() {
    for (args, expected) in [
        (&["server", "--check-args"][..], ""),
        (&["server", "--version"][..], "2.0.0+conveyor-"),
        (&["server", "--version", "--compat", "1.1"][..], "1.1.20+conveyor-"),
        (&["server", "--help"][..], "Examples:"),
        (&["all-in-one", "--help"][..], "gearman -f reverse hello"),
    ] {
        let output = conveyor(args);
        assert!(output.status.success(), "{args:?}");
        assert!(text(&output.stdout).contains(expected), "{args:?}: {}", text(&output.stdout));
    }
}

#[test]
fn wrong_values_are_named_and_end_with_failure() {
    for (args, code, expected) in [
        (&["server", "--hashtable-buckets", "0"][..], 1, "hashtable-buckets has to be greater than 0"),
        (&["server", "--job-retries", "256"][..], 1, "job-retries must be -1 (no limit), 0 (no retries)"),
        (&["server", "--port", "x"][..], 2, "invalid value 'x'"),
        (&["server", "--verbose", "info"][..], 2, "invalid value 'info'"),
        (&["server", "-L", "192.0.2.1", "-p", "0"][..], 1, "cannot listen on 192.0.2.1"),
    ] {
        let output = conveyor(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(text(&output.stderr).contains(expected), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_taken_port_is_reported_with_its_owner_and_a_way_out() {
    let server = Server::conveyor(&[]);
    let port = server.port().to_string();
    for command in ["server", "all-in-one"] {
        let output = conveyor(&[command, "--listen", "127.0.0.1", "--port", &port]);
        assert_eq!(output.status.code(), Some(1));
        let message = text(&output.stderr);
        let owner = format!("taken by conveyor (pid {})", server.process.id());
        assert!(message.contains(&owner) && message.contains("--port"), "{message}");
    }
}

#[test]
fn term_and_int_stop_at_once_and_the_pid_file_goes() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("pid");
        let port = free_port().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.args(["server", "-L", "127.0.0.1", "-p", &port, "-P"]).arg(&pid_file);
        command.env("CONVEYOR_DATA_DIR", directory.path());
        let mut process = Process::spawn(&mut command);
        wait_for("the server accepts", || TcpStream::connect(format!("127.0.0.1:{port}")).ok());
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), format!("{}\n", process.id()));
        process.signal(signal);
        assert_eq!(process.exit_code(), Some(0));
        assert!(!pid_file.exists());
    }
}

#[test]
fn usr1_ends_the_server_when_no_job_is_left() {
    let mut server = Server::conveyor(&[]);
    let mut peer = server.connect();
    peer.send(wire::SUBMIT_JOB_BG, &[b"f", b"", b"p"]);
    assert_eq!(peer.receive().0, wire::JOB_CREATED);
    server.process.signal("USR1");
    wait_for("it listens no more", || TcpStream::connect(server.address).err());
    // Who is there is served as before.
    peer.send(wire::CAN_DO, &[b"f"]);
    peer.send(wire::GRAB_JOB, &[]);
    let (assigned, body) = peer.receive();
    assert_eq!(assigned, wire::JOB_ASSIGN);
    let handle = body.split(|byte| *byte == 0).next().unwrap().to_vec();
    assert_eq!(server.process.child.try_wait().unwrap(), None);
    peer.send(wire::WORK_COMPLETE, &[&handle, b""]);
    assert_eq!(server.process.exit_code(), Some(0));
}

#[test]
fn hup_opens_a_rotated_log_again() {
    let directory = tempfile::tempdir().unwrap();
    let (log, old) = (directory.path().join("log"), directory.path().join("log.1"));
    let log_option = log.display().to_string();
    let server = Server::conveyor(&["--log-file", &log_option, "--verbose", "DEBUG"]);
    wait_for("the log is written", || {
        fs::read_to_string(&log).ok().filter(|text| text.contains("listening"))
    });
    fs::rename(&log, &old).unwrap();
    server.process.signal("HUP");
    wait_for("a new log file", || {
        drop(server.connect());
        fs::read_to_string(&log).ok().filter(|text| text.contains("connected"))
    });
}

#[test]
fn under_the_name_gearmand_it_takes_gearmands_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let gearmand = directory.path().join("gearmand");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_conveyor"), &gearmand).unwrap();
    let version = run(Command::new(&gearmand).arg("--version"));
    assert!(text(&version.stdout).starts_with("\ngearmand 1.1.20+conveyor-"), "{}", text(&version.stdout));
    let wrong = run(Command::new(&gearmand).arg("foo"));
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(text(&wrong.stderr), "gearmand: unrecognised option 'foo'\n");
    let port = free_port();
    let mut command = Command::new(&gearmand);
    command.args(["--listen=127.0.0.1", &format!("-p{port}"), "--log-file", "none", "-t", "2", "-R"]);
    command.arg("--pid-file").arg(directory.path().join("pid"));
    let _server = Process::spawn(&mut command);
    let mut peer = wait_for("gearmand accepts", || {
        TcpStream::connect(("127.0.0.1", port))
            .ok()
            .map(|stream| crate::support::Peer::connect(stream.peer_addr().unwrap()))
    });
    assert!(peer.line("version").starts_with("OK 1.1.20+conveyor-"));
}

#[test]
fn every_address_of_a_name_and_both_families_are_listened_on() {
    let port = free_port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.env("CONVEYOR_DATA_DIR", directory.path());
    let _server = Process::spawn(command.args(["server", "-L", "127.0.0.1", "-L", "::1", "-p", &port]));
    for address in ["127.0.0.1", "[::1]"] {
        wait_for("it accepts", || TcpStream::connect(format!("{address}:{port}")).ok());
    }
}

//! Rows of docs/tools.md that are not compared elsewhere: `conveyor client submit` and `conveyor worker` beside
//! `gearman` and `gearman -w`, on both servers.

use crate::support::{GEARMAND, Process, Server, bound, require, run, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

/// Runs a test on each of the two servers.
fn on_both(test: impl Fn(&Server)) {
    require("gearman");
    require(GEARMAND);
    test(&Server::conveyor(&[]));
    test(&Server::gearmand(&[]));
}

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
}

use Whose::{Ours, Theirs};

impl Whose {
    const BOTH: [Self; 2] = [Ours, Theirs];

    fn client(self, server: &Server, args: &[&str]) -> Output {
        let mut command = match self {
            Ours => bound(env!("CARGO_BIN_EXE_conveyor")),
            Theirs => bound("gearman"),
        };
        command.args(if self == Ours { &["client", "submit"][..] } else { &[] });
        command.args(["-h", "127.0.0.1", "-p", &server.port().to_string()]).args(args);
        run(command.stdin(Stdio::null()))
    }

    /// A worker of a function, and what it writes.
    fn worker(self, server: &Server, function: &str, args: &[&str]) -> Process {
        let (program, word) = match self {
            Ours => (env!("CARGO_BIN_EXE_conveyor"), "worker"),
            Theirs => ("gearman", "-w"),
        };
        let mut command = bound(program);
        command.args([word, "-h", "127.0.0.1", "-p", &server.port().to_string(), "-f", function]).args(args);
        let worker = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        server.wait_for_workers(function, 1);
        worker
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_job_out_of_time_fails_here_and_succeeds_there_but_both_say_so() {
    on_both(|server| {
        let _worker = Theirs.worker(server, "slow", &["--", "sh", "-c", "exec sleep 60"]);
        for function in ["nobody", "slow"] {
            let theirs = Theirs.client(server, &["-f", function, "-t", "300", "x"]);
            assert_eq!((theirs.status.code(), stdout(&theirs).as_str()), (Some(0), ""));
            assert!(stderr(&theirs).contains("timeout reached"), "{}", stderr(&theirs));
            let ours = Ours.client(server, &["-f", function, "-t", "300", "x"]);
            assert_eq!((ours.status.code(), stdout(&ours).as_str()), (Some(3), ""));
            assert!(stderr(&ours).contains("deadline"), "{}", stderr(&ours));
        }
        let _worker = Theirs.worker(server, "quick", &["--", "cat"]);
        for whose in Whose::BOTH {
            let output = whose.client(server, &["-f", "quick", "-t", "20000", "in time"]);
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "in time"), "{whose:?}");
        }
    });
}

#[test]
fn handles_are_told_beside_the_result_here_and_in_the_midst_of_it_there() {
    on_both(|server| {
        let _worker = Theirs.worker(server, "echo", &["--", "cat"]);
        for (args, result) in [(&["-f", "echo", "-v", "x"][..], "x"), (&["-f", "echo", "-v", "-b", "x"], "")]
        {
            let theirs = Theirs.client(server, args);
            let said = stdout(&theirs);
            assert!(said.starts_with(&format!("{result}Task created: H:")), "{said}");
            assert_eq!((theirs.status.code(), stderr(&theirs).as_str()), (Some(0), ""));
            let ours = Ours.client(server, args);
            assert_eq!((ours.status.code(), stdout(&ours).as_str()), (Some(0), result));
            assert!(stderr(&ours).starts_with("Task created: H:"), "{}", stderr(&ours));
            assert!(stderr(&ours).contains("1 jobs: 1 done, 0 failed"), "{}", stderr(&ours));
        }
    });
}

#[test]
fn progress_is_told_beside_the_result_here_and_in_the_midst_of_it_there() {
    on_both(|server| {
        let script = "echo progress 1 2 >&3; echo data part. >&3; printf end";
        let _worker = Ours.worker(server, "talk", &["--", "sh", "-c", script]);
        let theirs = Theirs.client(server, &["-f", "talk", "x"]);
        assert_eq!((stdout(&theirs).as_str(), stderr(&theirs).as_str()), ("part.end50% Complete\n", ""));
        let ours = Ours.client(server, &["-f", "talk", "x"]);
        assert_eq!((stdout(&ours).as_str(), stderr(&ours).as_str()), ("part.end", "50% Complete\n"));
    });
}

/// Every letter that `gearman -H` lists is an option here, of the client, of the worker or of both.
#[test]
fn every_letter_of_gearman_is_in_the_help() {
    require("gearman");
    let letters = |text: &str| -> BTreeSet<char> {
        let option = |line: &str| line.trim_start().strip_prefix('-')?.chars().next();
        text.lines().filter_map(option).filter(|letter| *letter != '-').collect()
    };
    let theirs = run(Command::new("gearman").arg("-H"));
    assert_eq!((theirs.status.code(), stdout(&theirs).as_str()), (Some(0), ""), "to standard error");
    let said = stderr(&theirs);
    let (common, own) = said.split_once("Client options:").unwrap();
    let (client, worker) = own.split_once("Worker options:").unwrap();
    let help = |words: &[&str]| {
        let output = run(Command::new(env!("CARGO_BIN_EXE_conveyor")).args(words).arg("-H"));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        letters(&stdout(&output))
    };
    let lacks = |ours: BTreeSet<char>, theirs: &str| -> String {
        letters(common).union(&letters(theirs)).filter(|letter| !ours.contains(letter)).collect()
    };
    assert!(letters(common).len() >= 7 && letters(client).len() >= 8 && letters(worker).len() >= 4);
    assert_eq!(lacks(help(&["client", "submit"]), client), "");
    // `-w` is the word `worker`; `-t` has no use there, see below.
    assert_eq!(lacks(help(&["worker"]), worker), "tw");
}

#[test]
fn tls_is_nothing_there_and_needs_somebody_to_trust_here() {
    on_both(|server| {
        let _worker = Theirs.worker(server, "echo", &["-S", "--", "cat"]);
        let theirs = Theirs.client(server, &["-S", "-f", "echo", "plain"]);
        assert_eq!((theirs.status.code(), stdout(&theirs).as_str()), (Some(0), "plain"));
        let ours = Ours.client(server, &["-S", "-f", "echo", "plain"]);
        assert_eq!((ours.status.code(), stdout(&ours).as_str()), (Some(2), ""));
        let port = server.port().to_string();
        let mut worker = bound(env!("CARGO_BIN_EXE_conveyor"));
        let ours = run(worker.args(["worker", "-p", &port, "-S", "-f", "echo", "--", "cat"]));
        assert_eq!(ours.status.code(), Some(2));
    });
}

/// With no command payloads are written as they are, without anything between them; after `-c` of them both end.
#[test]
fn a_worker_without_a_command_writes_payloads_and_ends_after_so_many() {
    on_both(|server| {
        for whose in Whose::BOTH {
            let mut worker = whose.worker(server, "print", &["-c", "2"]);
            for payload in ["one\n", "two"] {
                let output = Theirs.client(server, &["-f", "print", payload]);
                assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
            }
            assert_eq!(worker.exit_code(), Some(0), "{whose:?}");
            let written = std::io::read_to_string(worker.child.stdout.take().unwrap()).unwrap();
            assert_eq!(written, "one\ntwo", "{whose:?}");
            wait_for("it is gone", || server.status().iter().all(|row| row.3 == 0).then_some(()));
        }
    });
}

/// `gearman -w` sends all lines so far for each line, and with `-N` takes the last byte of that, be it a line end or not.
#[test]
fn lines_are_sent_as_data_here_and_over_and_over_there() {
    on_both(|server| {
        for (option, ours, theirs) in [
            ("-n", ["a\n", "b\n", "c"], ["a\n", "a\nb\n", "a\nb\nc"]),
            ("-N", ["a", "b", "c"], ["a", "a\nb", "a\nb\n"]),
        ] {
            for (whose, parts) in [(Ours, ours), (Theirs, theirs)] {
                let mut worker = whose.worker(server, "lines", &[option, "-c", "1", "--", "cat"]);
                let output = Ours.client(server, &["-f", "lines", "--json", "a\nb\nc"]);
                let data: Vec<String> = stdout(&output)
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap())
                    .filter_map(|event| event["data"].as_str().map(str::to_owned))
                    .collect();
                assert_eq!(data, parts, "{whose:?} {option}: {}", stdout(&output));
                assert_eq!(worker.exit_code(), Some(0));
                wait_for("it is gone", || server.status().iter().all(|row| row.3 == 0).then_some(()));
            }
        }
    });
}

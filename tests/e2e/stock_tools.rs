//! `gearman` and `gearadmin` as Debian ships them, for the rules that stock clients depend on.

use crate::support::{Process, Server, bound, require, run, wait_for};
use crate::wire;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn gearadmin(server: &Server, args: &[&str]) -> (Option<i32>, String) {
    require("gearadmin");
    let port = server.port().to_string();
    let output = run(Command::new("gearadmin").args(["-h", "127.0.0.1", "-p", &port]).args(args));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn gearman(server: &Server, args: &[&str]) -> (Option<i32>, String) {
    require("gearman");
    let port = server.port().to_string();
    let output = run(Command::new("gearman").args(["-h", "127.0.0.1", "-p", &port]).args(args));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A stock worker that runs a shell command for every job.
fn worker(server: &Server, function: &str, shell: &str) -> Process {
    require("gearman");
    let port = server.port().to_string();
    let mut command = bound("gearman");
    command.args(["-h", "127.0.0.1", "-p", &port, "-w", "-f", function, "--", "sh", "-c", shell]);
    Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

fn appears(file: &Path) {
    wait_for(&format!("{} appears", file.display()), || file.exists().then_some(()));
}

#[test]
fn gearadmin_gets_every_answer_it_knows() {
    let server = Server::conveyor(&[]);
    let _worker = worker(&server, "work", "cat");
    server.wait_for_workers("work", 1);
    assert_eq!(gearadmin(&server, &["--status"]), (Some(0), "work\t0\t0\t1\n.\n".to_owned()));
    assert!(gearadmin(&server, &["--workers"]).1.contains(": work\n"));
    assert!(gearadmin(&server, &["--server-version"]).1.contains("+conveyor-"));
    assert!(gearadmin(&server, &["--getpid"]).1.contains(&server.process.id().to_string()));
    assert_eq!(gearadmin(&server, &["--create-function", "made"]).0, Some(0));
    assert_eq!(gearadmin(&server, &["--priority-status"]).1, "work\t0\t0\t0\t1\nmade\t0\t0\t0\t0\n.\n");
    gearman(&server, &["-b", "-f", "made", "x"]);
    let (_, jobs) = gearadmin(&server, &["--show-jobs"]);
    let handle = jobs.split('\t').next().unwrap();
    assert_eq!(gearadmin(&server, &["--show-unique-jobs"]).1.lines().count(), 2);
    assert_eq!(gearadmin(&server, &[&format!("--cancel-job={handle}")]).0, Some(0));
    assert_eq!(gearadmin(&server, &["--drop-function", "made"]).0, Some(0));
}

#[test]
fn a_frozen_worker_keeps_its_job_and_finishes_it_later() {
    let server = Server::conveyor(&[]);
    let directory = tempfile::tempdir().unwrap();
    let (started, go) = (directory.path().join("started"), directory.path().join("go"));
    let shell =
        format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done; cat", started.display(), go.display());
    let worker = worker(&server, "slow", &shell);
    server.wait_for_workers("slow", 1);
    let port = server.port().to_string();
    let client = std::thread::spawn(move || {
        run(Command::new("gearman").args(["-h", "127.0.0.1", "-p", &port, "-f", "slow", "kept"]))
    });
    appears(&started);
    worker.signal("STOP");
    let start = Instant::now();
    wait_for("two seconds of silence", || (start.elapsed() > Duration::from_secs(2)).then_some(()));
    assert_eq!(server.status(), vec![("slow".to_owned(), 1, 1, 1)], "silence is not death");
    fs::write(&go, "").unwrap();
    worker.signal("CONT");
    assert_eq!(String::from_utf8_lossy(&client.join().unwrap().stdout), "kept");
}

#[test]
fn the_job_of_a_killed_worker_is_done_by_another() {
    let server = Server::conveyor(&[]);
    let directory = tempfile::tempdir().unwrap();
    let started = directory.path().join("started");
    let first = worker(&server, "f", &format!("touch {}; exec sleep 60", started.display()));
    server.wait_for_workers("f", 1);
    let port = server.port().to_string();
    let client = std::thread::spawn(move || {
        run(Command::new("gearman").args(["-h", "127.0.0.1", "-p", &port, "-f", "f", "again"]))
    });
    appears(&started);
    let _second = worker(&server, "f", "cat");
    server.wait_for_workers("f", 2);
    drop(first);
    assert_eq!(String::from_utf8_lossy(&client.join().unwrap().stdout), "again");
}

#[test]
fn with_most_sleepers_frozen_the_one_alive_gets_every_job_at_once() {
    let server = Server::conveyor(&[]);
    let workers: Vec<Process> = (0..6).map(|_| worker(&server, "f", "cat")).collect();
    server.wait_for_workers("f", 6);
    workers[1..].iter().for_each(|worker| worker.signal("STOP"));
    for number in 0..10 {
        let start = Instant::now();
        let payload = format!("job {number}");
        assert_eq!(gearman(&server, &["-f", "f", &payload]), (Some(0), payload.clone()));
        // A second by the rule, and three times that for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(3), "{payload} took {:?}", start.elapsed());
    }
    workers[1..].iter().for_each(|worker| worker.signal("CONT"));
}

#[test]
fn a_stock_worker_does_a_future_job_when_its_time_comes() {
    let server = Server::conveyor(&[]);
    let directory = tempfile::tempdir().unwrap();
    let done = directory.path().join("done");
    let _worker = worker(&server, "later", &format!("cat > {}", done.display()));
    server.wait_for_workers("later", 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut client = server.connect();
    client.send(wire::SUBMIT_JOB_EPOCH, &[b"later", b"", (now + 2).to_string().as_bytes(), b"p"]);
    assert_eq!(client.receive().0, wire::JOB_CREATED);
    appears(&done);
    let finished = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(finished >= now + 2, "{} s early", now + 2 - finished);
}

#[test]
fn results_follow_their_submission_on_every_connection() {
    // Many stock clients at once, each checking that it gets its own answers.
    let server = Server::conveyor(&[]);
    let _workers: Vec<Process> = (0..3).map(|_| worker(&server, "id", "cat")).collect();
    server.wait_for_workers("id", 3);
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let port = server.port().to_string();
            std::thread::spawn(move || {
                for number in 0..10 {
                    let payload = format!("client {client}, job {number}");
                    let args = ["-h", "127.0.0.1", "-p", &port, "-f", "id", &payload];
                    let output = run(Command::new("gearman").args(args));
                    assert_eq!(String::from_utf8_lossy(&output.stdout), payload);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

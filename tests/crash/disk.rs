//! The disk is full or broken: what is refused stays refused, what was acknowledged is there, and the rest goes on.

use crate::conn::Conn;
use crate::crew::assigned;
use crate::server::Victim;
use crate::support::{require, run};
use crate::wire::{
    CAN_DO, GRAB_JOB, JOB_ASSIGN, JOB_CREATED, NO_JOB, SUBMIT_JOB, SUBMIT_JOB_BG, WORK_COMPLETE,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Submissions sent at once.
const PIPELINED: usize = 20;

/// The shim of `shim/disk.c`, compiled once.
pub(crate) fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        require("gcc");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/shim/disk.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}.so", std::process::id()));
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&built).arg(source);
        let output = run(gcc.args(["-ldl", "-lpthread"]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built
    })
}

/// Payloads of all jobs that are there; they are done.
pub(crate) fn take_all(server: &Victim, function: &str) -> BTreeSet<usize> {
    let mut conn = Conn::open(server.address).unwrap();
    conn.send(CAN_DO, &[function.as_bytes()]).unwrap();
    let mut taken = BTreeSet::new();
    loop {
        conn.send(GRAB_JOB, &[]).unwrap();
        let (opcode, body) = conn.receive().unwrap();
        match opcode {
            JOB_ASSIGN => {
                let (id, handle) = assigned(&body);
                assert!(taken.insert(id), "job {id} is there twice");
                conn.send(WORK_COMPLETE, &[&handle, b""]).unwrap();
            }
            NO_JOB => return taken,
            other => panic!("{other} answers GRAB_JOB"),
        }
    }
}

/// How a server ends whose disk has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Killed at the first refusal, with more submissions under way.
    Kill,
    /// Stopped in order, and the disk still fails.
    Stop,
    /// Stopped in order when the disk is well again.
    StopWell,
}

/// The disk of a server fails after so many calls.
fn fail(kind: char, errno: i32, after: usize, end: End) {
    let place = tempfile::tempdir().unwrap();
    let trigger = place.path().join("trigger");
    let mut server = Victim::new(place.path(), &[]);
    server.variable("LD_PRELOAD", shim());
    server.variable("CRASH_DIRECTORY", server.directory.clone());
    server.variable("CRASH_TRIGGER", &trigger);
    server.start();
    let mut conn = Conn::open(server.address).unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for id in 0..100 {
        conn.submit("f", "", format!("{id}:").as_bytes()).unwrap().unwrap();
        acknowledged.insert(id);
    }
    // Written aside: the server must not read half of it.
    let ready = place.path().join("ready");
    std::fs::write(&ready, format!("{kind} {errno} {after}")).unwrap();
    std::fs::rename(&ready, &trigger).unwrap();
    let mut next = 100;
    while refused.is_empty() {
        assert!(next < 2_000, "the disk does not fail");
        let ids: Vec<usize> = (next..next + PIPELINED).collect();
        next += PIPELINED;
        for id in &ids {
            conn.send(SUBMIT_JOB_BG, &[b"f", b"", format!("{id}:").as_bytes()]).unwrap();
        }
        for id in ids {
            match conn.created().unwrap() {
                Ok(_) => assert!(acknowledged.insert(id) && refused.is_empty(), "accepted after a refusal"),
                Err(words) => {
                    assert!(words.starts_with("QUEUE_ERROR"), "{words:?}");
                    refused.insert(id);
                    if end == End::Kill {
                        break;
                    }
                }
            }
        }
    }
    let mut again = BTreeSet::new();
    if end == End::Kill {
        server.kill();
    } else {
        server.wait_to_say("background jobs are refused until the server is started again");
        again = goes_on(&server);
        assert!(acknowledged.is_superset(&again));
        if end == End::StopWell {
            std::fs::remove_file(&trigger).unwrap();
        }
        server.stop();
    }
    // A job that ended when nothing could be stored any more may run again.
    server.without_variables();
    server.start();
    server.wait_to_say("all stored jobs are read");
    let found = take_all(&server, "f");
    let back: Vec<&usize> = found.intersection(&refused).collect();
    assert!(back.is_empty(), "{kind} {errno} {after} {end:?}: refused jobs are back: {back:?}");
    let lost: Vec<&usize> =
        acknowledged.iter().filter(|id| !found.contains(id) && !again.contains(id)).collect();
    assert!(lost.is_empty(), "{kind} {errno} {after} {end:?}: acknowledged jobs are lost: {lost:?}");
    server.stop();
}

/// Foreground jobs and stored ones can be worked on; what was done is returned.
fn goes_on(server: &Victim) -> BTreeSet<usize> {
    let mut client = Conn::open(server.address).unwrap();
    client.send(SUBMIT_JOB, &[b"now", b"", b"7:"]).unwrap();
    assert_eq!(client.receive().unwrap().0, JOB_CREATED);
    assert_eq!(take_all(server, "now"), BTreeSet::from([7]));
    assert_eq!(client.receive().unwrap().0, WORK_COMPLETE);
    let refusal = client.submit("f", "", b"1:").unwrap().unwrap_err();
    assert!(refusal.starts_with("QUEUE_ERROR"), "{refusal:?}");
    let mut worker = Conn::open(server.address).unwrap();
    worker.send(CAN_DO, &[b"f"]).unwrap();
    worker.send(GRAB_JOB, &[]).unwrap();
    let (opcode, body) = worker.receive().unwrap();
    assert_eq!(opcode, JOB_ASSIGN);
    let (id, handle) = assigned(&body);
    worker.send(WORK_COMPLETE, &[&handle, b""]).unwrap();
    BTreeSet::from([id])
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[test]
fn refused_jobs_of_a_full_disk_do_not_come_back() {
    for after in [0, 1, 2, 3, 5, 8] {
        for end in [End::Kill, End::Stop, End::StopWell] {
            fail('w', ENOSPC, after, end);
        }
    }
}

#[test]
fn refused_jobs_of_a_disk_that_cannot_sync_do_not_come_back() {
    for after in [0, 1, 2] {
        for end in [End::Kill, End::Stop, End::StopWell] {
            fail('s', EIO, after, end);
        }
    }
}

#[test]
fn the_log_says_what_to_do_about_a_full_disk() {
    let place = tempfile::tempdir().unwrap();
    let trigger = place.path().join("trigger");
    let mut server = Victim::new(place.path(), &[]);
    server.variable("LD_PRELOAD", shim());
    server.variable("CRASH_DIRECTORY", server.directory.clone());
    server.variable("CRASH_TRIGGER", &trigger);
    server.start();
    let mut conn = Conn::open(server.address).unwrap();
    conn.submit("f", "", b"0:").unwrap().unwrap();
    std::fs::write(&trigger, format!("w {ENOSPC} 0")).unwrap();
    conn.submit("f", "", b"1:").unwrap().unwrap_err();
    server.wait_to_say("no room is left for ");
    server.wait_to_say("queue.db, make some");
    server
        .wait_to_say("background jobs are refused until the server is started again; foreground jobs go on");
    server.kill();
    // Started on a disk that is still full, it says so and ends.
    server.spawn();
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains("No space left on device"), "{}", server.log());
}

/// Not even a number for its handle could be stored.
#[test]
fn foreground_jobs_go_on_when_nothing_was_ever_stored() {
    for durability in ["sync", "interval:20"] {
        let place = tempfile::tempdir().unwrap();
        let trigger = place.path().join("trigger");
        let mut server = Victim::new(place.path(), &["--durability", durability]);
        server.variable("LD_PRELOAD", shim());
        server.variable("CRASH_DIRECTORY", server.directory.clone());
        server.variable("CRASH_TRIGGER", &trigger);
        server.start();
        server.wait_to_say("all stored jobs are read");
        std::fs::write(&trigger, format!("w {ENOSPC} 0")).unwrap();
        // Under an interval it is not known yet that the disk is full.
        let first = Conn::open(server.address).unwrap().submit("f", "", b"1:").unwrap();
        assert!(first.is_err() || durability != "sync", "{first:?}");
        server.wait_to_say("background jobs are refused until the server is started again");
        let mut client = Conn::open(server.address).unwrap();
        client.send(SUBMIT_JOB, &[b"now", b"", b"7:"]).unwrap();
        assert_eq!(client.receive().unwrap().0, JOB_CREATED);
        assert_eq!(take_all(&server, "now"), BTreeSet::from([7]));
        assert_eq!(client.receive().unwrap().0, WORK_COMPLETE);
        server.kill();
    }
}

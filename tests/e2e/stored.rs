//! The stored queue from outside: restarts, backlogs, more jobs than memory.

use crate::support::{Peer, Process, Server, free_port, wait_for};
use crate::wire;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// Submissions on their way at a time: more would fill the buffers of both sides.
const PIPELINED: usize = 500;

/// Submits background jobs and returns their handles.
fn submit(peer: &mut Peer, opcode: u32, payloads: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let (mut handles, mut open) = (Vec::new(), 0);
    for payload in payloads {
        peer.send(opcode, &[b"f", b"", &payload]);
        open += 1;
        if open == PIPELINED {
            handles.push(accepted(peer));
            open -= 1;
        }
    }
    handles.extend((0..open).map(|_| accepted(peer)));
    handles
}

fn accepted(peer: &mut Peer) -> Vec<u8> {
    let (opcode, handle) = peer.receive();
    assert_eq!(opcode, wire::JOB_CREATED, "{}", String::from_utf8_lossy(&handle));
    handle
}

/// Grabs a job, and returns its handle and payload.
fn grab(peer: &mut Peer) -> Option<(Vec<u8>, Vec<u8>)> {
    peer.send(wire::GRAB_JOB, &[]);
    match peer.receive() {
        (wire::JOB_ASSIGN, body) => {
            let mut parts = body.splitn(3, |byte| *byte == 0).map(<[u8]>::to_vec);
            let handle = parts.next().unwrap();
            Some((handle, parts.nth(1).unwrap()))
        }
        (wire::NO_JOB, _) => None,
        (other, body) => panic!("{other} {}", String::from_utf8_lossy(&body)),
    }
}

fn is_known(peer: &mut Peer, handle: &[u8]) -> bool {
    peer.send(wire::GET_STATUS, &[handle]);
    let (opcode, body) = peer.receive();
    assert_eq!(opcode, wire::STATUS_RES);
    body.split(|byte| *byte == 0).nth(1) == Some(b"1")
}

#[test]
fn a_backlog_outlives_kill_9_and_is_served_while_it_is_read() {
    const EACH: usize = 50_000;
    let mut server = Server::conveyor(&[]);
    let mut client = server.connect();
    let number = |number: usize| number.to_string().into_bytes();
    let low = submit(&mut client, wire::SUBMIT_JOB_LOW_BG, (0..EACH).map(number));
    let high = submit(&mut client, wire::SUBMIT_JOB_HIGH_BG, (EACH..2 * EACH).map(number));
    server.kill();
    server.start_again();
    let mut peer = server.connect();
    // While jobs are still being read: who asks for one waits for it, nobody else does.
    assert!(is_known(&mut peer, &low[EACH - 1]) && is_known(&mut peer, &high[0]));
    peer.send(wire::CAN_DO, &[b"f"]);
    let (first, payload) = grab(&mut peer).unwrap();
    assert_eq!((first, payload), (high[0].clone(), number(EACH)), "high first, oldest first");
    wait_for("all are read", || (server.connect().line("readiness") == "OK ready\n").then_some(()));
    assert!(server.status().iter().any(|row| row.1 == 2 * EACH as u64));
    // No handle is given out twice.
    let fresh = submit(&mut client_of(&server), wire::SUBMIT_JOB_BG, std::iter::once(b"new".to_vec()));
    let old: BTreeSet<&Vec<u8>> = low.iter().chain(&high).collect();
    assert!(!old.contains(&fresh[0]));
}

fn client_of(server: &Server) -> Peer {
    server.connect()
}

#[test]
fn ten_times_the_budget_of_payloads_takes_no_ten_times_the_memory() {
    const JOBS: usize = 3_000;
    const BYTES: usize = 100 * 1024;
    const MOST: u64 = 200 << 20;
    let mut server = Server::conveyor(&["--queue-memory", "30M"]);
    let mut client = server.connect();
    let payload = |number: usize| {
        let mut payload = vec![b'x'; BYTES];
        payload[..8].copy_from_slice(format!("{number:08}").as_bytes());
        payload
    };
    submit(&mut client, wire::SUBMIT_JOB_BG, (0..JOBS).map(payload));
    let filled = server.memory();
    assert!(filled < MOST, "{JOBS} jobs of {BYTES} bytes take {filled} bytes");
    server.kill();
    server.start_again();
    let mut worker = server.connect();
    worker.send(wire::CAN_DO, &[b"f"]);
    let mut most = 0;
    for number in 0..JOBS {
        let (handle, got) =
            wait_for("the next job is read", || grab(&mut worker).or_else(|| panic_if_loaded(&server)));
        assert!(got == payload(number), "job {number} comes as it was submitted, in its turn");
        worker.send(wire::WORK_COMPLETE, &[&handle, b""]);
        if number % 100 == 0 {
            most = server.memory().max(most);
        }
    }
    assert!(most < MOST, "serving them takes {most} bytes");
    assert_eq!(grab(&mut worker), None);
}

/// None as long as jobs are still to be read.
fn panic_if_loaded<T>(server: &Server) -> Option<T> {
    let left = server.status().iter().map(|row| row.1).sum::<u64>();
    assert!(left == 0 || server.status().iter().all(|row| row.2 == 0), "{left} jobs and none for a worker");
    None
}

#[test]
fn whoever_starts_a_server_sees_where_its_jobs_are() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["server", "-L", "127.0.0.1", "-p", &port]).env("XDG_STATE_HOME", directory.path());
    command.env_remove("CONVEYOR_DATA_DIR").env_remove("STATE_DIRECTORY").stderr(Stdio::piped());
    let mut process = Process::spawn(&mut command);
    let mut line = String::new();
    BufReader::new(process.child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let place = directory.path().join("conveyor");
    assert_eq!(line, format!("conveyor server: background jobs are stored in {}\n", place.display()));
    assert!(place.join("queue.db").is_file());
}

#[test]
fn under_the_name_gearmand_a_data_directory_makes_the_queue_durable() {
    let directory = tempfile::tempdir().unwrap();
    let gearmand = directory.path().join("gearmand");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_conveyor"), &gearmand).unwrap();
    for (data_dir, left) in [(Some("queue"), 1), (None, 0)] {
        let port = free_port();
        let mut handles = Vec::new();
        for life in 0..2 {
            let mut command = Command::new(&gearmand);
            command.args(["--listen=127.0.0.1", &format!("--port={port}"), "--log-file=none", "--pid-file"]);
            command.arg(directory.path().join("pid")).env_remove("CONVEYOR_DATA_DIR");
            if let Some(data_dir) = data_dir {
                command.env("CONVEYOR_DATA_DIR", directory.path().join(data_dir));
            }
            let _process = Process::spawn(&mut command);
            let address = ([127, 0, 0, 1], port).into();
            wait_for("it accepts", || TcpStream::connect(address).ok());
            let mut peer = Peer::connect(address);
            if life == 0 {
                handles = submit(&mut peer, wire::SUBMIT_JOB_BG, std::iter::once(b"kept".to_vec()));
            } else {
                assert_eq!(is_known(&mut peer, &handles[0]), left == 1, "{data_dir:?}");
            }
        }
    }
}

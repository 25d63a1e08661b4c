//! Servers that go away, and several at once.

use crate::harness::{Working, submit, wait_until_done, wait_until_running, wire, worker};
use crate::support::{PATIENCE, Peer, Server, lasting_port};
use conveyor_worker::{Cancelled, Ended, Job, Outcome, Worker};
use std::io::{BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

#[test]
fn a_killed_server_is_found_again_and_its_job_is_told() {
    for mut server in [
        Server::conveyor_at(lasting_port(), &["--queue-type", "builtin"]),
        Server::gearmand_at(lasting_port(), &[]),
    ] {
        let (sender, told) = mpsc::sync_channel(1);
        let work = move |job: Job| {
            let sender = sender.clone();
            async move {
                if job.payload().is_empty() {
                    return Outcome::Complete("new".into());
                }
                sender.send(job.cancelled().await).unwrap();
                Outcome::Complete("nobody wants this".into())
            }
        };
        let _working = Working::start(worker(&server).function("work", work));
        submit(&mut server.connect(), wire::SUBMIT_JOB_BG, "work", "long");
        wait_until_running(&server, "work", 1);
        server.kill();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Cancelled::ServerLost));
        server.start_again();
        let mut client = server.connect();
        let handle = submit(&mut client, wire::SUBMIT_JOB, "work", "");
        assert_eq!(client.receive(), (wire::WORK_COMPLETE, [&handle, &b"\0new"[..]].concat()));
    }
}

/// Both queues are full before the only slot opens: the servers take turns.
#[test]
fn a_busy_server_keeps_no_job_of_another_waiting() {
    const EACH: usize = 50;
    for (one, other) in
        [(Server::conveyor(&[]), Server::gearmand(&[])), (Server::gearmand(&[]), Server::conveyor(&[]))]
    {
        for (server, name) in [(&one, "one"), (&other, "other")] {
            let mut client = server.connect();
            for _ in 0..EACH {
                submit(&mut client, wire::SUBMIT_JOB_BG, "work", name);
            }
        }
        let order: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let seen = order.clone();
        let work = move |job: Job| {
            seen.lock().unwrap().push(job.payload().to_vec());
            async { Outcome::Complete("".into()) }
        };
        let both = worker(&one).server(other.address.to_string()).function("work", work);
        let _working = Working::start(both);
        wait_until_done(&one, "work");
        wait_until_done(&other, "work");
        let order = order.lock().unwrap();
        let first = |name: &[u8]| order.iter().position(|job| job == name).unwrap();
        // From when both are connected on, none gets two turns while the other has a job.
        let start = first(b"one").max(first(b"other"));
        let middle = &order[start..order.len() - start];
        assert!(start < EACH && middle.windows(3).all(|three| three[0] != three[1] || three[1] != three[2]));
    }
}

#[test]
fn a_server_that_accepts_and_closes_is_tried_less_and_less_often() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let work = |_: Job| async { Outcome::Complete("".into()) };
    let _working = Working::start(Worker::new(address).function("work", work));
    let accept = || drop(listener.accept().unwrap());
    accept();
    let start = Instant::now();
    for _ in 0..4 {
        accept();
    }
    // Half of 100, 200, 400 and 800 ms at least; four times the first pause would be 400 ms at most.
    assert!(start.elapsed() >= Duration::from_millis(750), "{:?}", start.elapsed());
}

/// A server made of bytes: what the worker says by a connection is seen as it is.
struct Listening(TcpListener);

impl Listening {
    fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    fn worker(&self) -> Worker {
        Worker::new(self.0.local_addr().unwrap().to_string())
    }

    /// The next connection, by which the worker has said what it can do.
    fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer { stream: BufReader::new(stream) };
        assert_eq!(request(&mut peer), (wire::CAN_DO, b"work".to_vec()));
        peer
    }
}

/// The next packet of the worker.
fn request(peer: &mut Peer) -> (u32, Vec<u8>) {
    let mut header = [0_u8; 12];
    peer.stream.read_exact(&mut header).unwrap();
    assert_eq!(&header[..4], b"\0REQ");
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; number(8) as usize];
    peer.stream.read_exact(&mut body).unwrap();
    (number(4), body)
}

fn respond(peer: &mut Peer, opcode: u32, args: &[&[u8]]) {
    let mut bytes = crate::support::packet(opcode, args);
    bytes[..4].copy_from_slice(b"\0RES");
    peer.write(&bytes);
}

/// A worker whose only slot has a job of a connection that was lost, the next connection, and what lets the job end.
fn with_a_job_of_a_lost_connection(server: &Listening) -> (Working, Peer, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let passes = gate.clone();
    let work = move |job: Job| {
        let gate = gate.clone();
        async move {
            if job.payload() == "old" {
                gate.acquire().await.unwrap().forget();
            }
            Outcome::Complete(job.payload().clone())
        }
    };
    let working = Working::start(server.worker().function("work", work));
    let mut first = server.accept();
    assert_eq!(request(&mut first).0, wire::GRAB_JOB_ALL);
    respond(&mut first, wire::JOB_ASSIGN, &[b"H:same:1", b"work", b"old"]);
    drop(first);
    (working, server.accept(), passes)
}

/// A server that starts anew may give the same handles again, to other jobs.
#[test]
fn a_job_is_never_reported_by_a_later_connection_than_it_came_by() {
    let server = Listening::new();
    let (_working, mut second, passes) = with_a_job_of_a_lost_connection(&server);
    passes.add_permits(1);
    // The slot is free when the report of its job is under way: that would come before.
    assert_eq!(request(&mut second).0, wire::GRAB_JOB_ALL);
    respond(&mut second, wire::JOB_ASSIGN, &[b"H:same:1", b"work", b"new"]);
    assert_eq!(request(&mut second), (wire::WORK_COMPLETE, b"H:same:1\0new".to_vec()));
    assert_eq!(request(&mut second).0, wire::GRAB_JOB_ALL);
}

#[test]
fn a_job_of_a_lost_connection_keeps_no_drained_worker_able_or_alive() {
    let server = Listening::new();
    let (working, mut second, passes) = with_a_job_of_a_lost_connection(&server);
    working.stop.drain();
    assert_eq!(request(&mut second), (wire::CANT_DO, b"work".to_vec()));
    assert!(second.is_closed());
    drop(second);
    passes.add_permits(1);
    assert_eq!(working.why_it_ended(), Ended::Drained);
}

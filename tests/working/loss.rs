//! Servers that go away, and several at once.

use crate::harness::{Working, submit, wait_until_done, wait_until_running, wire, worker};
use crate::support::{GEARMAND, PATIENCE, Process, Server, require, wait_for};
use conveyor_worker::{Cancelled, Job, Outcome, Worker};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Starts a server of the same kind again, where the other one was.
type Restart = fn(SocketAddr) -> Process;

fn conveyor_at(address: SocketAddr) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    Process::spawn(command.args([
        "server",
        "-q",
        "builtin",
        "--listen",
        "127.0.0.1",
        "--port",
        &address.port().to_string(),
    ]))
}

/// With a pid file of its own: gearmand removes whatever is at that path, devices included.
fn gearmand_at(address: SocketAddr) -> Process {
    require(GEARMAND);
    let mut command = Command::new(GEARMAND);
    let port = format!("--port={}", address.port());
    let pid_file = std::env::temp_dir().join(format!("conveyor-test-{}.pid", address.port()));
    let pid_file = format!("--pid-file={}", pid_file.display());
    Process::spawn(command.args(["--listen=127.0.0.1", &port, "--log-file=none", &pid_file]))
}

#[test]
fn a_killed_server_is_found_again_and_its_job_is_told() {
    let both: [(Server, Restart); 2] =
        [(Server::conveyor(&[]), conveyor_at), (Server::gearmand(&[]), gearmand_at)];
    for (mut server, restart) in both {
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
        server.process.signal("KILL");
        server.process.exit_code();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Cancelled::ServerLost));
        server.process = restart(server.address);
        wait_for("the server accepts", || TcpStream::connect(server.address).ok());
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

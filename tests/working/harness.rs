//! Workers in threads of their own, and clients for them.

use crate::support::{PATIENCE, Peer, Server, require, run, wait_for};
use conveyor_worker::{Ended, Stop, Worker};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use tracing::Dispatch;
use tracing::dispatcher::with_default;

/// Packet types used here, by their names in the protocol.
pub(crate) mod wire {
    pub(crate) const CAN_DO: u32 = 1;
    pub(crate) const CANT_DO: u32 = 2;
    pub(crate) const SUBMIT_JOB: u32 = 7;
    pub(crate) const JOB_CREATED: u32 = 8;
    pub(crate) const JOB_ASSIGN: u32 = 11;
    pub(crate) const WORK_STATUS: u32 = 12;
    pub(crate) const WORK_COMPLETE: u32 = 13;
    pub(crate) const WORK_FAIL: u32 = 14;
    pub(crate) const SUBMIT_JOB_BG: u32 = 18;
    pub(crate) const WORK_EXCEPTION: u32 = 25;
    pub(crate) const OPTION_REQ: u32 = 26;
    pub(crate) const OPTION_RES: u32 = 27;
    pub(crate) const WORK_DATA: u32 = 28;
    pub(crate) const WORK_WARNING: u32 = 29;
    pub(crate) const GRAB_JOB_ALL: u32 = 39;
    pub(crate) const ECHO_REQ: u32 = 16;
    pub(crate) const ECHO_RES: u32 = 17;
}

/// Runs a test on each of the two servers.
pub(crate) fn on_both(test: impl Fn(Server)) {
    test(Server::conveyor(&[]));
    test(Server::gearmand(&[]));
}

/// A worker at work; dropping it stops it at once.
pub(crate) struct Working {
    pub(crate) stop: Stop,
    ended: Receiver<Ended>,
}

impl Working {
    pub(crate) fn start(worker: Worker) -> Self {
        Self::start_logged(worker, Dispatch::none())
    }

    /// What happens in its thread is told to a subscriber.
    pub(crate) fn start_logged(worker: Worker, log: Dispatch) -> Self {
        let stop = worker.stop_handle();
        let (sender, ended) = sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let why = with_default(&log, || runtime.block_on(worker.run()));
            // A function that still blocks is none of the test's business.
            runtime.shutdown_background();
            let _ = sender.send(why);
        });
        Self { stop, ended }
    }

    /// Waits for its end and says why.
    pub(crate) fn why_it_ended(&self) -> Ended {
        self.ended.recv_timeout(PATIENCE).expect("the worker ends")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ended.try_recv().is_err()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.now();
        let ended = self.ended.recv_timeout(PATIENCE);
        assert!(ended != Err(RecvTimeoutError::Timeout) || std::thread::panicking(), "it did not stop");
    }
}

pub(crate) fn worker(server: &Server) -> Worker {
    Worker::new(server.address.to_string())
}

/// The stock command line client.
pub(crate) fn gearman(server: &Server, args: &[&str]) -> Output {
    require("gearman");
    let mut command = Command::new("gearman");
    run(command.args(["-h", "127.0.0.1", "-p", &server.port().to_string()]).args(args))
}

/// Submits a job; its handle.
pub(crate) fn submit(client: &mut Peer, opcode: u32, function: &str, payload: &str) -> Vec<u8> {
    client.send(opcode, &[function.as_bytes(), b"", payload.as_bytes()]);
    let (created, handle) = client.receive();
    assert_eq!(created, wire::JOB_CREATED);
    handle
}

/// Asserts that nothing else is under way to the client.
pub(crate) fn assert_silent(client: &mut Peer) {
    client.send(wire::ECHO_REQ, &[b"end"]);
    assert_eq!(client.receive(), (wire::ECHO_RES, b"end".to_vec()));
}

/// Waits until the server has no job of the function.
pub(crate) fn wait_until_done(server: &Server, function: &str) {
    wait_for("all jobs are done", || {
        server.status().iter().all(|row| row.0 != function || row.1 == 0).then_some(())
    });
}

/// Waits until the server says that so many jobs of the function run.
pub(crate) fn wait_until_running(server: &Server, function: &str, jobs: u64) {
    wait_for("jobs run", || {
        server.status().iter().any(|row| row.0 == function && row.2 == jobs).then_some(())
    });
}

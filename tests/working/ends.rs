//! How a worker ends.

use crate::harness::{
    Working, assert_silent, on_both, submit, wait_until_done, wait_until_running, wire, worker,
};
use crate::support::{PATIENCE, Server, wait_for};
use conveyor_worker::{Cancelled, Ended, Function, Job, Outcome};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::sync::Semaphore;

#[test]
fn a_drained_worker_does_what_it_has_and_takes_no_more() {
    on_both(|server| {
        let gate = Arc::new(Semaphore::new(0));
        let passes = gate.clone();
        let work = move |_: Job| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Complete("done".into())
            }
        };
        let working = Working::start(worker(&server).jobs(2).function("work", work));
        let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for client in &mut clients {
            submit(client, wire::SUBMIT_JOB, "work", "x");
        }
        wait_until_running(&server, "work", 2);
        working.stop.drain();
        passes.add_permits(3);
        assert_eq!(working.why_it_ended(), Ended::Drained);
        // gearmand may close a connection before it has counted what came by it.
        wait_for("one was never taken", || {
            server.status().iter().any(|row| row.0 == "work" && (row.1, row.2) == (1, 0)).then_some(())
        });
        for client in &mut clients[..2] {
            assert_eq!(client.receive().0, wire::WORK_COMPLETE);
        }
        assert_silent(&mut clients[2]);
    });
}

/// Workers that drain at any time, one after the other: every job is done, and once.
#[test]
fn no_job_is_lost_or_done_twice_by_draining() {
    on_both(|server| {
        const JOBS: usize = 400;
        let mut client = server.connect();
        for number in 0..JOBS {
            submit(&mut client, wire::SUBMIT_JOB_BG, "once", &number.to_string());
        }
        let done: Arc<Mutex<BTreeMap<Vec<u8>, u32>>> = Arc::default();
        for part in 1..=8 {
            let seen = done.clone();
            let once = move |job: Job| {
                *seen.lock().unwrap().entry(job.payload().to_vec()).or_default() += 1;
                async { Outcome::Complete("".into()) }
            };
            let working = Working::start(worker(&server).jobs(4).function("once", once));
            let enough = JOBS * part / 8;
            wait_for("a part is done", || (done.lock().unwrap().len() >= enough).then_some(()));
            working.stop.drain();
            assert_eq!(working.why_it_ended(), Ended::Drained);
        }
        wait_until_done(&server, "once");
        let done = done.lock().unwrap();
        assert_eq!((done.len(), done.values().max()), (JOBS, Some(&1)));
    });
}

#[test]
fn a_stopped_worker_hands_its_job_back_and_tells_it() {
    on_both(|server| {
        let (sender, told) = mpsc::sync_channel(1);
        let (started, runs) = mpsc::sync_channel(1);
        let endless = move |job: Job| {
            let (sender, started) = (sender.clone(), started.clone());
            async move {
                started.send(()).unwrap();
                let reason = loop {
                    if let Err(reason) = job.checkpoint().await {
                        break reason;
                    }
                };
                sender.send(reason).unwrap();
                Outcome::Fail
            }
        };
        let working = Working::start(worker(&server).function("endless", endless));
        let mut client = server.connect();
        submit(&mut client, wire::SUBMIT_JOB, "endless", "x");
        runs.recv_timeout(PATIENCE).unwrap();
        working.stop.now();
        assert_eq!(working.why_it_ended(), Ended::Stopped);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Cancelled::Stopped));
        let other = |_: Job| async { Outcome::Complete("by another".into()) };
        let _other = Working::start(worker(&server).function("endless", other));
        assert_eq!(client.receive().0, wire::WORK_COMPLETE);
        assert_silent(&mut client);
    });
}

#[test]
fn an_idle_worker_ends_and_a_busy_one_does_not() {
    on_both(|server| {
        let gate = Arc::new(Semaphore::new(0));
        let passes = gate.clone();
        let work = move |_: Job| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Complete("done".into())
            }
        };
        let mut client = server.connect();
        submit(&mut client, wire::SUBMIT_JOB, "work", "x");
        let limit = Duration::from_millis(300);
        let working = Working::start(worker(&server).exit_when_idle(limit).function("work", work));
        wait_until_running(&server, "work", 1);
        let start = std::time::Instant::now();
        wait_for("longer than it may idle", || (start.elapsed() > limit * 2).then_some(()));
        assert!(working.is_running());
        passes.add_permits(1);
        assert_eq!(client.receive().0, wire::WORK_COMPLETE);
        assert_eq!(working.why_it_ended(), Ended::Idle);
    });
}

#[test]
fn a_worker_ends_after_exactly_its_most_jobs() {
    on_both(|server| {
        let mut client = server.connect();
        for _ in 0..10 {
            submit(&mut client, wire::SUBMIT_JOB_BG, "work", "x");
        }
        let work = |_: Job| async { Outcome::Complete("".into()) };
        let working = Working::start(worker(&server).jobs(4).max_jobs(7).function("work", work));
        assert_eq!(working.why_it_ended(), Ended::MaxJobs);
        let left = wait_for("the last connection is gone", || {
            server.status().into_iter().find(|row| row.0 == "work" && row.3 == 0)
        });
        assert_eq!((left.1, left.2), (3, 0));
    });
}

/// gearmand with `--worker-wakeup 1` wakes one sleeper a job: it must not be one that takes no more.
#[test]
fn a_draining_worker_is_woken_for_nothing_any_more_and_keeps_its_job() {
    for server in [Server::conveyor(&["--worker-wakeup", "1"]), Server::gearmand(&["--worker-wakeup=1"])] {
        let gate = Arc::new(Semaphore::new(0));
        let passes = gate.clone();
        let hold = move |_: Job| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Complete("kept".into())
            }
        };
        let other = |_: Job| async { Outcome::Complete("".into()) };
        let both = worker(&server).jobs(2).function("hold", hold).function("other", other);
        let working = Working::start(both);
        let (mut client, mut second) = (server.connect(), server.connect());
        submit(&mut client, wire::SUBMIT_JOB, "hold", "x");
        wait_until_running(&server, "hold", 1);
        working.stop.drain();
        wait_for("it can do one thing only", || {
            server.status().iter().all(|row| row.3 == u64::from(row.0 == "hold")).then_some(())
        });
        let _next = Working::start(worker(&server).function("other", other));
        submit(&mut second, wire::SUBMIT_JOB, "other", "x");
        assert_eq!(second.receive().0, wire::WORK_COMPLETE);
        assert!(working.is_running());
        passes.add_permits(1);
        assert_eq!(client.receive().0, wire::WORK_COMPLETE);
        assert_eq!(working.why_it_ended(), Ended::Drained);
    }
}

#[test]
fn a_blocking_function_out_of_time_keeps_its_slot_until_its_thread_ends() {
    on_both(|server| {
        let (started, starts) = mpsc::sync_channel(2);
        let (open, gate) = mpsc::sync_channel::<()>(2);
        let gate = Mutex::new(gate);
        let stubborn = Function::blocking(move |_| {
            started.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Outcome::Complete("done".into())
        });
        let limit = Duration::from_millis(100);
        let working = Working::start(worker(&server).register("stubborn", stubborn.timeout(limit)));
        let (mut first, mut second) = (server.connect(), server.connect());
        submit(&mut first, wire::SUBMIT_JOB, "stubborn", "x");
        assert_eq!(first.receive().0, wire::WORK_FAIL, "reported at once");
        starts.recv_timeout(PATIENCE).unwrap();
        submit(&mut second, wire::SUBMIT_JOB, "stubborn", "x");
        assert!(starts.recv_timeout(limit * 3).is_err(), "there is one slot, and one thread has it");
        // Both: the second goes through at once when its turn comes.
        open.send(()).unwrap();
        open.send(()).unwrap();
        starts.recv_timeout(PATIENCE).unwrap();
        assert_eq!(second.receive().0, wire::WORK_COMPLETE);
        drop(working);
    });
}

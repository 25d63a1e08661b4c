//! Jobs that a worker gives back.

use crate::harness::{Working, assert_silent, on_both, submit, wait_until_running, wire, worker};
use crate::support::PATIENCE;
use conveyor_worker::{Cancelled, Ended, Job, Outcome};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const PAUSE: Duration = Duration::from_millis(200);

/// The client sees one result, from the second try, and nothing of the first one's end.
#[test]
fn a_job_given_back_is_done_by_who_asks_next() {
    on_both(|server| {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let work = move |job: Job| {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    job.data("part").await;
                    Outcome::Return { pause: PAUSE }
                } else {
                    Outcome::Complete("done".into())
                }
            }
        };
        let _working = Working::start(worker(&server).function("work", work));
        let mut client = server.connect();
        let start = Instant::now();
        let handle = submit(&mut client, wire::SUBMIT_JOB, "work", "x");
        // What was reported before it went back was sent.
        assert_eq!(client.receive(), (wire::WORK_DATA, [&handle, &b"\0part"[..]].concat()));
        assert_eq!(client.receive(), (wire::WORK_COMPLETE, [&handle, &b"\0done"[..]].concat()));
        assert!(start.elapsed() >= PAUSE, "it came back at once");
        assert_silent(&mut client);
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    });
}

/// What has ended on the same connection is reported; what runs there goes back too, and is told.
#[test]
fn other_jobs_of_the_connection_go_back_too_unless_each_has_its_own() {
    on_both(|server| {
        for (per_job, tries_of_the_other) in [(false, 2), (true, 1)] {
            let tries = Arc::new(AtomicUsize::new(0));
            let (counted, gate) = (tries.clone(), Arc::new(Semaphore::new(0)));
            let passes = gate.clone();
            let (sender, told) = mpsc::sync_channel(1);
            let other = move |job: Job| {
                let (first, gate) = (counted.fetch_add(1, Ordering::SeqCst) == 0, gate.clone());
                let sender = sender.clone();
                async move {
                    tokio::select! {
                        reason = job.cancelled() => {
                            sender.send(reason).unwrap();
                            Outcome::Complete("nobody wants this".into())
                        }
                        _ = gate.acquire(), if first => Outcome::Complete("done".into()),
                        () = std::future::ready(()), if !first => Outcome::Complete("done".into()),
                    }
                }
            };
            let returned = Arc::new(AtomicUsize::new(0));
            let twice = returned.clone();
            let back = move |_: Job| {
                let first = twice.fetch_add(1, Ordering::SeqCst) == 0;
                async move {
                    if first {
                        Outcome::Return { pause: Duration::ZERO }
                    } else {
                        Outcome::Complete("back".into())
                    }
                }
            };
            let mut worker = worker(&server).jobs(2).function("other", other).function("back", back);
            if per_job {
                worker = worker.connection_per_job();
            }
            let _working = Working::start(worker);
            let (mut one, mut two) = (server.connect(), server.connect());
            let other = submit(&mut one, wire::SUBMIT_JOB, "other", "x");
            wait_until_running(&server, "other", 1);
            let back = submit(&mut two, wire::SUBMIT_JOB, "back", "x");
            assert_eq!(two.receive(), (wire::WORK_COMPLETE, [&back, &b"\0back"[..]].concat()));
            if per_job {
                assert!(told.try_recv().is_err(), "the other job was left alone");
            } else {
                assert_eq!(told.recv_timeout(PATIENCE), Ok(Cancelled::Returned));
            }
            passes.add_permits(1);
            assert_eq!(one.receive(), (wire::WORK_COMPLETE, [&other, &b"\0done"[..]].concat()));
            assert_silent(&mut one);
            assert_eq!(tries.load(Ordering::SeqCst), tries_of_the_other);
        }
    });
}

#[test]
fn a_worker_that_drains_gives_its_job_back_and_ends() {
    on_both(|server| {
        let gate = Arc::new(Semaphore::new(0));
        let passes = gate.clone();
        let work = move |_: Job| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Return { pause: Duration::from_secs(3600) }
            }
        };
        let working = Working::start(worker(&server).function("work", work));
        let mut client = server.connect();
        let handle = submit(&mut client, wire::SUBMIT_JOB, "work", "x");
        wait_until_running(&server, "work", 1);
        working.stop.drain();
        passes.add_permits(1);
        assert_eq!(working.why_it_ended(), Ended::Drained);
        let done = |_: Job| async { Outcome::Complete("done".into()) };
        let _next = Working::start(worker(&server).function("work", done));
        assert_eq!(client.receive(), (wire::WORK_COMPLETE, [&handle, &b"\0done"[..]].concat()));
    });
}

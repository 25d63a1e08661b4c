//! What jobs do, and what their clients see of it.

use crate::harness::{Working, assert_silent, gearman, on_both, submit, wait_until_done, wire, worker};
use crate::support::{Peer, Server};
use conveyor_worker::{Cancelled, Function, Job, Outcome};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

/// A client that takes exceptions.
fn client_with_exceptions(server: &Server) -> Peer {
    let mut client = server.connect();
    client.send(wire::OPTION_REQ, &[b"exceptions"]);
    assert_eq!(client.receive(), (wire::OPTION_RES, b"exceptions".to_vec()));
    client
}

#[test]
fn a_stock_client_gets_the_result() {
    on_both(|server| {
        let upper = |job: Job| async move { Outcome::Complete(job.payload().to_ascii_uppercase().into()) };
        let done = Arc::new(AtomicUsize::new(0));
        let counted = done.clone();
        let _working = Working::start(
            worker(&server).function("upper", upper).function("fail", |_| async { Outcome::Fail }).blocking(
                "count",
                move |_| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    Outcome::Complete("".into())
                },
            ),
        );
        let output = gearman(&server, &["-f", "upper", "loud"]);
        assert_eq!((output.status.code(), output.stdout), (Some(0), b"LOUD".to_vec()));
        assert_eq!(gearman(&server, &["-f", "fail", "x"]).status.code(), Some(1));
        assert_eq!(gearman(&server, &["-b", "-f", "count", "x"]).status.code(), Some(0));
        wait_until_done(&server, "count");
        assert_eq!(done.load(Ordering::SeqCst), 1);
    });
}

/// The barrier opens only when all four jobs are there at the same time.
#[test]
fn as_many_jobs_run_at_once_as_asked_for() {
    on_both(|server| {
        let barrier = Arc::new(Barrier::new(4));
        let meet = move |_: Job| {
            barrier.wait();
            Outcome::Complete("met".into())
        };
        let most = worker(&server).jobs(4).blocking("meet", meet);
        let _working = Working::start(most);
        let mut clients: Vec<Peer> = (0..4).map(|_| server.connect()).collect();
        for client in &mut clients {
            submit(client, wire::SUBMIT_JOB, "meet", "x");
        }
        for client in &mut clients {
            assert_eq!(client.receive().0, wire::WORK_COMPLETE);
        }
    });
}

#[test]
fn no_more_jobs_run_at_once_than_asked_for() {
    on_both(|server| {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let work = move |job: Job| {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                job.checkpoint().await.unwrap();
                running.fetch_sub(1, Ordering::SeqCst);
                Outcome::Complete("".into())
            }
        };
        let mut client = server.connect();
        for _ in 0..200 {
            submit(&mut client, wire::SUBMIT_JOB_BG, "work", "x");
        }
        let _working = Working::start(worker(&server).jobs(3).function("work", work));
        wait_until_done(&server, "work");
        assert!((1..=3).contains(&seen.load(Ordering::SeqCst)));
    });
}

#[test]
fn what_a_job_reports_arrives_in_order_and_before_its_result() {
    on_both(|server| {
        let talk = |job: Job| async move {
            job.progress(1, 2).await;
            job.data("part").await;
            job.warning("careful").await;
            job.progress(2, 2).await;
            Outcome::Complete("all".into())
        };
        let blocking = |job: Job| {
            job.blocking_progress(1, 2);
            job.blocking_data("part");
            job.blocking_warning("careful");
            job.blocking_progress(2, 2);
            Outcome::Complete("all".into())
        };
        let _working = Working::start(worker(&server).function("talk", talk).blocking("blocking", blocking));
        for function in ["talk", "blocking"] {
            let mut client = server.connect();
            let handle = submit(&mut client, wire::SUBMIT_JOB, function, "x");
            let with = |rest: &[u8]| [&handle, &b"\0"[..], rest].concat();
            assert_eq!(client.receive(), (wire::WORK_STATUS, with(b"1\x002")));
            assert_eq!(client.receive(), (wire::WORK_DATA, with(b"part")));
            assert_eq!(client.receive(), (wire::WORK_WARNING, with(b"careful")));
            assert_eq!(client.receive(), (wire::WORK_STATUS, with(b"2\x002")));
            assert_eq!(client.receive(), (wire::WORK_COMPLETE, with(b"all")));
            assert_silent(&mut client);
        }
    });
}

#[test]
fn a_panic_is_one_exception_with_its_message_and_the_worker_goes_on() {
    on_both(|server| {
        let panics = |job: Job| async move {
            assert!(job.payload() != "this", "cannot do {}", String::from_utf8_lossy(job.payload()));
            Outcome::Complete("fine".into())
        };
        let _working = Working::start(
            worker(&server).function("panics", panics).blocking("blocking", |_| panic!("blocked")),
        );
        let mut client = client_with_exceptions(&server);
        let handle = submit(&mut client, wire::SUBMIT_JOB, "panics", "this");
        assert_eq!(client.receive(), (wire::WORK_EXCEPTION, [&handle, &b"\0cannot do this"[..]].concat()));
        let handle = submit(&mut client, wire::SUBMIT_JOB, "blocking", "");
        assert_eq!(client.receive(), (wire::WORK_EXCEPTION, [&handle, &b"\0blocked"[..]].concat()));
        assert_silent(&mut client);
        let mut plain = server.connect();
        submit(&mut plain, wire::SUBMIT_JOB, "panics", "this");
        assert_eq!(plain.receive().0, wire::WORK_FAIL, "to who takes no exceptions");
        assert_silent(&mut plain);
        // The stock client is not asked for this job: it hangs on every exception, with any worker.
        assert_eq!(gearman(&server, &["-f", "panics", "that"]).stdout, b"fine");
    });
}

#[test]
fn a_job_that_takes_too_long_is_ended_and_told() {
    on_both(|server| {
        let (sender, told) = mpsc::sync_channel(1);
        let hang = move |job: Job| {
            let sender = sender.clone();
            // A part of the job that outlives it.
            tokio::spawn(async move { sender.send(job.cancelled().await).unwrap() });
            std::future::pending()
        };
        let hang =
            Function::new(hang).timeout(Duration::from_millis(50)).announce_timeout(Duration::from_secs(60));
        let _working = Working::start(worker(&server).register("hang", hang));
        let mut client = client_with_exceptions(&server);
        let handle = submit(&mut client, wire::SUBMIT_JOB, "hang", "");
        let message = [&handle, &b"\0the job took longer than 50 ms"[..]].concat();
        assert_eq!(client.receive(), (wire::WORK_EXCEPTION, message));
        assert_silent(&mut client);
        assert_eq!(told.recv_timeout(crate::support::PATIENCE), Ok(Cancelled::TimedOut));
    });
}

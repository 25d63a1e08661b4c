//! The layers, seen by clients of both servers.

use crate::harness::{Working, assert_silent, gearman, on_both, submit, wire, worker};
use conveyor_worker::{Concurrency, Function, Handler, Job, Layer, Outcome, Retry, Timeout, Trace};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Barrier;
use tracing::Dispatch;

/// Jobs meet in twos, so that fewer at a time would never end; more are seen by the client, to whom all that they say
/// comes by one connection and in order.
#[test]
fn no_more_jobs_of_a_limited_function_overlap_than_it_allows() {
    const JOBS: usize = 20;
    on_both(|server| {
        let pair = Arc::new(Barrier::new(2));
        let work = move |job: Job| {
            let pair = pair.clone();
            async move {
                job.data("begin").await;
                pair.wait().await;
                job.data("end").await;
                Outcome::Complete("".into())
            }
        };
        let limited = Function::new(work).layer(Concurrency(2));
        let _working = Working::start(worker(&server).jobs(8).register("limited", limited));
        let mut client = server.connect();
        for _ in 0..JOBS {
            client.send(wire::SUBMIT_JOB, &[b"limited", b"", b"x"]);
        }
        let (mut overlap, mut most, mut complete) = (0_usize, 0, 0);
        while complete < JOBS {
            let (packet, body) = client.receive();
            match packet {
                wire::WORK_DATA if body.ends_with(b"\0begin") => overlap += 1,
                wire::WORK_DATA => overlap -= 1,
                wire::WORK_COMPLETE => complete += 1,
                other => assert_eq!(other, wire::JOB_CREATED),
            }
            most = most.max(overlap);
        }
        assert_eq!((most, overlap), (2, 0));
    });
}

#[test]
fn every_try_is_made_and_one_end_is_told() {
    on_both(|server| {
        let tries = Arc::new(AtomicU32::new(0));
        let counted = tries.clone();
        let flaky = move |job: Job| {
            let last = counted.fetch_add(1, Ordering::SeqCst) == 2;
            async move {
                job.data("try").await;
                if last { Outcome::Complete("done".into()) } else { Outcome::Exception("not yet".into()) }
            }
        };
        let never = |job: Job| async move {
            job.data("try").await;
            Outcome::Fail
        };
        let retry = Retry { tries: 3, pause: Duration::from_millis(1) };
        let hired = worker(&server).register("flaky", Function::new(flaky).layer(retry));
        let _working = Working::start(hired.register("never", Function::new(never).layer(retry)));
        for (function, end) in
            [("flaky", (wire::WORK_COMPLETE, &b"\0done"[..])), ("never", (wire::WORK_FAIL, &b""[..]))]
        {
            let mut client = server.connect();
            let handle = submit(&mut client, wire::SUBMIT_JOB, function, "x");
            for _ in 0..3 {
                assert_eq!(client.receive(), (wire::WORK_DATA, [&handle, &b"\0try"[..]].concat()));
            }
            assert_eq!(client.receive(), (end.0, [&handle, end.1].concat()));
            assert_silent(&mut client);
        }
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        let output = gearman(&server, &["-f", "never", "x"]);
        assert!(!output.status.success() && output.stdout.starts_with(b"trytrytry"), "{output:?}");
    });
}

/// Tells of a failure where there was an exception.
struct AsFailure;

impl Layer for AsFailure {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(move |job: Job| {
            let running = inner.call(job);
            async move {
                match running.await {
                    Outcome::Exception(_) => Outcome::Fail,
                    other => other,
                }
            }
        })
    }
}

/// The stock client waits for ever for a job that ends with an exception, on both servers: it is told of a failure.
#[test]
fn a_job_out_of_time_is_an_exception_or_a_failure_and_is_not_tried_again() {
    on_both(|server| {
        let limit = Timeout(Duration::from_millis(50));
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let hang = move |_: Job| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        };
        let hangs = Function::new(hang).layer(limit).layer(Retry { tries: 3, pause: Duration::ZERO });
        let hired = worker(&server).register("throws", hangs.clone());
        let _working = Working::start(hired.register("fails", hangs.layer(AsFailure)));
        let output = gearman(&server, &["-f", "fails", "x"]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let mut client = server.connect();
        client.send(wire::OPTION_REQ, &[b"exceptions"]);
        assert_eq!(client.receive().0, wire::OPTION_RES);
        let handle = submit(&mut client, wire::SUBMIT_JOB, "throws", "x");
        let message = [&handle, &b"\0the job took longer than 50 ms"[..]].concat();
        assert_eq!(client.receive(), (wire::WORK_EXCEPTION, message));
        assert_silent(&mut client);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    });
}

/// Where a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_tells_of_every_job_and_of_no_payload() {
    on_both(|server| {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("conveyor_worker=debug")
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let work = |job: Job| async move {
            if job.payload() == "secret-good" {
                Outcome::Complete("secret-result".into())
            } else {
                Outcome::Fail
            }
        };
        let traced = worker(&server).register("traced", Function::new(work).layer(Trace));
        let working = Working::start_logged(traced, Dispatch::new(subscriber.finish()));
        for (payload, ended) in [("secret-good", "complete"), ("secret-bad", "failed")] {
            let mut client = server.connect();
            let handle = submit(&mut client, wire::SUBMIT_JOB, "traced", payload);
            client.receive();
            let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            let handle = format!("handle=b\"{}\"", String::from_utf8(handle).unwrap());
            let of_it: Vec<&str> = log.lines().filter(|line| line.contains(&handle)).collect();
            assert_eq!(of_it.len(), 2, "{log}");
            assert!(of_it[0].contains("DEBUG conveyor_worker::layer: job started"), "{log}");
            assert!(of_it[0].contains("function=b\"traced\""), "{log}");
            let end = format!("ended=\"{ended}\" elapsed=");
            assert!(of_it[1].contains("job ended") && of_it[1].contains(&end), "{log}");
            assert!(!log.contains("secret"), "{log}");
        }
        drop(working);
    });
}

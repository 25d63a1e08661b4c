//! Submitting: every kind of job, what it tells, and how it ends.

use crate::support::{Process, Server, bound, require};
use crate::{connect, hire, on_both, options, outcome, soon, told};
use conveyor_client::{Client, Job, Outcome, Priority, Unique, UnixSeconds, Update};
use futures_core::Stream;
use std::collections::HashSet;
use std::pin::Pin;
use std::process::Stdio;
use std::task::Poll;

on_both!(
    every_kind_of_foreground_job_has_its_result,
    background_jobs_are_accepted_and_run,
    high_priority_runs_first_and_low_last,
    updates_come_in_order_and_then_the_outcome,
    failures_and_exceptions_are_outcomes,
    an_exception_not_asked_for_is_a_failure,
    equal_uniques_are_one_job_and_each_gets_all_of_it,
    hashes_coalesce_and_random_uniques_do_not,
    a_stock_worker_does_pipelined_jobs,
    updates_are_a_stream,
);

async fn every_kind_of_foreground_job_has_its_result(server: Server) {
    let _worker = hire(server.address);
    let client = connect(&server).await;
    for priority in Priority::ALL {
        let payload = format!("{priority:?}\0binary");
        let job = Job::new("echo", payload.clone()).priority(priority);
        assert_eq!(outcome(&client, job).await.unwrap(), Outcome::Complete(payload.into()));
    }
    for job in [Job::new("echo", "r").reducer("sum"), Job::new("echo", "r").unique(Unique::Random)] {
        assert_eq!(outcome(&client, job).await.unwrap(), Outcome::Complete("r".into()));
    }
    let large = vec![7_u8; 3 << 20];
    let done = outcome(&client, Job::new("echo", large.clone())).await.unwrap();
    assert_eq!(done, Outcome::Complete(large.into()), "three megabytes");
}

async fn background_jobs_are_accepted_and_run(server: Server) {
    let client = connect(&server).await;
    let job = || Job::new("echo", "b");
    let jobs = [
        job().background(),
        job().background().priority(Priority::High),
        job().background().priority(Priority::Low),
        job().at(UnixSeconds(1)),
        job().reducer("sum").background(),
    ];
    let mut handles = HashSet::new();
    for job in jobs {
        let Outcome::Accepted(handle) = outcome(&client, job).await.unwrap() else { panic!("not accepted") };
        assert!(soon("status", client.status(&handle)).await.unwrap().known);
        handles.insert(handle);
    }
    assert_eq!(handles.len(), 5);
    let _worker = hire(server.address);
    crate::eventually("all have run", || server.status().iter().any(|row| row.0 == "echo" && row.1 == 0))
        .await;
}

async fn high_priority_runs_first_and_low_last(server: Server) {
    let client = connect(&server).await;
    let order = [Priority::Low, Priority::Normal, Priority::High];
    let jobs = order.map(|priority| Job::new("echo", format!("{priority:?}")).priority(priority));
    let handles = client.submit_all(jobs).await;
    crate::eventually("three are queued", || server.status().iter().any(|row| row.1 == 3)).await;
    let (ended, mut order) = tokio::sync::mpsc::channel(3);
    for handle in handles {
        let ended = ended.clone();
        let handle = handle.unwrap();
        tokio::spawn(async move { ended.send(handle.outcome().await.unwrap()).await });
    }
    let mut peer = server.connect();
    peer.send(1, &[b"echo"]);
    for expected in ["High", "Normal", "Low"] {
        peer.send(9, &[]);
        let (opcode, body) = peer.receive();
        assert_eq!(opcode, 11, "a job");
        let parts: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
        assert_eq!(parts[2], expected.as_bytes());
        peer.send(13, &[parts[0], parts[2]]);
        let done = soon("the outcome", order.recv()).await.unwrap();
        assert_eq!(done, Outcome::Complete(expected.into()));
    }
}

async fn updates_come_in_order_and_then_the_outcome(server: Server) {
    let _worker = hire(server.address);
    let client = connect(&server).await;
    let expected = vec![
        Update::Status { numerator: 1, denominator: 2 },
        Update::Data("part".into()),
        Update::Warning("careful".into()),
        Update::Data("rest".into()),
    ];
    assert_eq!(told(&client, Job::new("talk", "")).await, (expected, Outcome::Complete("end".into())));
}

async fn failures_and_exceptions_are_outcomes(server: Server) {
    let _worker = hire(server.address);
    let client = connect(&server).await;
    assert_eq!(told(&client, Job::new("fail", "")).await, (vec![], Outcome::Failed));
    let expected = (vec![Update::Exception("why".into())], Outcome::Exception("why".into()));
    assert_eq!(told(&client, Job::new("complain", "why")).await, expected);
}

async fn an_exception_not_asked_for_is_a_failure(server: Server) {
    let _worker = hire(server.address);
    let client = Client::connect(options(&server).exceptions(false)).await.unwrap();
    assert_eq!(told(&client, Job::new("complain", "why")).await, (vec![], Outcome::Failed));
}

async fn equal_uniques_are_one_job_and_each_gets_all_of_it(server: Server) {
    let (first, second) = (connect(&server).await, connect(&server).await);
    let job = || Job::new("talk", "").unique(Unique::Given("one".into()));
    let mut jobs = Vec::new();
    for client in [&first, &first, &second] {
        let mut job = client.submit(job()).await.unwrap();
        let Some(Update::Created(handle)) = soon("a handle", job.next()).await else { panic!("no handle") };
        jobs.push((handle, job));
    }
    assert!(jobs.iter().all(|(handle, _)| *handle == jobs[0].0), "one job: {jobs:?}");
    let status = soon("status", first.status_unique(b"one")).await.unwrap();
    assert_eq!((status.known, status.running, status.clients), (true, false, Some(3)));
    let _worker = hire(server.address);
    for (_, mut job) in jobs {
        let mut updates = Vec::new();
        while let Some(update) = soon("an update", job.next()).await {
            updates.push(update);
        }
        assert_eq!(updates.len(), 4, "{updates:?}");
        assert_eq!(soon("the end", job.outcome()).await.unwrap(), Outcome::Complete("end".into()));
    }
}

async fn hashes_coalesce_and_random_uniques_do_not(server: Server) {
    let client = connect(&server).await;
    for (unique, handles) in [(Unique::OfPayload, 1), (Unique::Random, 3), (Unique::None, 3)] {
        let job = Job::new("nobody", "same").unique(unique.clone()).background();
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let Outcome::Accepted(handle) = outcome(&client, job.clone()).await.unwrap() else {
                panic!("not accepted")
            };
            seen.insert(handle);
        }
        assert_eq!(seen.len(), handles, "{unique:?}");
    }
}

async fn a_stock_worker_does_pipelined_jobs(server: Server) {
    require("gearman");
    let port = server.port().to_string();
    let mut command = bound("gearman");
    command.args(["-h", "127.0.0.1", "-p", &port, "-w", "-f", "wc", "--", "cat"]);
    let _worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let client = connect(&server).await;
    let jobs = (0..50).map(|number| Job::new("wc", format!("job {number}")));
    for (number, job) in client.submit_all(jobs).await.into_iter().enumerate() {
        let mut job = job.unwrap();
        // The tool sends what its command prints as it comes, and the rest with the end.
        let mut result = Vec::new();
        while let Some(update) = soon("an update", job.next()).await {
            if let Update::Data(part) = update {
                result.extend_from_slice(&part);
            }
        }
        let done = soon("an outcome", job.outcome()).await.unwrap();
        let Outcome::Complete(rest) = done else { panic!("{done:?}") };
        result.extend_from_slice(&rest);
        assert_eq!(String::from_utf8(result).unwrap(), format!("job {number}"));
    }
}

async fn updates_are_a_stream(server: Server) {
    let _worker = hire(server.address);
    let client = connect(&server).await;
    let mut job = client.submit(Job::new("talk", "")).await.unwrap();
    let mut count = 0;
    let counting = std::future::poll_fn(|context| {
        loop {
            match Pin::new(&mut job).poll_next(context) {
                Poll::Ready(Some(_)) => count += 1,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    soon("the end of the stream", counting).await;
    assert_eq!(count, 5);
}

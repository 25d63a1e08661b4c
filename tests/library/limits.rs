//! Jobs in flight, deadlines, dropped handles, slow consumers, full queues.

use crate::support::Server;
use crate::{connect, eventually, hire, on_both, options, outcome, soon};
use conveyor_client::{Client, ErrorKind, Job, MayHaveRun, Outcome, Update};
use std::time::Duration;

on_both!(
    ten_thousand_jobs_with_a_hundred_in_flight,
    no_more_jobs_are_in_flight_than_may_be,
    a_deadline_ends_the_wait_and_says_that_the_job_may_have_run,
    a_run_has_a_deadline_for_all_its_jobs,
    a_dropped_handle_gives_its_room_back,
    a_slow_consumer_is_the_only_one_to_lose,
    a_full_queue_refuses_the_job_and_it_has_not_run,
    a_client_and_its_connection_end_with_the_last_handle,
);

async fn ten_thousand_jobs_with_a_hundred_in_flight(server: Server) {
    let _workers = [hire(server.address), hire(server.address)];
    let client = Client::connect(options(&server).in_flight(100)).await.unwrap();
    let jobs = (0..10_000).map(|number: u32| Job::new("echo", number.to_string()));
    let handles = soon("all have had room", client.submit_all(jobs)).await;
    for (number, job) in handles.into_iter().enumerate() {
        let done = soon("an outcome", job.unwrap().outcome()).await.unwrap();
        assert_eq!(done, Outcome::Complete(number.to_string().into()));
    }
}

async fn no_more_jobs_are_in_flight_than_may_be(server: Server) {
    let client = Client::connect(options(&server).in_flight(5)).await.unwrap();
    let submitting = tokio::spawn({
        let client = client.clone();
        async move { client.submit_all((0..8).map(|_| Job::new("echo", "x"))).await }
    });
    let queued = |count| server.status().iter().any(|row| row.0 == "echo" && row.1 == count);
    eventually("five are queued", || queued(5)).await;
    soon("echo", client.echo("")).await.unwrap();
    assert!(queued(5), "whatever was sent before the echo is there");
    let _worker = hire(server.address);
    for job in soon("all have had room", submitting).await.unwrap() {
        soon("an outcome", job.unwrap().outcome()).await.unwrap();
    }
}

async fn a_deadline_ends_the_wait_and_says_that_the_job_may_have_run(server: Server) {
    let client = connect(&server).await;
    let mut job = client.submit(Job::new("nobody", "").deadline(Duration::from_millis(200))).await.unwrap();
    let Some(Update::Created(handle)) = soon("a handle", job.next()).await else { panic!("no handle") };
    let error = soon("the deadline", job.outcome()).await.unwrap_err();
    assert_eq!((&error.kind, error.may_have_run), (&ErrorKind::Deadline, MayHaveRun::Perhaps));
    let name = error.job.unwrap();
    assert_eq!((name.function.as_ref(), name.handle), (&b"nobody"[..], Some(handle)));
}

async fn a_run_has_a_deadline_for_all_its_jobs(server: Server) {
    let client = Client::connect(options(&server).in_flight(2)).await.unwrap();
    let run = client.run(Duration::from_millis(300));
    let jobs = run.submit_all((0..4).map(|_| Job::new("nobody", "").deadline(Duration::from_secs(60))));
    for (number, job) in soon("the run is over", jobs).await.into_iter().enumerate() {
        let error = match job {
            Ok(job) => soon("the deadline", job.outcome()).await.unwrap_err(),
            Err(error) => error,
        };
        let expected = if number < 2 { MayHaveRun::Perhaps } else { MayHaveRun::No };
        assert_eq!((error.kind, error.may_have_run), (ErrorKind::Deadline, expected), "job {number}");
    }
}

async fn a_dropped_handle_gives_its_room_back(server: Server) {
    let client = Client::connect(options(&server).in_flight(1)).await.unwrap();
    for _ in 0..3 {
        let mut job = soon("room", client.submit(Job::new("nobody", ""))).await.unwrap();
        assert!(soon("a handle", job.next()).await.is_some());
    }
    let _worker = hire(server.address);
    assert_eq!(outcome(&client, Job::new("echo", "x")).await.unwrap(), Outcome::Complete("x".into()));
}

async fn a_slow_consumer_is_the_only_one_to_lose(server: Server) {
    let patience = Duration::from_millis(100);
    let client = Client::connect(options(&server).updates(10, patience)).await.unwrap();
    let slow = client.submit(Job::new("chatter", "")).await.unwrap();
    let _workers = [hire(server.address), hire(server.address)];
    for number in 0..20 {
        outcome(&client, Job::new("echo", number.to_string())).await.unwrap();
    }
    eventually("the chatter is over", || server.status().iter().any(|row| row.0 == "chatter" && row.1 == 0))
        .await;
    soon("everything sent before has arrived", client.echo("")).await.unwrap();
    let error = soon("the end of the slow one", slow.outcome()).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_run), (ErrorKind::SlowConsumer(patience), MayHaveRun::Yes));
    let quick = client.submit(Job::new("chatter", "")).await.unwrap();
    assert_eq!(soon("who takes all", quick.outcome()).await.unwrap(), Outcome::Complete("end".into()));
}

async fn a_full_queue_refuses_the_job_and_it_has_not_run(server: Server) {
    let client = connect(&server).await;
    let job = || Job::new("small", "").background();
    outcome(&client, job()).await.unwrap();
    assert_eq!(server.connect().line("maxqueue small 1"), "OK\r\n");
    let jobs = client.submit_all([job(), Job::new("other", "").background(), job()]).await;
    for (number, job) in jobs.into_iter().enumerate() {
        let ended = soon("an answer", job.unwrap().outcome()).await;
        if number == 1 {
            assert!(matches!(ended, Ok(Outcome::Accepted(_))), "{ended:?}");
            continue;
        }
        let error = ended.unwrap_err();
        assert!(matches!(&error.kind, ErrorKind::Refused { code, .. } if code == "QUEUE_ERROR"), "{error}");
        assert_eq!(error.may_have_run, MayHaveRun::No);
    }
}

async fn a_client_and_its_connection_end_with_the_last_handle(server: Server) {
    let client = connect(&server).await;
    let connections = || server.connect().table("workers").len();
    // The one that asks is always there.
    eventually("the client is there", || connections() == 2).await;
    let job = client.submit(Job::new("nobody", "")).await.unwrap();
    drop(client);
    eventually("its job arrives", || server.status().iter().any(|row| row.1 == 1)).await;
    drop(job);
    eventually("it is gone", || connections() == 1).await;
}

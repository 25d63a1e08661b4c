//! Runs that end early, that cannot begin, and that lose their server on the way.

use crate::proxy::Proxy;
use crate::rig::{
    Hired, Place, carry_out, carry_out_at, hire, numbered, on_both, once, spec, unix_ms, within, work,
};
use crate::support::{PATIENCE, Server, free_port, lasting_port};
use conveyor_client::payload::{Codec, ExecutionResult, Outcome, TaskId};
use conveyor_client::run::{Abort, Journal, RunError, RunEvent, RunOutcome, RunTask, run};
use conveyor_client::{Client, ErrorKind, Job, Options, Outcome as JobOutcome, Update};
use conveyor_worker::{Outcome as Work, Worker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

on_both!(
    an_abort_with_ten_thousand_jobs_in_flight_takes_less_than_two_seconds,
    a_run_is_stopped_from_outside_and_by_its_time,
    a_run_survives_a_lost_connection,
    a_resumed_run_has_no_job_dropped_with_the_client_before,
);

async fn an_abort_with_ten_thousand_jobs_in_flight_takes_less_than_two_seconds(server: Server) {
    const TASKS: i64 = 10_000;
    let served = Arc::new(AtomicUsize::new(0));
    let place = Place::new();
    let mut spec = spec(server.address, numbered(TASKS));
    spec.policy.in_flight = 10_000;
    let (_stop, stop) = watch::channel(None);
    let journal = Journal::create(&place.journal, &spec, unix_ms()).unwrap();
    let (mut created, mut aborted) = (0, None);
    let mut hired = None;
    let mut observe = |event: &RunEvent| match event {
        RunEvent::Update { update: Update::Created(_), .. } => {
            created += 1;
            if created == TASKS {
                let count = Arc::clone(&served);
                hired = Some(hire(&server, 4, move |task, _| {
                    let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                    async move {
                        let outcome = if first { Outcome::Critical } else { Outcome::Ok };
                        work(Duration::from_millis(1)).await;
                        ExecutionResult::of(task.task_id, outcome)
                    }
                }));
            }
        }
        RunEvent::Aborted(_) => aborted = Some(Instant::now()),
        RunEvent::Cancelled { cancelled, asked } => {
            assert!(*asked > 9_000 && asked == cancelled, "{cancelled} of {asked}");
        }
        _ => {}
    };
    let running = run(spec, journal, stop, &mut observe);
    let report = tokio::time::timeout(PATIENCE, running).await.expect("the run ends").unwrap();
    let took = aborted.expect("it was aborted").elapsed();
    let count = served.load(Ordering::SeqCst);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(report.missing > 9_000, "{report}");
    // Whatever the performers get from now on is not of this run.
    once("the queue is empty", || server.status().iter().all(|row| row.1 == 0)).await;
    assert_eq!(served.load(Ordering::SeqCst), count, "a job ran after the run had ended");
    println!("{took:?} for the abort, {count} jobs had run");
}

async fn a_run_is_stopped_from_outside_and_by_its_time(server: Server) {
    let (stop, stopped) = watch::channel(None);
    let first = spec(server.address, numbered(3));
    let running = tokio::spawn(async move { carry_out_at(&Place::new(), first, stopped).await });
    once("all are queued", || server.status().iter().any(|row| row.1 == 3)).await;
    stop.send(Some(Abort::Stopped("by hand".to_owned()))).unwrap();
    let (report, _) = running.await.unwrap();
    assert_eq!(report.outcome, RunOutcome::Aborted { critical: false, reason: "by hand".to_owned() });

    let server = Server::conveyor(&[]);
    let mut late = spec(server.address, numbered(3));
    late.run_timeout = Some(Duration::from_millis(50));
    let (report, _) = carry_out(late).await;
    assert_eq!((report.missing, report.by_outcome.get("unanswered")), (3, Some(&3)), "{report}");
    assert!(matches!(report.outcome, RunOutcome::Aborted { critical: false, .. }));
}

/// gearmand drops queued jobs that were submitted again by their unique, after their connection was lost: it takes them
/// for the ones whose client has gone.
async fn a_run_survives_a_lost_connection(server: Server) {
    let proxy = Proxy::start(server.address);
    let served: Arc<Mutex<Vec<TaskId>>> = Arc::default();
    let running = tokio::spawn(carry_out(spec(proxy.address, numbered(20))));
    once("all are queued", || server.status().iter().any(|row| row.1 == 20)).await;
    proxy.cut();
    let seen = Arc::clone(&served);
    once("submitted again", || proxy.packets().iter().filter(|kind| **kind == 7).count() >= 40).await;
    let _hired = hire(&server, 2, move |task, _| {
        seen.lock().unwrap().extend(task.task_id.clone());
        async move { ExecutionResult::of(task.task_id, Outcome::Ok) }
    });
    let (report, _) = running.await.unwrap();
    assert_eq!((report.outcome.clone(), report.attempts), (RunOutcome::Complete, 20), "{report}");
    let mut served = served.lock().unwrap().clone();
    served.sort();
    assert_eq!(served, (1..=20).map(TaskId::Int).collect::<Vec<_>>(), "each of them once");
}

async fn a_resumed_run_has_no_job_dropped_with_the_client_before(server: Server) {
    let place = Place::new();
    let spec = spec(server.address, numbered(20));
    let (_stop, stop) = watch::channel(None);
    // The first client is lost in the middle, as if it were killed: nothing is taken back.
    let journal = Journal::create(&place.journal, &spec, unix_ms()).unwrap();
    let first = tokio::spawn({
        let (spec, stop) = (spec.clone(), stop.clone());
        async move { run(spec, journal, stop, &mut |_: &RunEvent| {}).await }
    });
    once("all are queued", || server.status().iter().any(|row| row.1 == 20)).await;
    first.abort();
    let _ = first.await;
    once("the journal is free", || Journal::open(&place.journal).is_ok()).await;
    assert!(place.saved().finished.is_none());

    let place = Arc::new(place);
    let at = Arc::clone(&place);
    let running = tokio::spawn(async move { carry_out_at(&at, spec, stop).await });
    once("all are submitted again", || {
        place.saved().ledger.in_flight().count() == 20 && place.saved().resumed == 1
    })
    .await;
    let served: Arc<Mutex<Vec<TaskId>>> = Arc::default();
    let seen = Arc::clone(&served);
    let _hired = hire(&server, 2, move |task, _| {
        seen.lock().unwrap().extend(task.task_id.clone());
        async move { ExecutionResult::of(task.task_id, Outcome::Ok) }
    });
    let (report, _) = running.await.unwrap();
    assert_eq!(
        (report.outcome.clone(), report.attempts, report.times.resumed),
        (RunOutcome::Complete, 20, 1),
        "{report}"
    );
    let mut served = served.lock().unwrap().clone();
    served.sort();
    assert_eq!(served, (1..=20).map(TaskId::Int).collect::<Vec<_>>(), "each of them once");
}

#[tokio::test]
async fn a_run_without_a_server_fails_and_has_tried_nothing() {
    let place = Place::new();
    let mut spec = spec(format!("127.0.0.1:{}", free_port()), numbered(3));
    spec.options = spec.options.give_up(Duration::from_millis(300));
    let journal = Journal::create(&place.journal, &spec, unix_ms()).unwrap();
    let (_stop, stop) = watch::channel(None);
    let start = Instant::now();
    let error = run(spec, journal, stop, &mut |_: &RunEvent| {}).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Client(error) if matches!(error.kind, ErrorKind::Unreachable(_))),
        "{error}"
    );
    assert!(start.elapsed() >= Duration::from_millis(300));
    let report = place.saved().report(unix_ms());
    assert_eq!((report.outcome, report.attempts), (RunOutcome::Unfinished, 0));
    assert_eq!(report.by_outcome.get("not-submitted"), Some(&3));
}

#[tokio::test]
async fn a_run_begins_when_its_server_does() {
    let port = lasting_port();
    let spec = spec(format!("127.0.0.1:{port}"), numbered(3));
    let mut running = tokio::spawn(carry_out(spec));
    let waits = tokio::time::timeout(Duration::from_millis(100), &mut running).await;
    assert!(waits.is_err(), "it ended without a server: {waits:?}");
    let server = Server::conveyor_at(port, &[]);
    let _hired = hire(&server, 1, |task, _| async { ExecutionResult::of(task.task_id, Outcome::Ok) });
    assert_eq!(running.await.unwrap().0.outcome, RunOutcome::Complete);
}

/// Jobs in flight are lost when the server stays away, and tried again; those that were not submitted wait for it.
#[tokio::test]
async fn a_server_that_stays_away_costs_no_more_tries_than_there_is_room_for() {
    let mut server = Server::gearmand_at(lasting_port(), &[]);
    let mut spec = spec(server.address, numbered(100));
    spec.options = Options::new([server.address.to_string()])
        .give_up(Duration::from_millis(200))
        .backoff(Duration::from_millis(20), Duration::from_millis(100));
    spec.policy.in_flight = 10;
    let away = Arc::new(AtomicUsize::new(0));
    let noticed = Arc::clone(&away);
    let running = tokio::spawn(async move {
        let place = Place::new();
        let (_stop, stop) = watch::channel(None);
        let journal = Journal::create(&place.journal, &spec, unix_ms()).unwrap();
        let mut heard = Vec::new();
        let mut observe = |event: &RunEvent| {
            if matches!(event, RunEvent::Ended { .. }) {
                noticed.fetch_add(1, Ordering::SeqCst);
            }
            heard.push(event.clone());
        };
        let report = run(spec, journal, stop, &mut observe).await.unwrap();
        (report, heard)
    });
    once("ten are queued", || server.status().iter().any(|row| row.1 == 10)).await;
    server.kill();
    once("they are lost", || away.load(Ordering::SeqCst) == 10).await;
    // Longer than the delay: they are due again.
    let more = within(Duration::from_millis(400), || away.load(Ordering::SeqCst) > 10).await;
    assert!(!more, "something else is tried without a server");
    // And then as many as there is room for: a run without a server ends, some day.
    once("ten more are lost", || away.load(Ordering::SeqCst) >= 20).await;
    let more = within(Duration::from_millis(300), || away.load(Ordering::SeqCst) > 20).await;
    assert!(!more, "and no more");
    server.start_again();
    let _hired = hire(&server, 4, |task, _| async { ExecutionResult::of(task.task_id, Outcome::Ok) });
    let (report, heard) = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    assert_eq!(
        (report.outcome.clone(), report.retried, report.attempts),
        (RunOutcome::Complete, 20, 120),
        "{report}"
    );
    assert!(heard.iter().any(|event| matches!(event, RunEvent::Unreachable(_))));
    assert!(heard.iter().any(|event| matches!(event, RunEvent::Reachable)));
}

#[tokio::test]
async fn a_task_that_cannot_be_written_has_failed_and_the_others_are_done() {
    let server = Server::conveyor(&[]);
    let _hired = hire(&server, 1, |task, _| async { ExecutionResult::of(task.task_id, Outcome::Ok) });
    let mut tasks = numbered(3);
    tasks[1] = RunTask::new(2, "x".repeat(2000).as_str());
    let mut spec = spec(server.address, tasks);
    spec.limits.bytes = 1000;
    assert_eq!(spec.codec, Codec::Json);
    let (report, _) = carry_out(spec).await;
    assert_eq!((report.ok, report.error), (2, 1), "{report}");
    assert!(report.errors[0].message.as_deref().unwrap().contains("1000"), "{report}");
}

/// Two servers of one machine call their jobs the same.
#[tokio::test]
async fn an_abort_cancels_no_job_of_anybody_else() {
    let servers = [Server::conveyor(&[]), Server::conveyor(&[])];
    let others = Client::connect(Options::new([servers[0].address.to_string()])).await.unwrap();
    let theirs = others.submit_all((0..20).map(|number| Job::new("work", number.to_string()))).await;
    once("theirs are queued", || servers[0].status().iter().any(|row| row.1 == 20)).await;
    let mut spec = spec("", numbered(100));
    spec.options = Options::new(servers.iter().map(|server| server.address.to_string()));
    let (stop, stopped) = watch::channel(None);
    let queued = |server: &Server| server.status().first().map_or(0, |row| row.1);
    let place = Arc::new(Place::new());
    let at = Arc::clone(&place);
    let running = tokio::spawn(async move { carry_out_at(&at, spec, stopped).await });
    once("all are queued", || servers.iter().map(queued).sum::<u64>() == 120).await;
    assert!(queued(&servers[1]) >= 20, "the other server uses the handles of theirs, too");
    let named = || std::fs::read_to_string(&place.journal).unwrap().matches("\"created\"").count();
    once("all handles are known", || named() == 100).await;
    stop.send(Some(Abort::Deadline)).unwrap();
    let (_, heard) = running.await.unwrap();
    assert!(heard.iter().any(|event| matches!(event, RunEvent::Cancelled { asked: 100, .. })));

    let worker = Worker::new(servers[0].address.to_string())
        .function("work", |job| async move { Work::Complete(job.payload().clone()) });
    let _hired = Hired::start(worker);
    for job in theirs {
        let outcome = tokio::time::timeout(PATIENCE, job.unwrap().outcome()).await.unwrap();
        assert!(matches!(outcome, Ok(JobOutcome::Complete(_))), "{outcome:?}");
    }
}

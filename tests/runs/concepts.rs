//! The concepts of the conveyor family that a run answers for, one test each.

use crate::proxy::Proxy;
use crate::rig::{Hired, Place, carry_out, carry_out_at, hire, numbered, on_both, once, spec, work};
use crate::support::{Server, wait_for};
use conveyor_client::payload::{Codec, ExecutionResult, Limits, Outcome, TaskId, TaskPayload};
use conveyor_client::run::{Journal, ManagerSpec, OutcomeKind, RunEvent, RunOutcome, RunTask};
use conveyor_client::{Priority, Update};
use conveyor_worker::{Outcome as Work, Worker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

on_both!(
    concept_02_manager_task_high_performer_tasks_normal_or_low,
    concept_03_task_ids_are_kept_apart,
    concept_04_standby_client_sees_every_callback,
    concept_06_report_by_omission,
    concept_07_bounded_retry_of_leftovers_only,
    concept_08_critical_error_aborts,
);

/// When each try of each task began, and its number.
type Tries = BTreeMap<TaskId, Vec<(u32, Instant)>>;

/// Packet types of submissions.
const NORMAL: u32 = 7;
const HIGH: u32 = 21;
const LOW: u32 = 33;

async fn concept_02_manager_task_high_performer_tasks_normal_or_low(server: Server) {
    let proxy = Proxy::start(server.address);
    let mut tasks = numbered(6);
    tasks[1].priority = Some(Priority::Low);
    tasks[4].priority = Some(Priority::Low);
    let payload = |attempt: u32, tasks: usize| {
        let task = TaskPayload::anonymous(format!("manager {attempt} for {tasks}").as_str());
        Codec::Json.encode(&task, &Limits::default()).unwrap().into()
    };
    // The same function: only there does priority order anything.
    let manager = Some(ManagerSpec { function: "work".to_owned(), payload: Arc::new(payload) });
    let mut spec = spec(proxy.address, tasks);
    spec.manager = manager;
    let running = tokio::spawn(carry_out(spec));
    once("all are queued", || server.status().iter().any(|row| row.1 == 7)).await;

    let served: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&served);
    let _hired = hire(&server, 1, move |task, _| {
        seen.lock().unwrap().push(format!("{:?} {:?}", task.task_id, task.body));
        async { ExecutionResult::of(None, Outcome::Ok) }
    });
    let (report, heard) = running.await.unwrap();
    assert_eq!(report.outcome, RunOutcome::Complete, "{report}");
    assert_eq!(report.manager.unwrap().outcome, Some(OutcomeKind::Ok));
    let manager = |event: &RunEvent| matches!(event, RunEvent::ManagerSubmitted { attempt: 1, tasks: 6 });
    assert_eq!(heard.iter().filter(|event| manager(event)).count(), 1);

    let submitted: Vec<u32> =
        proxy.packets().into_iter().filter(|kind| [NORMAL, HIGH, LOW].contains(kind)).collect();
    let count = |wanted: u32| submitted.iter().filter(|kind| **kind == wanted).count();
    assert_eq!((count(HIGH), count(NORMAL), count(LOW)), (1, 4, 2), "{submitted:?}");
    let served = served.lock().unwrap().clone();
    let expected = [
        "None",
        "Some(Int(1))",
        "Some(Int(3))",
        "Some(Int(4))",
        "Some(Int(6))",
        "Some(Int(2))",
        "Some(Int(5))",
    ];
    assert_eq!(served.len(), 7);
    assert!(served[0].contains("manager 1 for 6"), "{served:?}");
    assert!(served.iter().zip(expected).all(|(line, id)| line.starts_with(id)), "{served:?}");
}

async fn concept_03_task_ids_are_kept_apart(server: Server) {
    let _hired = hire(&server, 1, |task, _| async move {
        // It answers with the id that it was given.
        ExecutionResult {
            execution_message: Some(task.body),
            ..ExecutionResult::of(task.task_id, Outcome::Ok)
        }
    });
    let ids: [TaskId; 4] = [7.into(), "a-7".into(), 0.into(), "".into()];
    let tasks = ids.map(|id| RunTask::new(id, "go")).to_vec();
    let (report, heard) = carry_out(spec(server.address, tasks)).await;
    assert_eq!(
        (report.outcome.clone(), report.ok, report.attempts),
        (RunOutcome::Complete, 4, 4),
        "{report}"
    );
    let other = heard.iter().any(|event| matches!(event, RunEvent::OtherId { .. }));
    assert!(!other, "every answer names its own task: {heard:?}");
}

async fn concept_04_standby_client_sees_every_callback(server: Server) {
    let worker = Worker::new(server.address.to_string()).function("work", |job| async move {
        let task: TaskPayload = Codec::Json.decode(job.payload(), &Limits::default()).unwrap();
        match task.task_id {
            Some(TaskId::Int(1)) => {
                job.progress(1, 2).await;
                // The result in two parts.
                job.data("{\"error_exists\":").await;
                job.warning("careful").await;
                Work::Complete("false}".into())
            }
            Some(TaskId::Int(2)) => Work::Fail,
            _ => Work::Exception("thrown".into()),
        }
    });
    let _hired = Hired::start(worker);
    let mut spec = spec(server.address, numbered(3));
    spec.policy.attempts = 1;
    let (report, heard) = carry_out(spec).await;
    let mut told: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for event in heard {
        match event {
            RunEvent::Submitted { task, attempt } => {
                told.entry(task).or_default().push(format!("submitted {attempt}"))
            }
            RunEvent::Update { task, update, .. } => told.entry(task).or_default().push(match update {
                Update::Created(handle) => format!("created {}", handle.starts_with(b"H:")),
                Update::Status { numerator, denominator } => format!("status {numerator}/{denominator}"),
                Update::Data(_) => "data".to_owned(),
                Update::Warning(text) => format!("warning {}", String::from_utf8_lossy(&text)),
                Update::Exception(text) => format!("exception {}", String::from_utf8_lossy(&text)),
            }),
            RunEvent::Ended { task, verdict, .. } => {
                told.entry(task).or_default().push(verdict.kind.to_string())
            }
            _ => {}
        }
    }
    let complete = ["submitted 1", "created true", "status 1/2", "data", "warning careful", "ok"];
    assert_eq!(told[&0], complete);
    assert_eq!(told[&1], ["submitted 1", "created true", "failed"]);
    assert_eq!(told[&2], ["submitted 1", "created true", "exception thrown", "failed"]);
    assert_eq!((report.ok, report.error), (1, 2), "{report}");
    assert_eq!(report.errors[1].message.as_deref(), Some("thrown"));
}

async fn concept_06_report_by_omission(server: Server) {
    let _hired = hire(&server, 4, |task, _| async move {
        match task.task_id {
            Some(TaskId::Int(3 | 6)) => ExecutionResult::error(3, "no luck"),
            Some(TaskId::Int(9)) => std::future::pending().await,
            id => ExecutionResult::of(id, Outcome::Ok),
        }
    });
    let mut spec = spec(server.address, numbered(10));
    spec.task_timeout = Some(Duration::from_millis(1500));
    let (report, heard) = carry_out(spec).await;
    assert_eq!((report.created, report.ok, report.error, report.missing), (10, 7, 2, 1), "{report}");
    assert_eq!(report.outcome, RunOutcome::Incomplete);
    assert!(!report.is_ok());
    assert_eq!(
        report.by_outcome,
        BTreeMap::from(
            [("error", 2), ("ok", 7), ("timed-out", 1)].map(|(kind, count)| (kind.to_owned(), count))
        )
    );
    assert_eq!(report.absent[0].id, TaskId::Int(9));
    assert!(report.absent[0].handle.is_some(), "whoever looks for it knows what the server called it");
    // The performer of the original leaves out or mixes up ids when it fails: handles count.
    let other = heard.iter().filter(|event| matches!(event, RunEvent::OtherId { .. })).count();
    assert_eq!(other, 2, "both tries of task 6 say that they are 3");
    assert_eq!(report.errors.iter().map(|line| line.id.to_string()).collect::<Vec<_>>(), ["3", "6"]);
    let asked = |event: &RunEvent| match event {
        RunEvent::Cancelled { asked, .. } => *asked,
        _ => 0,
    };
    assert!(heard.iter().map(asked).sum::<usize>() >= 2, "both tries that nobody answered are taken back");
}

async fn concept_07_bounded_retry_of_leftovers_only(server: Server) {
    let tries: Arc<Mutex<Tries>> = Arc::default();
    let counted = Arc::clone(&tries);
    let _hired = hire(&server, 4, move |task, _| {
        let id = task.task_id.clone().unwrap();
        counted.lock().unwrap().entry(id.clone()).or_default().push((task.attempt, Instant::now()));
        async move {
            let fails = match id {
                TaskId::Int(3) => task.attempt == 1,
                TaskId::Int(5) => true,
                _ => false,
            };
            let outcome = if fails { Outcome::Error } else { Outcome::Ok };
            ExecutionResult::of(Some(id), outcome)
        }
    });
    let (report, _) = carry_out(spec(server.address, numbered(6))).await;
    let tries = tries.lock().unwrap().clone();
    for (id, tries) in &tries {
        let leftover = [TaskId::Int(3), TaskId::Int(5)].contains(id);
        let numbers: Vec<u32> = tries.iter().map(|(attempt, _)| *attempt).collect();
        assert_eq!(numbers, if leftover { vec![1, 2] } else { vec![1] }, "task {id}");
        if let [(_, first), (_, second)] = tries.as_slice() {
            assert!(second.duration_since(*first) >= Duration::from_millis(95), "the delay is kept");
        }
    }
    assert_eq!(
        (tries.len(), report.ok, report.error, report.missing, report.retried),
        (6, 5, 1, 0, 2),
        "{report}"
    );
    assert_eq!(report.errors[0].outcome, Some(OutcomeKind::Error));
    assert_eq!(report.outcome, RunOutcome::Incomplete);
}

async fn concept_08_critical_error_aborts(server: Server) {
    let served: Arc<Mutex<Vec<TaskId>>> = Arc::default();
    let seen = Arc::clone(&served);
    let failed: Arc<Mutex<Option<Instant>>> = Arc::default();
    let when = Arc::clone(&failed);
    let _hired = hire(&server, 2, move |task, _| {
        let id = task.task_id.clone().unwrap();
        seen.lock().unwrap().push(id.clone());
        let when = Arc::clone(&when);
        async move {
            work(Duration::from_millis(5)).await;
            if id == TaskId::Int(5) && when.lock().unwrap().replace(Instant::now()).is_none() {
                return ExecutionResult::critical(id, "no database");
            }
            ExecutionResult::of(Some(id), Outcome::Ok)
        }
    });
    let place = Place::new();
    let (_stop, stop) = tokio::sync::watch::channel(None);
    let spec = spec(server.address, numbered(50));
    let (report, heard) = carry_out_at(&place, spec.clone(), stop.clone()).await;
    let took = failed.lock().unwrap().unwrap().elapsed();
    let count = served.lock().unwrap().len();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let reason = "task 5: no database".to_owned();
    assert_eq!(report.outcome, RunOutcome::Aborted { critical: true, reason }, "{report}");
    assert_eq!(report.created, 50);
    assert!(count < 40, "of 50 tasks {count} ran before anybody could stop");
    let asked = heard.iter().find_map(|event| match event {
        RunEvent::Cancelled { asked, cancelled } => Some((*asked, *cancelled)),
        _ => None,
    });
    let (asked, cancelled) = asked.expect("queued jobs are taken back");
    assert!(asked >= 50 - count && cancelled + 2 >= asked, "{cancelled} of {asked}");

    // The performers go on asking, and get nothing; the queue is empty by that.
    once("the queue is empty", || server.status().iter().all(|row| row.1 == 0)).await;
    assert_eq!(served.lock().unwrap().len(), count, "a job ran after the run had ended");

    // The journal is free, and from it the rest is done.
    assert!(Journal::open(&place.journal).is_ok());
    let (report, _) = carry_out_at(&place, spec, stop).await;
    assert_eq!((report.outcome.clone(), report.times.resumed), (RunOutcome::Complete, 1), "{report}");
    wait_for("nothing is left", || server.status().iter().all(|row| row.1 == 0).then_some(()));
}

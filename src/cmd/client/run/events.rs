//! What happens in a run, as JSON: an object a line.

use bytes::Bytes;
use conveyor_client::Update;
use conveyor_client::payload::{Content, TaskId};
use conveyor_client::run::{Abort, Counts, OutcomeKind, Report, RunEvent, RunTask, Verdict};
use serde_json::{Value, json};

/// An event; none for what is told by another one.
pub(super) fn event(run: &str, tasks: &[RunTask], event: &RunEvent) -> Vec<Value> {
    let id = |task: &usize| tasks.get(*task).map(|task| &task.id);
    let one = |value| vec![value];
    match event {
        RunEvent::Started { counts } => {
            one(json!({ "event": "started", "run": run, "counts": count(counts) }))
        }
        RunEvent::Submitted { task, attempt } => {
            one(json!({ "event": "submitted", "task": id(task), "attempt": attempt }))
        }
        RunEvent::Update { task, attempt, update: told } => one(update(Some(id(task)), *attempt, told)),
        RunEvent::Ended { task, attempt, verdict, again_ms, .. } => {
            let mut events = vec![ended(id(task), *attempt, verdict)];
            if let Some(in_ms) = again_ms {
                let next = attempt.saturating_add(1);
                events.push(json!({ "event": "again", "task": id(task), "attempt": next, "in_ms": in_ms }));
            }
            events
        }
        RunEvent::ManagerSubmitted { attempt, tasks } => {
            one(json!({ "event": "manager-submitted", "attempt": attempt, "tasks": tasks }))
        }
        RunEvent::ManagerUpdate(told) => one(update(None, 0, told)),
        RunEvent::ManagerEnded(Verdict { kind, message, .. }) => {
            one(json!({ "event": "manager-ended", "outcome": kind, "message": message }))
        }
        RunEvent::Aborted(why) => one(json!({ "event": "aborted", "why": aborted(tasks, why) })),
        RunEvent::OtherId { task, attempt, claimed } => {
            one(json!({ "event": "other-id", "task": id(task), "attempt": attempt, "claimed": claimed }))
        }
        RunEvent::Unreachable(why) => one(json!({ "event": "unreachable", "why": why })),
        RunEvent::Reachable => one(json!({ "event": "reachable" })),
        RunEvent::Cancelled { cancelled, asked } => {
            one(json!({ "event": "cancelled", "cancelled": cancelled, "asked": asked }))
        }
        // Of a later library.
        _ => Vec::new(),
    }
}

/// The last one.
pub(super) fn report(report: &Report) -> Value {
    let mut value = json!(report);
    if let Some(object) = value.as_object_mut() {
        object.insert("event".to_owned(), json!("report"));
    }
    value
}

/// The end of a task that is not tried again, for `--output`.
pub(super) fn result(id: &TaskId, attempts: u32, verdict: &Verdict) -> Value {
    let Verdict { kind, message, result } = verdict;
    json!({ "id": id, "outcome": kind, "attempts": attempts, "result": result, "message": message })
}

/// Why a run ends early, in words.
pub(super) fn aborted(tasks: &[RunTask], why: &Abort) -> String {
    match why {
        Abort::Critical(task) => {
            let id = tasks.get(task.0).map_or_else(String::new, |task| task.id.to_string());
            format!("task {id} says that the whole run must end")
        }
        Abort::Manager(why) => format!("the manager: {why}"),
        Abort::Deadline => "the run is out of time".to_owned(),
        Abort::Stopped(why) => why.clone(),
    }
}

fn count(counts: &Counts) -> Value {
    let Counts { tasks, ready, in_flight, waiting, ok, not_ok } = counts;
    json!({ "tasks": tasks, "ready": ready, "in_flight": in_flight, "waiting": waiting, "ok": ok, "not_ok": not_ok })
}

fn ended(id: Option<&TaskId>, attempt: u32, Verdict { kind, message, result }: &Verdict) -> Value {
    let event = if *kind == OutcomeKind::Ok { "complete" } else { "fail" };
    json!({ "event": event, "task": id, "attempt": attempt, "outcome": kind, "result": result, "message": message })
}

/// What a job tells: that of a task, or without one that of the manager.
fn update(task: Option<Option<&TaskId>>, attempt: u32, update: &Update) -> Value {
    let bytes = |bytes: &Bytes| json!(Content::from(bytes.clone()));
    let mut event = match update {
        Update::Created(handle) => json!({ "event": "created", "handle": String::from_utf8_lossy(handle) }),
        Update::Status { numerator, denominator } => {
            json!({ "event": "status", "numerator": numerator, "denominator": denominator })
        }
        Update::Data(data) => json!({ "event": "data", "data": bytes(data) }),
        Update::Warning(text) => json!({ "event": "warning", "data": bytes(text) }),
        Update::Exception(text) => json!({ "event": "exception", "data": bytes(text) }),
    };
    if let Some(event) = event.as_object_mut() {
        match task {
            Some(id) => {
                event.insert("task".to_owned(), json!(id));
                event.insert("attempt".to_owned(), json!(attempt));
            }
            None => drop(event.insert("manager".to_owned(), json!(true))),
        }
    }
    event
}

//! `conveyor schedule status`: from what is stored, whether or not anything looks after the schedules.

use super::{moment, next_due, what};
use crate::schedules::config::Schedule;
use crate::schedules::store::Folder;
use conveyor_client::schedule::{Run, State, Where};
use serde_json::{Value, json};
use std::path::Path;

/// Prints it.
///
/// # Errors
/// What is stored cannot be read; says what to do.
pub(super) fn print(schedules: &[&Schedule], state_dir: Option<&Path>, as_json: bool) -> Result<(), String> {
    let folder = Folder::at(state_dir)?;
    let mut rows = Vec::new();
    for schedule in schedules {
        let state = folder.read(&schedule.plan.name)?.unwrap_or_default();
        if as_json {
            rows.push(row(schedule, &state, &folder));
        } else {
            print!("{}", text(schedule, &state, &folder));
        }
    }
    if as_json {
        println!("{}", Value::Array(rows));
    }
    Ok(())
}

/// Where a run is, and whether it can still be there.
fn place(schedule: &Schedule, run: &Run, folder: &Folder) -> String {
    let alive = folder.is_alive(&schedule.plan.name, run.due);
    match &run.place {
        Some(Where::Process(process)) if alive => format!("process {process}"),
        Some(Where::Process(process)) => format!("process {process} is gone"),
        Some(Where::Job { server, handle }) => format!("job {handle} on {server}"),
        None if alive => "being started".to_owned(),
        None => "whoever wanted to start it is gone".to_owned(),
    }
}

fn row(schedule: &Schedule, state: &State, folder: &Folder) -> Value {
    let at = |at: i64| moment(schedule, at);
    let running: Vec<Value> = state
        .running
        .iter()
        .map(|run| {
            let place = place(schedule, run, folder);
            json!({ "due": at(run.due), "kind": run.kind, "started": at(run.started), "stopping": run.stopping, "where": place })
        })
        .collect();
    let last = state.past.last().map(|past| {
        json!({
            "due": at(past.due), "kind": past.kind, "started": at(past.started), "ended": at(past.ended),
            "outcome": past.outcome, "note": past.note,
        })
    });
    json!({
        "name": schedule.plan.name,
        "starts": what(schedule),
        "enabled": schedule.plan.enabled,
        "next": next_due(schedule).map(at),
        "running": running,
        "waiting": state.waiting.map(|start| at(start.due)),
        "catching_up": state.backlog.len(),
        "retrying": state.retries.iter().map(|retry| json!({
            "due": at(retry.due), "tries": retry.tries, "until": at(retry.until), "why": retry.why,
        })).collect::<Vec<Value>>(),
        "last": last,
        "not_started": state.passed_over.as_ref().map(|passed| json!({
            "due": at(passed.due), "decided": at(passed.at), "why": passed.why,
        })),
    })
}

fn text(schedule: &Schedule, state: &State, folder: &Folder) -> String {
    let plan = &schedule.plan;
    let shown = |at: i64| plan.timetable.shown(at);
    let mut lines = vec![format!("{} ({})", plan.name, what(schedule))];
    let next = next_due(schedule)
        .map_or_else(|| "off".to_owned(), |due| format!("{} {}", shown(due), plan.timetable.zone()));
    lines.push(format!("  next         {next}"));
    if state.running.is_empty() {
        lines.push("  running      no".to_owned());
    }
    for run in &state.running {
        let place = place(schedule, run, folder);
        let stopping = if run.stopping { ", stopping" } else { "" };
        lines.push(format!(
            "  running      due {}, started {}, {place}{stopping}",
            shown(run.due),
            shown(run.started)
        ));
    }
    if let Some(waiting) = state.waiting {
        lines.push(format!("  waiting      due {}", shown(waiting.due)));
    }
    if !state.backlog.is_empty() {
        lines.push(format!("  catching up  {} missed", state.backlog.len()));
    }
    for retry in &state.retries {
        let (due, until) = (shown(retry.due), shown(retry.until));
        lines.push(format!(
            "  retrying     due {due}, {} attempts, until {until}: {}",
            retry.tries, retry.why
        ));
    }
    match state.past.last() {
        Some(past) => {
            let note = if past.note.is_empty() { String::new() } else { format!(" ({})", past.note) };
            lines.push(format!("  last         due {}, started {}", shown(past.due), shown(past.started)));
            lines.push(format!("               {}{note}, ended {}", past.outcome, shown(past.ended)));
        }
        None => lines.push("  last         never".to_owned()),
    }
    if let Some(passed) = &state.passed_over {
        lines.push(format!("  not started  due {}: {}", shown(passed.due), passed.why));
    }
    lines.join("\n") + "\n"
}

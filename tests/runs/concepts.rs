//! The concepts of the conveyor family that a run answers for, one test each.

use crate::rig::{carry_out, hire, numbered, on_both, spec};
use crate::support::Server;
use conveyor_client::payload::{ExecutionResult, Outcome, TaskId};
use conveyor_client::run::{OutcomeKind, RunOutcome, RunTask};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

on_both!(concept_03_task_ids_are_kept_apart, concept_07_bounded_retry_of_leftovers_only,);

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
    assert!(!format!("{heard:?}").contains("OtherId"), "every answer names its own task: {heard:?}");
}

async fn concept_07_bounded_retry_of_leftovers_only(server: Server) {
    let tries: Arc<Mutex<BTreeMap<TaskId, Vec<u32>>>> = Arc::default();
    let counted = Arc::clone(&tries);
    let _hired = hire(&server, 4, move |task, _| {
        let id = task.task_id.clone().unwrap();
        counted.lock().unwrap().entry(id.clone()).or_default().push(task.attempt);
        async move {
            let fails = match id {
                TaskId::Int(3) => task.attempt == 1,
                TaskId::Int(5) => true,
                _ => false,
            };
            if fails { ExecutionResult::error(5, "no luck") } else { ExecutionResult::ok(5, "done") }
        }
    });
    let (report, _) = carry_out(spec(server.address, numbered(6))).await;
    let tries = tries.lock().unwrap().clone();
    let expected =
        (1..=6_i64).map(|id| (TaskId::from(id), if id == 3 || id == 5 { vec![1, 2] } else { vec![1] }));
    assert_eq!(tries, expected.collect(), "leftovers are tried twice, all others once");
    assert_eq!((report.ok, report.error, report.missing, report.retried), (5, 1, 0, 2), "{report}");
    assert_eq!(report.errors[0].outcome, Some(OutcomeKind::Error));
    assert_eq!(report.outcome, RunOutcome::Incomplete);
}

//! Tells whoever wants to know how the run went: the sinks of the client.

use super::plan::Plan;
use crate::sinks::Notice;
use conveyor_client::run::Report;
use serde_json::json;
use std::sync::Arc;

/// A run has ended.
pub(super) async fn of_report(plan: &Plan, report: &Report, quiet: bool) {
    let notice = Notice {
        run: report.run.clone(),
        name: plan.name.clone(),
        subject: format!("conveyor: {}", report.headline()),
        ok: report.is_ok(),
        text: report.to_string(),
        json: serde_json::to_value(report).unwrap_or_default(),
    };
    tell(plan, notice, quiet).await;
}

/// There was no run to its end: nobody would hear of it otherwise, when nobody looks.
pub(super) async fn of_failure(plan: &Plan, message: &str) {
    let name = &plan.name;
    let notice = Notice {
        run: "not begun".to_owned(),
        name: name.clone(),
        subject: format!("conveyor: {name}: could not be run"),
        ok: false,
        text: format!("{name} could not be run: {message}\n"),
        json: json!({"name": name, "outcome": {"how": "not-run", "reason": message}}),
    };
    tell(plan, notice, true).await;
}

/// Sinks have their own limits of time; the lock of the run is held meanwhile.
async fn tell(plan: &Plan, notice: Notice, quiet: bool) {
    let sinks = Arc::clone(&plan.sinks);
    let delivered = tokio::task::spawn_blocking(move || sinks.deliver(&notice)).await;
    for delivery in delivered.unwrap_or_default() {
        if delivery.outcome.is_err() || !quiet {
            eprintln!("{}: {delivery}", plan.name);
        }
    }
}

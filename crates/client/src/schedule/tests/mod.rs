//! Schedules on a fake clock.

mod clock_changes;
mod decisions;
mod histories;

use super::{Effect, Event, Machine, Missed, Overlap, Plan, State, Timetable};
use chrono::DateTime;

/// A moment, in milliseconds.
fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}

fn plan(expression: &str, zone: &str) -> Plan {
    Plan {
        name: "nightly".to_owned(),
        timetable: Timetable::new(expression, zone).unwrap(),
        jitter: 0,
        overlap: Overlap::Skip,
        missed: Missed::Skip,
        grace: 300_000,
        enabled: true,
    }
}

/// What one event makes of a state, and what is to be done.
fn step(plan: &Plan, state: &mut Option<State>, now: i64, event: Event) -> Vec<Effect> {
    let mut machine = Machine::new(plan, state.take(), now);
    let mut effects = Vec::new();
    machine.handle(now, event, &mut effects);
    *state = Some(machine.state);
    effects
}

/// Due times that start.
fn starts(effects: &[Effect]) -> Vec<i64> {
    let of = |effect: &Effect| match effect {
        Effect::Start(start) => Some(start.due),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

/// What is said about due times that do not start.
fn reasons(effects: &[Effect]) -> Vec<(i64, i64, String)> {
    let of = |effect: &Effect| match effect {
        Effect::PassedOver { first, last, why } => Some((*first, *last, why.clone())),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

//! Random histories: ticks, jumps of the clock, restarts, ends and failures.

use super::super::{Effect, Event, How, Machine, Missed, Overlap, State, Timetable};
use super::Plan;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const EXPRESSIONS: [&str; 4] = ["*/10 * * * * *", "* * * * *", "*/15 2 * * *", "30 2 * * *"];

#[derive(Clone, Debug)]
enum Happens {
    /// The clock moves by so many seconds, back or forward.
    Clock(i64),
    /// The process starts again.
    Restart,
    /// The n-th run ends.
    End(usize),
    /// The n-th run could not be started.
    Fail(usize),
    RunNow,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1..200_i64).prop_map(Happens::Clock),
        1 => (-7200..100_000_i64).prop_map(Happens::Clock),
        2 => Just(Happens::Restart),
        3 => (0..4_usize).prop_map(Happens::End),
        1 => (0..4_usize).prop_map(Happens::Fail),
        1 => Just(Happens::RunNow),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let overlap = prop_oneof![
        Just(Overlap::Skip),
        Just(Overlap::Queue),
        Just(Overlap::Parallel),
        Just(Overlap::Replace)
    ];
    let missed = prop_oneof![Just(Missed::Skip), Just(Missed::Once), Just(Missed::All)];
    let expression = prop::sample::select(EXPRESSIONS.to_vec());
    (expression, overlap, missed, 0..120_000_i64, 1_000..600_000_i64).prop_map(
        |(expression, overlap, missed, jitter, grace)| Plan {
            name: "random".to_owned(),
            timetable: Timetable::new(expression, "Europe/Berlin").unwrap(),
            jitter,
            overlap,
            missed,
            grace,
            enabled: true,
        },
    )
}

/// What was seen of a history.
#[derive(Default)]
struct Seen {
    /// Due times that were claimed, and how often nothing came of it.
    started: BTreeMap<i64, usize>,
    passed: Vec<(i64, i64)>,
}

impl Seen {
    fn take(&mut self, plan: &Plan, state: &State, effects: &[Effect], failed: &BTreeMap<i64, usize>) {
        for effect in effects {
            match effect {
                Effect::Start(start) => {
                    let times = self.started.entry(start.due).or_default();
                    *times += 1;
                    let allowed = 1 + failed.get(&start.due).copied().unwrap_or_default();
                    assert!(*times <= allowed, "{} started {times} times", start.due);
                }
                Effect::PassedOver { first, last, .. } => self.passed.push((*first, *last)),
                _ => {}
            }
        }
        if plan.overlap != Overlap::Parallel {
            let at_once = state.running.len() + state.retries.len();
            assert!(at_once <= 1, "{at_once} at once: {state:?}");
        }
        if plan.overlap == Overlap::Skip {
            assert_eq!(state.waiting, None);
        }
        assert!(state.backlog.len() <= 101 && state.running.len() <= 64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_due_time_starts_once_or_is_told(
        plan in plans(),
        begin in prop::sample::select(vec![1_774_735_200_000_i64, 1_792_879_200_000, 1_780_000_000_000]),
        history in prop::collection::vec(happens(), 1..60),
    ) {
        let mut now = begin;
        let mut state: Option<State> = None;
        let mut seen = Seen::default();
        let mut failed = BTreeMap::new();
        let mut latest = begin;
        let mut look = |now: i64, event: Event, state: &mut Option<State>, failed: &BTreeMap<i64, usize>| {
            let effects = super::step(&plan, state, now, event);
            seen.take(&plan, state.as_ref().unwrap(), &effects, failed);
        };
        look(now, Event::Opened, &mut state, &failed);
        for step in history {
            let running: Vec<i64> = state.iter().flat_map(|state| &state.running).map(|run| run.due).collect();
            match step {
                Happens::Clock(seconds) => {
                    now += seconds * 1000;
                    latest = latest.max(now);
                    look(now, Event::Tick, &mut state, &failed);
                }
                Happens::Restart => {
                    look(now, Event::Opened, &mut state, &failed);
                    look(now, Event::Tick, &mut state, &failed);
                }
                Happens::End(number) => if let Some(due) = running.get(number).copied() {
                    look(now, Event::Ended { due, how: How::Done, note: String::new() }, &mut state, &failed);
                },
                Happens::Fail(number) => if let Some(due) = running.get(number).copied() {
                    *failed.entry(due).or_default() += 1;
                    look(now, Event::NotStarted { due, why: "no".to_owned(), again: true }, &mut state, &failed);
                },
                Happens::RunNow => look(now, Event::RunNow, &mut state, &failed),
            }
        }
        // Nothing is left out: what is not started, waits or is pending was told.
        let state = state.unwrap();
        let pending: BTreeSet<i64> =
            state.waiting.iter().chain(&state.backlog).map(|start| start.due).collect();
        let mut due = begin;
        while let Some(next) = plan.timetable.next(due).filter(|next| *next <= state.decided) {
            due = next;
            let known = seen.started.contains_key(&due)
                || pending.contains(&due)
                || seen.passed.iter().any(|(first, last)| (*first..=*last).contains(&due));
            prop_assert!(known, "{due} was forgotten");
        }
        let next = plan.timetable.next(state.decided);
        prop_assert!(next.is_none_or(|next| plan.start_at(next) > latest.min(now)), "undecided");
    }

    #[test]
    fn without_what_was_stored_nothing_before_the_restart_starts(
        plan in plans(),
        begin in 1_774_735_200_000_i64..1_800_000_000_000,
    ) {
        let mut state = None;
        super::step(&plan, &mut state, begin, Event::Opened);
        let deadline = Machine::new(&plan, state.clone(), begin).next_deadline().unwrap();
        prop_assert!(deadline > begin);
        let started = super::starts(&super::step(&plan, &mut state, deadline, Event::Tick));
        prop_assert_eq!(started.len(), 1);
        prop_assert!(started[0] > begin);
    }
}

//! What becomes of due times, one rule a test.

use super::super::{Effect, Event, How, Kind, Machine, Missed, Overlap, Start, Where};
use super::{at, plan, reasons, starts, step};

const MINUTE: i64 = 60_000;

fn ended(due: i64) -> Event {
    Event::Ended { due, how: How::Done, note: String::new() }
}

fn noon() -> i64 {
    at("2026-11-24T12:00:00Z")
}

#[test]
fn a_due_time_starts_once_although_the_clock_jumps_back_or_the_process_restarts() {
    let plan = plan("*/10 * * * *", "UTC");
    let (mut state, noon) = (None, noon());
    assert!(starts(&step(&plan, &mut state, noon - MINUTE, Event::Opened)).is_empty());
    assert_eq!(Machine::new(&plan, state.clone(), noon).next_deadline(), Some(noon));
    assert_eq!(starts(&step(&plan, &mut state, noon + 10, Event::Tick)), [noon]);
    step(&plan, &mut state, noon + 20, ended(noon));
    for back in [noon - MINUTE, noon, noon + MINUTE] {
        assert!(step(&plan, &mut state, back, Event::Tick).is_empty());
        assert!(step(&plan, &mut state, back, Event::Opened).is_empty());
    }
    assert_eq!(Machine::new(&plan, state, noon).next_deadline(), Some(noon + 10 * MINUTE));
}

#[test]
fn a_restart_across_a_due_time_starts_it_within_grace_and_not_later() {
    let plan = plan("0 12 * * *", "UTC");
    let noon = noon();
    for (late, expected) in [(299_999, vec![noon]), (300_000, vec![])] {
        let mut state = None;
        step(&plan, &mut state, noon - MINUTE, Event::Opened);
        step(&plan, &mut state, noon + late, Event::Opened);
        let effects = step(&plan, &mut state, noon + late, Event::Tick);
        assert_eq!(starts(&effects), expected, "{late} ms late");
        assert_eq!(reasons(&effects).is_empty(), !expected.is_empty());
    }
}

#[test]
fn missed_due_times_follow_their_policy() {
    let noon = noon();
    // An hour without anybody, ending 6 minutes after the last due time.
    let now = noon + 6 * MINUTE;
    let all: Vec<i64> = (1..=6).map(|number| noon - (6 - number) * 10 * MINUTE).collect();
    for (missed, overlap, expected) in [
        (Missed::Skip, Overlap::Skip, vec![]),
        (Missed::Once, Overlap::Skip, vec![noon]),
        (Missed::All, Overlap::Parallel, all.clone()),
        (Missed::All, Overlap::Replace, vec![noon]),
    ] {
        let plan = super::Plan { missed, overlap, ..plan("*/10 * * * *", "UTC") };
        let mut state = None;
        step(&plan, &mut state, noon - 55 * MINUTE, Event::Opened);
        let effects = step(&plan, &mut state, now, Event::Tick);
        assert_eq!(starts(&effects), expected, "{missed:?} {overlap:?}");
        let told = reasons(&effects);
        let passed = all.len() - expected.len();
        assert_eq!(told.len(), usize::from(passed > 0), "{told:?}");
        if let Some((first, last, _)) = told.first() {
            assert_eq!((*first, *last), (all[0], all[passed - 1]));
        }
    }
    // One after another where they may not overlap.
    let plan = super::Plan { missed: Missed::All, ..plan("*/10 * * * *", "UTC") };
    let mut state = None;
    step(&plan, &mut state, noon - 55 * MINUTE, Event::Opened);
    let mut started = starts(&step(&plan, &mut state, now, Event::Tick));
    while let Some(last) = started.last().copied().filter(|last| *last < noon) {
        let next = starts(&step(&plan, &mut state, now, ended(last)));
        assert_eq!(next.len(), 1);
        started.extend(next);
    }
    assert_eq!(started, all);
}

#[test]
fn at_most_a_hundred_are_caught_up_with_and_the_rest_is_told() {
    let plan = super::Plan { missed: Missed::All, ..plan("* * * * *", "UTC") };
    let noon = noon();
    let mut state = None;
    step(&plan, &mut state, noon - 500 * MINUTE, Event::Opened);
    let effects = step(&plan, &mut state, noon + 30_000, Event::Tick);
    let caught = 1 + state.as_ref().unwrap().backlog.len();
    assert!((100..=101).contains(&caught), "{caught}");
    let told = reasons(&effects);
    assert_eq!(told[0].0, noon - 499 * MINUTE);
    assert_eq!(told[0].1 / MINUTE + 1, starts(&effects)[0] / MINUTE);
}

#[test]
fn what_is_due_meanwhile_follows_the_overlap_policy() {
    let noon = noon();
    let run = |overlap| {
        let plan = super::Plan { overlap, ..plan("* * * * *", "UTC") };
        let mut state = None;
        step(&plan, &mut state, noon - 1, Event::Opened);
        assert_eq!(starts(&step(&plan, &mut state, noon, Event::Tick)), [noon]);
        let first = step(&plan, &mut state, noon + MINUTE, Event::Tick);
        let second = step(&plan, &mut state, noon + 2 * MINUTE, Event::Tick);
        let after = step(&plan, &mut state, noon + 2 * MINUTE + 1, ended(noon));
        (first, second, starts(&after))
    };
    let (first, second, after) = run(Overlap::Skip);
    assert!(starts(&first).is_empty() && starts(&second).is_empty() && after.is_empty());
    assert!(reasons(&first)[0].2.contains("goes on"));
    let (first, second, after) = run(Overlap::Queue);
    assert!(reasons(&first).is_empty() && reasons(&second)[0].2.contains("waits already"));
    assert_eq!(after, [noon + MINUTE]);
    let (first, second, _) = run(Overlap::Parallel);
    assert_eq!((starts(&first), starts(&second)), (vec![noon + MINUTE], vec![noon + 2 * MINUTE]));
    let (first, second, after) = run(Overlap::Replace);
    assert!(first.contains(&Effect::Stop { due: noon }) && starts(&first).is_empty());
    assert_eq!(reasons(&second)[0].0, noon + MINUTE);
    assert_eq!(after, [noon + 2 * MINUTE]);
}

#[test]
fn a_start_that_fails_is_tried_again_until_the_next_due_time_or_grace() {
    let noon = noon();
    for (expression, until) in [("* * * * *", noon + MINUTE), ("0 * * * *", noon + 5 * MINUTE)] {
        let plan = plan(expression, "UTC");
        let mut state = None;
        step(&plan, &mut state, noon - 1, Event::Opened);
        step(&plan, &mut state, noon, Event::Tick);
        let mut now = noon;
        let mut tries = 0;
        loop {
            let failed = Event::NotStarted { due: noon, why: "nobody answers".to_owned(), again: true };
            step(&plan, &mut state, now, failed);
            tries += 1;
            now = Machine::new(&plan, state.clone(), now).next_deadline().unwrap();
            if !starts(&step(&plan, &mut state, now, Event::Tick)).contains(&noon) {
                break;
            }
        }
        assert_eq!(now, until, "{expression}");
        let past = state.unwrap().past;
        assert!(tries > 5 && past[0].outcome == How::Failed && past[0].note.contains("nobody answers"));
    }
}

#[test]
fn what_was_claimed_by_a_process_that_is_gone_is_started_by_another() {
    let plan = plan("0 12 * * *", "UTC");
    let noon = noon();
    let mut state = None;
    step(&plan, &mut state, noon - 1, Event::Opened);
    step(&plan, &mut state, noon, Event::Tick);
    step(&plan, &mut state, noon + 10, Event::Abandoned { due: noon });
    assert_eq!(starts(&step(&plan, &mut state, noon + 2000, Event::Tick)), [noon]);
    step(&plan, &mut state, noon + 2001, Event::Sending { due: noon });
    let place = Where::Process(17);
    step(&plan, &mut state, noon + 2002, Event::Started { due: noon, place: place.clone() });
    assert_eq!(state.unwrap().running[0].place, Some(place));
}

#[test]
fn jitter_is_the_same_everywhere_and_stays_before_the_next_due_time() {
    let noon = noon();
    let hourly = super::Plan { jitter: 10 * MINUTE, ..plan("0 * * * *", "UTC") };
    let starts: Vec<i64> =
        (0..50).map(|hour| hourly.start_at(noon + hour * 60 * MINUTE) - hour * 60 * MINUTE).collect();
    assert!(starts.iter().all(|start| (noon..=noon + 10 * MINUTE).contains(start)));
    assert!(starts.iter().collect::<std::collections::BTreeSet<_>>().len() > 40, "spread");
    // Pinned: another build must not choose otherwise.
    assert_eq!(hourly.start_at(noon) - noon, 106_236);
    let tight = super::Plan { jitter: 10 * MINUTE, ..plan("* * * * *", "UTC") };
    for minute in 0..100 {
        let due = noon + minute * MINUTE;
        assert!((due..due + MINUTE).contains(&tight.start_at(due)));
    }
}

#[test]
fn another_plan_under_the_name_has_missed_nothing() {
    let noon = noon();
    let mut state = None;
    let weekly = plan("0 0 * * 0", "UTC");
    step(&weekly, &mut state, noon - 100 * MINUTE, Event::Opened);
    let minutely = super::Plan { missed: Missed::All, ..plan("* * * * *", "UTC") };
    step(&minutely, &mut state, noon + 1, Event::Opened);
    assert!(step(&minutely, &mut state, noon + 2, Event::Tick).is_empty());
    let off = super::Plan { enabled: false, ..minutely.clone() };
    step(&off, &mut state, noon + 3, Event::Opened);
    assert!(step(&off, &mut state, noon + 5 * MINUTE, Event::Tick).is_empty());
    step(&minutely, &mut state, noon + 6 * MINUTE + 1, Event::Opened);
    assert!(step(&minutely, &mut state, noon + 6 * MINUTE + 2, Event::Tick).is_empty());
}

#[test]
fn run_now_starts_at_once_waits_or_is_refused_as_the_overlap_policy_says() {
    let noon = noon();
    for (overlap, expected) in [
        (Overlap::Parallel, vec![Effect::Start(Start { due: noon + 5, kind: Kind::Now })]),
        (Overlap::Queue, vec![Effect::Busy]),
        (Overlap::Replace, vec![Effect::Stop { due: noon + 1 }, Effect::Busy]),
    ] {
        let plan = super::Plan { overlap, ..plan("0 * * * *", "UTC") };
        let mut state = None;
        assert_eq!(starts(&step(&plan, &mut state, noon, Event::RunNow)), [noon + 1]);
        assert_eq!(step(&plan, &mut state, noon + 5, Event::RunNow), expected);
    }
    let skip = plan("0 * * * *", "UTC");
    let mut state = None;
    step(&skip, &mut state, noon, Event::RunNow);
    assert_eq!(reasons(&step(&skip, &mut state, noon + 5, Event::RunNow)).len(), 1);
    // The schedule itself is not touched by it.
    assert_eq!(Machine::new(&skip, state, noon).next_deadline(), Some(noon + 60 * MINUTE));
}

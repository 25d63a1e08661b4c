//! One manager's job: so many performers, some at once, and what the client is told.

use crate::bench::{Bench, group, quick};
use conveyor_worker::manager::load::{AdaptiveSettings, Legacy, LegacySettings};
use conveyor_worker::manager::{
    Command, Effect, Event, Exit, Manager, Outcome, Policy, Settings, Signal, State, Stop, Target, Task, What,
};

/// Enough for anything, and not enough.
const PLENTY_KIB: f64 = 16_000_000.0;
const TOO_LITTLE_KIB: f64 = 200_000.0;

fn adaptive() -> Settings {
    let policy = Policy::Adaptive(AdaptiveSettings { cores: 2.0, ..AdaptiveSettings::default() });
    Settings { policy, ..Settings::default() }
}

fn finishes(bench: &Bench) -> Vec<Outcome> {
    let finish = |effect: &Effect| match effect {
        Effect::Finish(outcome) => Some(outcome.clone()),
        _ => None,
    };
    bench.last.iter().filter_map(finish).collect()
}

#[test]
fn concept_19_a_manager_that_is_stopped_at_3_of_10_is_critical_for_the_client() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 10, 3);
    assert_eq!(bench.starts.len(), 3);
    bench.stop();
    let finished = finishes(&bench);
    let [Outcome::Critical(why)] = finished.as_slice() else { panic!("not critical") };
    assert!(why.contains("3 of 10") && why.ends_with("not all tasks were created"), "{why}");
    for slot in bench.slots() {
        bench.exit(slot, Exit::Signal(15));
    }
    assert!(bench.has(&Effect::Ended));
    assert_eq!(finishes(&bench), [], "once is enough");
}

#[test]
fn a_manager_that_is_stopped_after_the_last_start_waits_for_the_end() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 2, 2);
    bench.stop();
    assert_eq!(finishes(&bench), []);
    let [first, second] = bench.slots().try_into().unwrap();
    for slot in [first, second] {
        bench.send(Event::JobEnded { slot, ok: true });
        bench.exit(slot, Exit::Code(0));
    }
    assert_eq!(finishes(&bench), [Outcome::Ok]);
}

#[test]
fn concept_20_nothing_is_started_that_the_policy_does_not_permit() {
    let settings = Settings {
        policy: Policy::Legacy(Box::new(Legacy::new(LegacySettings::default()).unwrap())),
        ..quick()
    };
    let mut bench = Bench::batch(settings, group("mail", 1), 10, 10);
    bench.wait(2000);
    assert_eq!(bench.starts.len(), 0, "nothing was measured yet");
    // The first performer holds more than half of what is free: no room for another one.
    bench.measure(PLENTY_KIB, 0.0, 0.0);
    assert_eq!(bench.starts.len(), 1);
    for _ in 0..30 {
        bench.wait(1000);
        bench.measure(400_000.0, 150_000.0, 10.0);
    }
    assert_eq!(bench.starts.len(), 1, "denied");
    let why = bench.manager.groups()[0].blocked.unwrap().to_string();
    assert_eq!(why, "another one might not fit into the memory for performers");
}

#[test]
fn concept_20_starts_keep_their_pace_of_one_a_second() {
    for settings in [adaptive(), Settings::default()] {
        let mut bench = Bench::batch(settings, group("mail", 1), 10, 10);
        let begin = bench.now;
        for _ in 0..80 {
            bench.measure(PLENTY_KIB, 30_000.0, 1.0);
            bench.wait(250);
        }
        assert_eq!(bench.starts.len(), 10);
        for (number, (at, _)) in bench.starts.iter().enumerate() {
            assert!(at.since(begin) >= number as u64 * 1000, "the {number}th at {at:?}");
        }
    }
}

#[test]
fn concept_21_ten_tasks_three_at_once_and_two_are_terminated() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 10, 3);
    let mut ended = 0;
    let mut rounds = 0;
    while finishes(&bench).is_empty() {
        rounds += 1;
        assert!(bench.slots().len() <= 3, "never more than 3 at once");
        let slot = bench.slots()[0];
        // Two are terminated from outside: they are replaced and do not count.
        if rounds == 2 || rounds == 7 {
            bench.exit(slot, Exit::Signal(15));
            bench.wait(5000);
            continue;
        }
        ended += 1;
        bench.exit(slot, Exit::Code(0));
        let live = u32::try_from(bench.slots().len()).unwrap();
        let progress = Effect::ReportProgress { created: ended + live, finished: ended, total: 10 };
        assert!(bench.has(&progress), "{:?}", bench.last);
    }
    assert_eq!((ended, bench.starts.len()), (10, 12));
    assert_eq!(finishes(&bench), [Outcome::Ok]);
    assert!(bench.has(&Effect::Ended));
}

#[test]
fn concept_21_one_at_once_is_one() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 3, 1);
    for _ in 0..3 {
        assert_eq!(bench.slots().len(), 1);
        let slot = bench.slots()[0];
        bench.exit(slot, Exit::Code(0));
    }
    assert_eq!(finishes(&bench), [Outcome::Ok]);
}

#[test]
fn concept_22_when_the_sensors_die_nothing_is_started_and_the_client_is_told_within_5_seconds() {
    let mut bench = Bench::batch(adaptive(), group("mail", 1), 10, 10);
    bench.measure(PLENTY_KIB, 30_000.0, 1.0);
    assert_eq!(bench.starts.len(), 1);
    let died = bench.now;
    bench.send(Event::PressureUnknown { why: "the sensor ended with signal 9".to_owned() });
    assert_eq!(bench.noted(What::NotStarted), ["the load of the machine is not known"]);
    while finishes(&bench).is_empty() {
        bench.wait(100);
        assert!(bench.now.since(died) < 5000, "nobody was told");
    }
    let finished = finishes(&bench);
    let [Outcome::Error(why)] = finished.as_slice() else { panic!("not an error") };
    assert!(why.contains("signal 9"), "{why}");
    assert_eq!(bench.starts.len(), 1);
}

#[test]
fn concept_22_measurements_that_do_not_come_are_no_permission() {
    let mut bench = Bench::resident(adaptive(), vec![group("mail", 5)]);
    bench.measure(PLENTY_KIB, 30_000.0, 1.0);
    assert_eq!(bench.starts.len(), 1);
    bench.wait(10_000);
    assert_eq!(bench.starts.len(), 1);
    let [why] = bench.noted(What::Blind).try_into().unwrap();
    assert!(why.contains("no measurement came"), "{why}");
    for _ in 0..10 {
        bench.wait(1000);
        bench.measure(PLENTY_KIB, 30_000.0, 1.0);
    }
    assert_eq!(bench.starts.len(), 5, "a resident manager goes on when it sees again");
}

#[test]
fn concept_33_just_enough_is_shed_and_its_task_done_again() {
    let policy = AdaptiveSettings {
        most_kib: Some(400_000.0),
        gap_kib: 10_000.0,
        reserve_percent: 0.0,
        ..AdaptiveSettings::default()
    };
    let settings = Settings { policy: Policy::Adaptive(policy), ..quick() };
    let mut bench = Bench::batch(settings, group("mail", 1), 3, 3);
    for _ in 0..20 {
        bench.measure(PLENTY_KIB, 50_000.0, 1.0);
        bench.wait(1000);
    }
    assert_eq!(bench.starts.len(), 3);
    bench.measure(PLENTY_KIB, 150.0 * 1024.0, 1.0);
    let victims: Vec<_> =
        bench.slots().into_iter().filter(|slot| matches!(bench.state(*slot), State::Ending(_))).collect();
    let [victim] = victims.try_into().expect("exactly one victim");
    assert_eq!(bench.noted(What::Shed).len(), 1, "it is reported as shed");
    let told = bench.told(victim)[0].0;
    assert_eq!(told, conveyor_worker::manager::Order::Terminate { shed: true });
    // Its checkpoint ends it in order, and the task is not done all the same.
    bench.exit(victim, Exit::Code(0));
    for slot in bench.slots() {
        bench.exit(slot, Exit::Code(0));
    }
    assert_eq!(finishes(&bench), [], "one task is left");
    for _ in 0..10 {
        bench.wait(1000);
        bench.measure(PLENTY_KIB, 50_000.0, 1.0);
    }
    let [again] = bench.slots().try_into().expect("another one is started for it");
    bench.exit(again, Exit::Code(0));
    assert_eq!(finishes(&bench), [Outcome::Ok]);
}

#[test]
fn concept_34_critical_memory_sheds_and_tells_the_client_when_nobody_is_left() {
    let mut bench = Bench::batch(adaptive(), group("mail", 1), 5, 5);
    for _ in 0..6 {
        bench.measure(PLENTY_KIB, 50_000.0, 1.0);
        bench.wait(1000);
    }
    let before = bench.slots().len();
    assert!(before >= 2, "{before}");
    // Below the line for as long as it takes: all are ended, one after the other or at once.
    while !bench.slots().is_empty() {
        bench.wait(1000);
        bench.measure(TOO_LITTLE_KIB, 50_000.0, 1.0);
        for slot in bench.slots() {
            if matches!(bench.state(slot), State::Ending(_)) {
                bench.exit(slot, Exit::Code(75));
            }
        }
        assert!(bench.now.0 < 120_000, "nothing is shed");
    }
    assert_eq!(finishes(&bench), []);
    bench.measure(TOO_LITTLE_KIB, 0.0, 0.0);
    let finished = finishes(&bench);
    let [Outcome::Critical(why)] = finished.as_slice() else { panic!("not critical") };
    assert!(why.contains("nearly out of memory"), "{why}");
    assert!(bench.has(&Effect::Ended));
}

#[test]
fn a_lost_job_is_not_answered_and_nothing_more_is_started_for_it() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 5, 2);
    bench.send(Event::JobLost);
    for slot in bench.slots() {
        bench.exit(slot, Exit::Code(0));
        assert_eq!(finishes(&bench), []);
    }
    assert_eq!(bench.starts.len(), 2);
    assert!(bench.has(&Effect::Ended));
}

#[test]
fn a_batch_whose_performers_only_crash_is_an_error_with_the_reason() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 5, 2);
    for _ in 0..200 {
        for slot in bench.slots() {
            bench.exit(slot, Exit::Code(9));
        }
        if !finishes(&bench).is_empty() {
            break;
        }
        bench.wait(5000);
    }
    let finished = finishes(&bench);
    let [Outcome::Error(why)] = finished.as_slice() else { panic!("not an error") };
    assert!(why.contains("exit code 9"), "{why}");
}

#[test]
fn a_drained_batch_lets_who_works_finish_and_says_what_is_missing() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 5, 2);
    bench.command(Command::Drain(Target::All));
    for slot in bench.slots() {
        assert_eq!(bench.state(slot), State::Ready);
    }
    for slot in bench.slots() {
        bench.exit(slot, Exit::Code(0));
    }
    let finished = finishes(&bench);
    let [Outcome::Error(why)] = finished.as_slice() else { panic!("not an error") };
    assert!(why.contains("2 of 5"), "{why}");
}

#[test]
fn a_job_without_tasks_is_done() {
    let bench = Bench::batch(quick(), group("mail", 1), 0, 3);
    assert_eq!(finishes(&bench), [Outcome::Ok]);
    assert!(bench.has(&Effect::Ended));
}

#[test]
fn a_resident_manager_passes_a_job_over_and_a_batch_has_one() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    bench.send(Event::JobTaken(Task { total: 1, at_once: 1 }));
    assert_eq!(bench.noted(What::Ignored).len(), 1);
    let mut bench = Bench::batch(quick(), group("mail", 1), 2, 1);
    bench.send(Event::JobTaken(Task { total: 9, at_once: 9 }));
    assert_eq!((bench.noted(What::Ignored).len(), bench.slots().len()), (1, 1));
}

#[test]
fn a_manager_without_a_job_starts_nothing_and_ends_when_it_is_told() {
    let mut bench = Bench::of(Manager::batch(quick(), group("mail", 4)));
    bench.wait(60_000);
    assert_eq!(bench.starts.len(), 0);
    bench.stop();
    assert_eq!(bench.last, [Effect::Ended]);
}

#[test]
fn stop_now_kills() {
    let mut bench = Bench::batch(quick(), group("mail", 1), 3, 3);
    bench.command(Command::Stop(Stop::Now));
    for slot in bench.slots() {
        assert_eq!(bench.signals(slot), [Signal::Kill]);
    }
}

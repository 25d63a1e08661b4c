//! Groups of performers that are kept: orders, ends, crashes, replacements and numbers.

use crate::bench::{Bench, FIRST, group, quick};
use conveyor_common::Millis;
use conveyor_worker::manager::{
    Blocked, Command, Effect, Event, Exit, Group, GroupId, Order, PauseBy, Settings, Signal, Stage, State,
    Target, What,
};

/// A program that knows nothing of control channels.
fn foreign(name: &str, count: u32) -> Group {
    Group { hello_ms: None, ..group(name, count) }
}

#[test]
fn concept_16_no_hello_in_time_is_an_end_with_an_error() {
    let mut bench = Bench::resident(quick(), Vec::new());
    bench.friendly = false;
    bench.command(Command::Reload(vec![group("mail", 1)]));
    let slot = bench.slots()[0];
    bench.wait(9999);
    assert_eq!(bench.state(slot), State::Starting);
    bench.wait(1);
    assert_eq!(bench.noted(What::Silent), ["it did not say hello in time"]);
    assert_eq!(bench.signals(slot), [Signal::Term]);
    bench.exit(slot, Exit::Signal(15));
    assert_eq!(bench.noted(What::Crashed), ["it did not say hello in time"]);
    assert_eq!(bench.slots(), [], "and a pause before the next one");
}

#[test]
fn concept_23_in_band_first_then_sigterm_then_sigkill_after_the_grace() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let slot = bench.slots()[0];
    bench.command(Command::Drain(Target::All));
    assert_eq!(bench.told(slot), [(Order::Terminate { shed: false }, 1)]);
    assert_eq!(bench.signals(slot), []);
    bench.wait(1000);
    assert_eq!(bench.signals(slot), [Signal::Term], "nobody answered");
    bench.wait(29_999);
    assert_eq!(bench.signals(slot), []);
    bench.wait(1);
    assert_eq!(bench.signals(slot), [Signal::Kill]);
    assert_eq!(bench.state(slot), State::Ending(Stage::Kill));
    bench.wait(5000);
    assert_eq!(bench.signals(slot), [Signal::Kill], "again, for as long as it is there");
}

#[test]
fn concept_23_who_answers_has_its_grace_and_is_killed_all_the_same() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let slot = bench.slots()[0];
    bench.command(Command::Drain(Target::All));
    bench.ack(slot);
    bench.wait(29_999);
    assert_eq!(bench.signals(slot), []);
    bench.wait(1);
    assert_eq!(bench.signals(slot), [Signal::Term]);
    bench.wait(1000);
    assert_eq!(bench.signals(slot), [Signal::Kill]);
}

#[test]
fn concept_23_a_foreign_program_is_sent_sigterm_at_once() {
    let mut bench = Bench::resident(quick(), Vec::new());
    bench.friendly = false;
    bench.command(Command::Reload(vec![foreign("mail", 1)]));
    let slot = bench.slots()[0];
    bench.wait(1000);
    assert_eq!(bench.state(slot), State::Ready);
    bench.stop();
    assert_eq!((bench.told(slot), bench.signals(slot)), (Vec::new(), vec![Signal::Term]));
    bench.wait(30_000);
    assert_eq!(bench.signals(slot), [Signal::Kill]);
}

#[test]
fn concept_24_pause_is_told_and_who_does_not_answer_within_a_second_is_frozen() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 2)]);
    let [first, second] = bench.slots().try_into().unwrap();
    bench.command(Command::Pause(Target::Slot(first)));
    assert_eq!(bench.told(first), [(Order::Pause, 1)]);
    bench.wait(999);
    assert!(!bench.has(&Effect::Freeze { slot: first }));
    bench.wait(1);
    assert!(bench.has(&Effect::Freeze { slot: first }));
    assert_eq!((bench.state(first), bench.state(second)), (State::Paused, State::Ready));
    bench.command(Command::Resume(Target::Slot(first)));
    assert!(bench.has(&Effect::Thaw { slot: first }));
    assert_eq!(bench.told(first), [(Order::Resume, 2)]);
    bench.ack(first);
    assert_eq!(bench.state(first), State::Ready);
    bench.pause(second);
    bench.wait(5000);
    assert!(!bench.has(&Effect::Freeze { slot: second }), "who answers is not frozen");
}

#[test]
fn concept_24_an_answer_to_an_older_order_is_no_answer() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let slot = bench.slots()[0];
    bench.command(Command::Pause(Target::All));
    bench.command(Command::Resume(Target::All));
    bench.command(Command::Pause(Target::All));
    bench.send(Event::Acked { slot, sequence: 1 });
    assert_eq!(bench.state(slot), State::Pausing);
    bench.send(Event::Acked { slot, sequence: 3 });
    assert_eq!(bench.state(slot), State::Paused);
}

#[test]
fn concept_24_terminate_works_while_paused() {
    let freezing = Group { pause: PauseBy::Freezing, ..group("mail", 1) };
    let mut bench = Bench::resident(quick(), vec![freezing]);
    let slot = bench.slots()[0];
    bench.command(Command::Pause(Target::All));
    assert!(bench.has(&Effect::Freeze { slot }), "unconditional where the group says so");
    bench.command(Command::Drain(Target::All));
    let position = |wanted: &dyn Fn(&Effect) -> bool| bench.last.iter().position(wanted).unwrap();
    let thawed = position(&|effect| *effect == Effect::Thaw { slot });
    let told = position(&|effect| matches!(effect, Effect::Tell { order: Order::Terminate { .. }, .. }));
    assert!(thawed < told);
}

#[test]
fn news_of_an_old_process_is_passed_over() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let old = bench.slots()[0];
    bench.wait(20_000);
    bench.exit(old, Exit::Code(0));
    let new = bench.slots()[0];
    assert_eq!((old.number, new.number), (0, 0));
    bench.exit(old, Exit::Code(0));
    bench.send(Event::JobStarted { slot: old });
    assert_eq!(bench.slots(), [new]);
    assert!(!bench.manager.performers()[0].busy);
}

#[test]
fn concept_44_a_crash_loop_makes_10_starts_a_minute_at_most_and_touches_no_other_group() {
    for life_ms in [0, 300, 5000, 9999, 10_001, 11_000] {
        let mut bench = Bench::resident(quick(), vec![group("good", 3), group("bad", 1)]);
        bench.command(Command::Scale { group: FIRST, count: None });
        let good = bench.slots_of(FIRST);
        let end = bench.now.plus(600_000);
        while bench.now < end {
            bench.wait(life_ms.max(50));
            for slot in bench.slots_of(GroupId(1)) {
                bench.exit(slot, Exit::Code(1));
            }
        }
        let starts: Vec<Millis> =
            bench.starts.iter().filter(|(_, slot)| slot.group == GroupId(1)).map(|(at, _)| *at).collect();
        assert!(starts.len() > 5, "it is tried: {} times", starts.len());
        for (index, first) in starts.iter().enumerate() {
            let minute = starts[index..].iter().take_while(|at| at.since(*first) < 60_000).count();
            assert!(minute <= 10, "{minute} starts in a minute, with lives of {life_ms} ms");
        }
        assert_eq!(bench.slots_of(FIRST), good);
    }
}

#[test]
fn concept_44_the_pause_after_a_crash_doubles_up_to_a_minute_and_ends_with_a_healthy_life() {
    let forgiving = {
        let mut group = group("mail", 1);
        group.retry.most = 100;
        group
    };
    let mut bench = Bench::resident(quick(), vec![forgiving]);
    for pause_ms in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
        let slot = bench.slots()[0];
        bench.exit(slot, Exit::Signal(11));
        assert!(matches!(bench.manager.groups()[0].blocked, Some(Blocked::BackOff(_))));
        bench.wait(pause_ms - 1);
        assert_eq!(bench.slots(), []);
        bench.wait(1);
        assert_eq!(bench.slots().len(), 1);
    }
    bench.wait(10_000);
    let slot = bench.slots()[0];
    bench.exit(slot, Exit::Signal(11));
    assert_eq!(bench.slots().len(), 1, "one that has lived is replaced at once");
}

#[test]
fn a_group_that_only_crashes_is_given_up_until_somebody_restarts_it() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let mut crashes = 0;
    while bench.noted(What::GivenUp).is_empty() {
        bench.wait(100);
        if let Some(slot) = bench.slots().first().copied() {
            crashes += 1;
            bench.exit(slot, Exit::Code(3));
        }
    }
    assert_eq!(crashes, 11);
    let group = &bench.manager.groups()[0];
    let why = group.given_up.clone().unwrap();
    assert!(why.contains("11 times") && why.contains("exit code 3"), "{why}");
    bench.wait(3_600_000);
    assert_eq!(bench.slots(), []);
    bench.command(Command::Restart(Target::Group(FIRST)));
    assert_eq!(bench.slots().len(), 1);
}

#[test]
fn concept_44_new_settings_change_one_count_and_touch_nothing_else() {
    let groups = |mails| vec![group("mail", mails), group("resize", 3), group("gone", 1)];
    let mut bench = Bench::resident(quick(), groups(2));
    let (mails, resizes) = (bench.slots_of(FIRST), bench.slots_of(GroupId(1)));
    bench.command(Command::Reload(groups(2)));
    assert_eq!(bench.last, [], "the same settings are no news");
    let mut changed = groups(4);
    changed.truncate(2);
    changed.push(group("new", 1));
    bench.command(Command::Reload(changed));
    assert_eq!(bench.slots_of(FIRST).len(), 4);
    assert_eq!(bench.slots_of(FIRST)[..2], mails);
    assert_eq!(bench.slots_of(GroupId(1)), resizes);
    let gone = bench.slots_of(GroupId(2))[0];
    assert_eq!(bench.state(gone), State::Ending(Stage::Asked));
    assert_eq!(bench.slots_of(GroupId(3)).len(), 1);
    bench.exit(gone, Exit::Code(0));
    assert_eq!(bench.manager.group_named("gone"), None);
    let ends = bench.slots().iter().filter(|slot| bench.state(**slot) != State::Ready).count();
    assert_eq!(ends, 0);
    bench.command(Command::Scale { group: FIRST, count: Some(1) });
    let ending: Vec<u32> = bench
        .slots_of(FIRST)
        .into_iter()
        .filter(|slot| bench.state(*slot) != State::Ready)
        .map(|slot| slot.number)
        .collect();
    assert_eq!(ending, [1, 2, 3], "the oldest stays");
}

#[test]
fn concept_44_performers_live_for_a_while_and_some_longer_and_end_between_jobs() {
    let mortal = Group { lifetime_ms: Some(3_600_000), splay_ms: 600_000, ..group("mail", 4) };
    let ends = |seed| {
        let mut bench = Bench::resident(Settings { seed, ..quick() }, vec![mortal.clone()]);
        let slots = bench.slots();
        bench.send(Event::JobStarted { slot: slots[0] });
        bench.wait(3_599_999);
        assert!(slots.iter().all(|slot| bench.state(*slot) == State::Ready));
        let mut ends = Vec::new();
        for _ in 0..601 {
            bench.wait(1000);
            let ending = slots.iter().filter(|slot| bench.state(**slot) != State::Ready).count();
            ends.push(ending);
        }
        assert_eq!(*ends.last().unwrap(), 3, "the one with a job goes on");
        bench.send(Event::JobEnded { slot: slots[0], ok: true });
        assert_eq!(bench.state(slots[0]), State::Ending(Stage::Asked));
        ends
    };
    assert_eq!(ends(1), ends(1));
    assert_ne!(ends(1), ends(2), "other seeds, other moments");
    assert!(ends(1).contains(&1), "not all at once");
}

#[test]
fn concept_44_a_performer_ends_after_its_most_jobs_and_is_replaced() {
    let mut bench = Bench::resident(quick(), vec![Group { most_jobs: Some(2), ..group("mail", 1) }]);
    let slot = bench.slots()[0];
    for jobs in 1..=2 {
        bench.send(Event::JobStarted { slot });
        assert_eq!(bench.state(slot), State::Ready, "{jobs}");
        bench.send(Event::JobEnded { slot, ok: jobs == 1 });
    }
    assert_eq!(bench.state(slot), State::Ending(Stage::Asked));
    bench.exit(slot, Exit::Code(0));
    assert_eq!(bench.slots().len(), 1);
}

#[test]
fn rolling_restart_has_a_new_one_ready_before_the_next_old_one_ends() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 3)]);
    let old = bench.slots();
    bench.friendly = false;
    bench.send(Event::FileChanged { group: FIRST });
    let mut replaced = 0;
    while replaced < 3 {
        let slots = bench.slots();
        assert_eq!(slots.len(), 4, "one more, for now");
        let ready = slots.iter().filter(|slot| bench.state(**slot) == State::Ready).count();
        assert_eq!(ready, 3, "nobody ends before the new one is ready");
        let new = *bench.slots().iter().find(|slot| bench.state(**slot) == State::Starting).unwrap();
        bench.send(Event::Hello { slot: new });
        let ending: Vec<_> =
            bench.slots().into_iter().filter(|slot| matches!(bench.state(*slot), State::Ending(_))).collect();
        let [end] = ending.try_into().expect("one ends");
        assert!(old.contains(&end));
        replaced += 1;
        bench.exit(end, Exit::Code(0));
    }
    assert_eq!(bench.slots().len(), 3);
    assert!(bench.slots().iter().all(|slot| !old.contains(slot)));
}

#[test]
fn rolling_restart_onto_a_program_that_crashes_leaves_the_old_ones_alone() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 2)]);
    let old = bench.slots();
    bench.send(Event::FileChanged { group: FIRST });
    bench.friendly = false;
    for _ in 0..50 {
        for slot in bench.slots() {
            if !old.contains(&slot) && bench.state(slot) == State::Starting {
                bench.exit(slot, Exit::Code(1));
            }
        }
        bench.wait(10_000);
    }
    let left = old.iter().filter(|slot| bench.state(**slot) == State::Ready).count();
    assert!(left >= 1, "the first new one was ready; every other one crashed");
}

#[test]
fn without_room_for_one_more_an_old_one_makes_room_after_a_while() {
    let settings = Settings { most: 3, ..quick() };
    let mut bench = Bench::resident(settings, vec![group("mail", 3)]);
    let old = bench.slots();
    bench.command(Command::Restart(Target::All));
    bench.wait(59_999);
    assert!(old.iter().all(|slot| bench.state(*slot) == State::Ready));
    bench.wait(1);
    assert_eq!(old.iter().filter(|slot| bench.state(**slot) == State::Ready).count(), 2);
}

#[test]
fn the_queue_decides_between_fewest_and_most_without_haste() {
    let mut bench = Bench::resident(quick(), vec![Group { least: 0, most: 5, ..group("mail", 0) }]);
    let queue = |queued, running| Event::Queue { group: FIRST, queued, running, oldest_age_ms: 0 };
    bench.send(queue(0, 0));
    assert_eq!(bench.slots(), [], "none without a job");
    let mut most = Vec::new();
    for _ in 0..12 {
        bench.send(queue(20, bench.slots().len() as u32));
        most.push(bench.slots().len());
        bench.wait(1000);
    }
    assert_eq!(most, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]);
    for seconds in 0..30 {
        bench.send(queue(0, 1));
        assert_eq!(bench.manager.groups()[0].wanted, 5, "after {seconds} s");
        bench.wait(1000);
    }
    for _ in 0..60 {
        bench.send(queue(0, 1));
        for slot in bench.slots() {
            if matches!(bench.state(slot), State::Ending(_)) {
                bench.exit(slot, Exit::Code(0));
            }
        }
        bench.wait(1000);
    }
    assert_eq!(bench.slots().len(), 1, "as many as there are jobs under way");
}

#[test]
fn a_drained_group_starts_again_when_it_is_resumed() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 2), group("other", 1)]);
    bench.send(Event::JobStarted { slot: bench.slots()[0] });
    bench.command(Command::Drain(Target::Group(FIRST)));
    let [busy, idle] = bench.slots_of(FIRST).try_into().unwrap();
    assert_eq!((bench.state(busy), bench.state(idle)), (State::Ready, State::Ending(Stage::Asked)));
    bench.exit(idle, Exit::Code(0));
    bench.send(Event::JobEnded { slot: busy, ok: true });
    bench.exit(busy, Exit::Code(0));
    bench.wait(60_000);
    assert_eq!(bench.slots_of(FIRST), []);
    let why = bench.manager.groups()[0].blocked.unwrap().to_string();
    assert!(why.contains("drained"), "{why}");
    bench.command(Command::Resume(Target::Group(FIRST)));
    assert_eq!((bench.slots_of(FIRST).len(), bench.slots_of(GroupId(1)).len()), (2, 1));
}

#[test]
fn a_stop_between_a_start_and_its_process_ends_the_process_when_it_is_there() {
    let mut bench = Bench::resident(quick(), Vec::new());
    bench.friendly = false;
    let mut effects = Vec::new();
    let mut manager = bench.manager.clone();
    manager.handle(bench.now, Event::Command(Command::Reload(vec![group("mail", 1)])), &mut effects);
    let [Effect::Spawn { slot, .. }, ..] = effects[..] else { panic!("{effects:?}") };
    effects.clear();
    manager.handle(
        bench.now,
        Event::Command(Command::Stop(conveyor_worker::manager::Stop::Now)),
        &mut effects,
    );
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Signal { .. } | Effect::Ended)));
    effects.clear();
    manager.handle(bench.now, Event::Spawned { slot, pid: 7 }, &mut effects);
    assert!(effects.contains(&Effect::Signal { slot, signal: Signal::Kill }));
}

#[test]
fn performers_that_crash_together_are_one_crash() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 5)]);
    for slot in bench.slots() {
        bench.exit(slot, Exit::Signal(11));
    }
    assert_eq!(bench.manager.groups()[0].crashes, 1);
    bench.wait(1000);
    assert_eq!(bench.slots().len(), 1, "one is tried");
    bench.wait(9999);
    assert_eq!(bench.slots().len(), 1);
    bench.wait(1);
    assert_eq!(bench.slots().len(), 5, "and the others follow when it has lived");
}

#[test]
fn many_that_crash_after_a_long_life_are_replaced_ten_a_minute() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 25)]);
    bench.wait(3_600_000);
    for slot in bench.slots() {
        bench.exit(slot, Exit::Signal(9));
    }
    for wanted in [10, 20, 25] {
        assert_eq!(bench.slots().len(), wanted);
        bench.wait(60_000);
    }
}

#[test]
fn who_pauses_with_a_job_goes_on_to_end_it_when_it_is_to_leave() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let slot = bench.slots()[0];
    bench.send(Event::JobStarted { slot });
    bench.pause(slot);
    bench.command(Command::Drain(Target::All));
    assert_eq!(bench.told(slot).first().map(|told| told.0), Some(Order::Resume));
    bench.ack(slot);
    bench.command(Command::Pause(Target::All));
    assert_eq!(bench.state(slot), State::Ready, "a pause would keep it here for ever");
    bench.send(Event::JobEnded { slot, ok: true });
    assert_eq!(bench.state(slot), State::Ending(Stage::Asked));
}

#[test]
fn a_group_that_comes_back_while_its_performers_end_is_there_again() {
    let mut bench = Bench::resident(quick(), vec![group("mail", 1)]);
    let old = bench.slots()[0];
    bench.command(Command::Reload(Vec::new()));
    assert_eq!(bench.state(old), State::Ending(Stage::Asked));
    bench.command(Command::Reload(vec![group("mail", 1)]));
    bench.exit(old, Exit::Code(0));
    assert_eq!(bench.slots().len(), 1);
    assert_eq!(bench.manager.group_named("mail"), Some(FIRST));
}

#[test]
fn who_does_not_answer_a_ping_is_noted_once_and_left_alone() {
    let mut bench = Bench::resident(quick(), vec![Group { ping_ms: Some(10_000), ..group("mail", 1) }]);
    let slot = bench.slots()[0];
    bench.wait(10_000);
    assert_eq!(bench.told(slot), [(Order::Ping, 1)]);
    bench.ack(slot);
    bench.wait(10_000);
    assert_eq!((bench.told(slot), bench.noted(What::Silent).len()), (vec![(Order::Ping, 2)], 0));
    bench.wait(60_000);
    assert_eq!((bench.told(slot).len(), bench.noted(What::Silent).len()), (0, 1));
    assert!(bench.manager.performers()[0].silent);
    bench.send(Event::Acked { slot, sequence: 2 });
    assert!(!bench.manager.performers()[0].silent);
    assert_eq!(bench.state(slot), State::Ready);
}

//! The policy `adaptive` on made-up machines.

use crate::machine::{Machine, Performer};
use conveyor_common::Millis;
use conveyor_worker::manager::load::{
    Adaptive, AdaptiveSettings, Exceeded, Pressure, Process, Snapshot, Why,
};
use proptest::prelude::*;

const MIB: f64 = 1024.0;

/// Half a core and next to no memory, for ever.
fn burner() -> Performer {
    Performer {
        pid: 0,
        most_kib: 5.0 * MIB,
        grows_kib: 5.0 * MIB,
        resident_kib: MIB,
        wants_cpu: 50.0,
        paused: false,
        flips: 0,
        left: f64::MAX,
    }
}

/// No load to speak of, and `mib` MiB.
fn eater(mib: f64) -> Performer {
    Performer { most_kib: mib * MIB, grows_kib: mib * MIB, wants_cpu: 2.0, ..burner() }
}

fn two_cores() -> AdaptiveSettings {
    AdaptiveSettings { cores: 2.0, ..AdaptiveSettings::default() }
}

#[test]
fn concept_20_performers_are_started_at_their_pace_and_only_with_permission() {
    let mut machine = Machine::new(two_cores(), 64_000.0 * MIB, eater(10.0), 100);
    for second in 1..=20 {
        let plan = machine.step();
        assert!(plan.start <= 1, "{plan:?} in second {second}");
    }
    assert_eq!(machine.performers.len(), 20, "one a second");
    machine.others_kib = machine.total_kib - 700.0 * MIB;
    let before = machine.performers.len();
    for _ in 0..20 {
        machine.step();
    }
    assert!(machine.performers.len() <= before, "no memory, no permission");
}

#[test]
fn concept_30_load_is_held_by_pausing_without_flapping() {
    // Started by somebody who did not ask: four half cores, of which 75 % of two may be used.
    let settings = AdaptiveSettings { cpu_percent: 75.0, ..two_cores() };
    let mut machine = Machine::new(settings, 64_000.0 * MIB, burner(), 0);
    (0..4).for_each(|_| machine.start());
    let mut loads = Vec::new();
    for second in 0..60 {
        machine.step();
        loads.push(machine.load());
        assert!(machine.running() >= 2, "in second {second}");
        if second % 20 == 19 {
            for one in &mut machine.performers {
                assert!(one.flips <= 2, "{} flips in 20 s", one.flips);
                one.flips = 0;
            }
        }
    }
    for window in loads[5..].windows(5) {
        let mean = window.iter().sum::<f64>() / 5.0;
        assert!(mean <= 0.85 * 200.0, "{mean} % of two cores");
    }
    assert_eq!(machine.running(), 3, "and as much is used as may be");
}

#[test]
fn what_is_paused_goes_on_when_there_is_room() {
    let settings = AdaptiveSettings { cpu_percent: 75.0, ..two_cores() };
    let mut machine = Machine::new(settings, 64_000.0 * MIB, burner(), 0);
    (0..4).for_each(|_| machine.start());
    for _ in 0..10 {
        machine.step();
    }
    assert_eq!(machine.running(), 3);
    machine.performers[0].left = 0.0;
    machine.performers[1].left = 0.0;
    for _ in 0..7 {
        machine.step();
    }
    assert_eq!((machine.performers.len(), machine.running()), (2, 2));
}

#[test]
fn concept_33_memory_over_the_budget_ends_just_enough() {
    let settings = AdaptiveSettings { most_kib: Some(400.0 * MIB), ..two_cores() };
    let mut machine = Machine::new(settings, 64_000.0 * MIB, eater(150.0), 0);
    (0..3).for_each(|_| machine.start());
    for _ in 0..30 {
        machine.step();
    }
    assert_eq!(machine.shed, [102], "the newest of three equal ones, and no other");
    // It is wanted again, and has no place until another one has ended.
    assert_eq!((machine.wanted, machine.performers.len()), (1, 2));
}

#[test]
fn who_takes_more_than_a_fair_share_ends_first() {
    let settings = AdaptiveSettings { most_kib: Some(1000.0 * MIB), ..two_cores() };
    let mut machine = Machine::new(settings, 64_000.0 * MIB, eater(150.0), 0);
    (0..4).for_each(|_| machine.start());
    machine.performers[1].most_kib = 700.0 * MIB;
    machine.performers[1].grows_kib = 700.0 * MIB;
    for _ in 0..10 {
        machine.step();
    }
    assert_eq!(machine.shed, [101]);
}

#[test]
fn concept_34_critical_memory_pauses_then_ends_until_there_is_enough() {
    let mut machine = Machine::new(two_cores(), 4000.0 * MIB, eater(300.0), 0);
    (0..4).for_each(|_| machine.start());
    machine.step();
    machine.others_kib = machine.free_kib() - 100.0 * MIB;
    let plan = machine.step();
    assert_eq!(plan.pause, [101, 102, 103], "all but the oldest stop first");
    assert_eq!(plan.exceeded, Some(Exceeded::Memory));
    let plan = machine.step();
    assert_eq!(plan.shed, [103], "one is enough");
    for _ in 0..10 {
        let plan = machine.step();
        assert!(plan.shed.is_empty() && !plan.critical_finish, "{plan:?}");
    }
    // Nobody left, and still no memory: whoever waits is told.
    machine.performers.clear();
    machine.others_kib = machine.total_kib - 100.0 * MIB;
    machine.wanted = 3;
    assert!(machine.step().critical_finish);
}

#[test]
fn stalls_for_memory_stop_starting_and_then_end_the_newest() {
    let mut policy = Adaptive::new(two_cores());
    let performers: Vec<Process> =
        (0..3).map(|n| Process { pid: 100 + n, kind: 0, resident_kib: 1000.0, cpu_percent: 1.0 }).collect();
    let mut snapshot = Snapshot { free_kib: 9e6, idle_percent: 90.0, performers, ..Snapshot::default() };
    let mut decide = |second: u64, memory_full: f64, snapshot: &mut Snapshot| {
        snapshot.pressure = Some(Pressure { memory_full, cpu_some: 0.0 });
        let plan = policy.decide(Millis(second * 1000), snapshot, 5, 0);
        snapshot.performers.retain(|process| !plan.shed.contains(&process.pid));
        plan
    };
    assert_eq!(decide(10, 9.0, &mut snapshot).why, Some(Why::Growing), "a new manager knows of nobody");
    let held = decide(11, 11.0, &mut snapshot);
    assert_eq!((held.start, held.why), (0, Some(Why::MemoryPressure)));
    assert_eq!(decide(12, 30.0, &mut snapshot).shed, [102]);
    assert!(decide(13, 30.0, &mut snapshot).shed.is_empty(), "that one has yet to show");
    assert_eq!(decide(15, 30.0, &mut snapshot).shed, [101]);
}

#[test]
fn starved_processors_end_one_after_the_time_it_takes() {
    let settings = AdaptiveSettings { cpu_percent: 75.0, may_pause: false, ..two_cores() };
    let mut machine = Machine::new(settings, 64_000.0 * MIB, burner(), 0);
    (0..5).for_each(|_| machine.start());
    for _ in 0..200 {
        machine.step();
        assert!(machine.shed.is_empty());
    }
    machine.step();
    assert_eq!(machine.shed, [104]);
}

#[test]
fn a_batch_is_done_with_as_many_as_fit() {
    let settings = AdaptiveSettings { per_second: 5.0, burst: 5.0, ..two_cores() };
    let mut machine = Machine::new(settings, 8000.0 * MIB, Performer { left: 20.0, ..eater(200.0) }, 100);
    let mut most = 0;
    let mut seconds = 0;
    while machine.ended < 100 && seconds < 1000 {
        machine.step();
        most = most.max(machine.performers.len());
        seconds += 1;
    }
    assert_eq!((machine.ended, machine.shed.len()), (100, 0), "all are done and none was ended");
    // Half of 8000 MiB, a tenth and a gap of 98 MiB less, one 200 MiB head-room: 16 of them.
    assert!((15..=17).contains(&most), "{most} at once");
    assert!(seconds < 300, "{seconds} s");
}

#[test]
fn memory_that_others_give_back_is_used() {
    let mut machine = Machine::new(two_cores(), 8000.0 * MIB, eater(200.0), 100);
    machine.others_kib = 6500.0 * MIB;
    for _ in 0..60 {
        machine.step();
    }
    let few = machine.performers.len();
    machine.others_kib = 0.0;
    for _ in 0..60 {
        machine.step();
    }
    assert!(few < 4 && machine.performers.len() >= 14, "{few}, then {}", machine.performers.len());
}

proptest! {
    /// What others do is anything: plans make sense ([`Machine::step`] asserts it), and when the world is calm and large again,
    /// everything wanted is done.
    #[test]
    fn plans_make_sense_whatever_happens_and_work_goes_on(
        turns in prop::collection::vec((0.0..1.2_f64, 1.0..200.0_f64, 0..4_u32), 1..120),
        cpu_percent in 10.0..100.0_f64, may_pause: bool
    ) {
        let settings = AdaptiveSettings { cpu_percent, may_pause, per_second: 3.0, burst: 3.0, ..two_cores() };
        let mut machine = Machine::new(settings, 8000.0 * MIB, Performer { left: 15.0, ..eater(200.0) }, 0);
        let mut asked = 0;
        for (others, wants_cpu, more) in turns {
            machine.others_kib = machine.total_kib * others;
            machine.kind.wants_cpu = wants_cpu;
            machine.wanted += more;
            asked += more;
            machine.step();
        }
        machine.others_kib = 0.0;
        machine.kind.wants_cpu = 5.0;
        for one in &mut machine.performers {
            one.wants_cpu = 5.0;
        }
        for _ in 0..2000 {
            machine.step();
        }
        prop_assert_eq!((machine.wanted, machine.ended, machine.performers.len()), (0, asked, 0));
    }
}

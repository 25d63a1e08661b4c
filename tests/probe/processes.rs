//! Which processes count for whom, and how much, from made-up files.

use crate::machine::{Machine, Made};
use conveyor_common::Millis;
use conveyor_worker::manager::load::{Process, Snapshot};
use conveyor_worker::probe::{MemoryFrom, Probe, Watched};

/// CPU time in ticks that is a load of 1 % within a second.
fn ticks(percent: u64) -> u64 {
    percent * rustix::param::clock_ticks_per_second() / 100
}

fn page_kib() -> f64 {
    rustix::param::page_size() as f64 / 1024.0
}

const fn watch(pid: u32) -> Watched {
    Watched { pid, kind: 0, start_time: None }
}

fn made(pid: u32, parent: u32) -> Made {
    Made { pid, parent, pss_kib: Some(1000), rss_pages: 1000, start_time: 50, ..Made::default() }
}

fn loads(snapshot: &Snapshot) -> Vec<(u32, f64)> {
    let load = |process: &Process| (process.pid, process.cpu_percent.round());
    snapshot.performers.iter().chain(&snapshot.own).map(load).collect()
}

fn memory(snapshot: &Snapshot) -> Vec<(u32, f64)> {
    let memory = |process: &Process| (process.pid, process.resident_kib);
    snapshot.performers.iter().chain(&snapshot.own).map(memory).collect()
}

#[test]
fn concept_26_sensors_a_process_counts_once_and_for_its_nearest_watched_ancestor() {
    let machine = Machine::new();
    // The manager 10 has performers 20 and 30, each behind a shell, and a helper 40.
    for (pid, parent) in [(10, 1), (19, 10), (20, 19), (21, 20), (30, 10), (31, 30), (40, 10), (90, 1)] {
        machine.process(made(pid, parent));
    }
    let mut probe = machine.probe();
    let performers = [Watched { kind: 3, ..watch(19) }, watch(30), watch(30)];
    let snapshot = probe.measure(Millis(0), &performers, &[10]).unwrap();
    assert_eq!(memory(&snapshot), [(19, 3000.0), (30, 2000.0), (10, 2000.0)]);
    assert_eq!(snapshot.performers[0].kind, 3);
    assert_eq!(probe.report().performers[0].processes, 3);
    // A performer within another one: each has its own part.
    let snapshot = probe.measure(Millis(1000), &[watch(19), watch(20)], &[]).unwrap();
    assert_eq!(memory(&snapshot), [(19, 1000.0), (20, 2000.0)]);
}

#[test]
fn concept_26_sensors_the_load_is_what_the_tree_used_since_the_measurement_before() {
    let machine = Machine::new();
    let shell = made(10, 1);
    let child = Made { used: 5000, ..made(11, 10) };
    machine.process(shell);
    machine.process(child);
    let mut probe = machine.probe();
    let mut measure = |time| loads(&probe.measure(Millis(time), &[watch(10)], &[]).unwrap());
    assert_eq!(measure(0), [(10, 0.0)], "the first measurement knows of no load");
    machine.process(Made { used: 5000 + ticks(60), ..child });
    machine.process(Made { used: ticks(10), ..shell });
    assert_eq!(measure(1000), [(10, 70.0)]);
    assert_eq!(measure(1500), [(10, 0.0)]);
    // Half a second more: twice the load. A child that came since then counts from its start.
    machine.process(Made { used: ticks(30), ..made(12, 11) });
    machine.process(Made { used: 5000 + ticks(70), ..child });
    assert_eq!(measure(2000), [(10, 80.0)]);
}

#[test]
fn concept_26_sensors_time_of_children_that_ended_is_neither_lost_nor_counted_twice() {
    let machine = Machine::new();
    let shell = made(10, 1);
    machine.process(shell);
    machine.process(Made { used: ticks(1000), ..made(11, 10) });
    machine.process(Made { used: ticks(500), waited: ticks(7), ..made(12, 11) });
    let mut probe = machine.probe();
    let mut measure = |time| loads(&probe.measure(Millis(time), &[watch(10)], &[]).unwrap());
    measure(0);
    // 12 used 20 more, then 11 used 30 more and waited for it, then the shell waited for 11. One that nobody saw used 5.
    machine.end(11);
    machine.end(12);
    machine.process(Made { waited: ticks(1000 + 500 + 7 + 20 + 30 + 5), ..shell });
    assert_eq!(measure(1000), [(10, 55.0)]);
    assert_eq!(measure(2000), [(10, 0.0)]);
    // One that nobody waits for takes its time with it, and nothing from the others.
    machine.process(Made { used: ticks(10), ..made(13, 10) });
    machine.process(Made { waited: ticks(1562), ..shell });
    assert_eq!(measure(3000), [(10, 10.0)]);
    machine.end(13);
    machine.process(Made { used: ticks(8), waited: ticks(1562), ..shell });
    assert_eq!(measure(4000), [(10, 8.0)]);
}

#[test]
fn concept_26_sensors_the_last_of_a_performer_is_the_managers() {
    let machine = Machine::new();
    let manager = made(10, 1);
    machine.process(manager);
    machine.process(Made { used: ticks(300), ..made(20, 10) });
    let mut probe = machine.probe();
    probe.measure(Millis(0), &[watch(20)], &[10]).unwrap();
    machine.end(20);
    machine.process(Made { waited: ticks(340), used: ticks(1), ..manager });
    let snapshot = probe.measure(Millis(1000), &[watch(20)], &[10]).unwrap();
    assert_eq!(loads(&snapshot), [(10, 41.0)]);
    assert_eq!(probe.report().gone, [20]);
}

#[test]
fn concept_26_sensors_another_process_with_the_same_id_is_not_the_one_that_was_watched() {
    let machine = Machine::new();
    machine.process(made(10, 1));
    machine.process(Made { used: ticks(500), start_time: 60, ..made(20, 10) });
    let mut probe = machine.probe();
    let start_time = probe.start_time(20);
    assert_eq!(start_time, Some(60));
    let performer = [Watched { pid: 20, kind: 0, start_time }];
    assert_eq!(memory(&probe.measure(Millis(0), &performer, &[10]).unwrap()), [(20, 1000.0), (10, 1000.0)]);
    // It ends, and another one that the manager starts gets its id: it is the manager's now.
    machine.process(Made { used: ticks(7), start_time: 99, pss_kib: Some(5), ..made(20, 10) });
    let snapshot = probe.measure(Millis(1000), &performer, &[10]).unwrap();
    assert!(snapshot.performers.is_empty(), "{snapshot:?}");
    assert_eq!(probe.report().gone, [20]);
    assert_eq!((memory(&snapshot), loads(&snapshot)), (vec![(10, 1005.0)], vec![(10, 7.0)]));
}

#[test]
fn concept_26_sensors_a_process_that_ended_is_gone_before_anybody_waited_for_it() {
    let machine = Machine::new();
    machine.write("/proc/20/stat", "20 (x) Z 10 1 1 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 50 0 0 0\n");
    machine.write("/proc/21/stat", "21 (x) Z 10 1 1 0 -1 0 0 0 0 0 5 0 0 0 20 0 3 0 50 0 0 0\n");
    let mut probe = machine.probe();
    let snapshot = probe.measure(Millis(0), &[watch(20), watch(21), watch(22)], &[]).unwrap();
    assert_eq!(probe.report().gone, [20, 22]);
    assert_eq!(snapshot.performers.len(), 1, "threads of 21 go on without the first one");
    assert_eq!(probe.start_time(20), None);
}

#[test]
fn concept_26_sensors_memory_that_may_not_be_looked_into_is_the_resident_one() {
    let machine = Machine::new();
    machine.process(made(10, 1));
    machine.process(Made { pss_kib: None, rss_pages: 77, ..made(11, 10) });
    let mut probe = machine.probe();
    let snapshot = probe.measure(Millis(0), &[watch(10)], &[]).unwrap();
    assert_eq!(memory(&snapshot), [(10, 1000.0 + 77.0 * page_kib())]);
    assert_eq!(probe.report().performers[0].memory_from, MemoryFrom::Rss);
}

#[test]
fn concept_26_sensors_growth_shows_at_once_even_where_the_exact_reading_is_old() {
    let machine = Machine::new();
    machine.process(made(10, 1));
    let mut probe = machine.probe();
    probe.measure(Millis(0), &[watch(10)], &[]).unwrap();
    // Same moment: it is not read again, however cheap that was.
    machine.process(Made { rss_pages: 1500, pss_kib: Some(1100), ..made(10, 1) });
    let snapshot = probe.measure(Millis(0), &[watch(10)], &[]).unwrap();
    let from = probe.report().performers[0].memory_from;
    let expected = [(1000.0 + 500.0 * page_kib(), MemoryFrom::Estimate), (1100.0, MemoryFrom::Pss)];
    assert!(expected.contains(&(snapshot.performers[0].resident_kib, from)), "{snapshot:?}");
    // After the longest time between two readings it is exact again.
    let snapshot = probe.measure(Millis(120_000), &[watch(10)], &[]).unwrap();
    assert_eq!(memory(&snapshot), [(10, 1100.0)]);
}

#[test]
fn concept_26_sensors_whoever_is_adopted_is_found_sooner_or_later() {
    let machine = Machine::new();
    machine.process(made(10, 1));
    machine.process(Made { used: ticks(900), ..made(66, 1) });
    let mut probe = machine.probe();
    let mut measure = |time| probe.measure(Millis(time), &[watch(10)], &[]).unwrap();
    assert_eq!(memory(&measure(0)), [(10, 1000.0)]);
    machine.process(Made { used: ticks(910), ..made(66, 10) });
    let mut seen = (1..=16).map(|second| (second * 1000, measure(second * 1000)));
    let found = seen.find(|(_, snapshot)| memory(snapshot) == [(10, 2000.0)]);
    let (found_at, snapshot) = found.expect("it is never found");
    assert_eq!(loads(&snapshot), [(10, 0.0)], "what it used before is not known");
    machine.process(Made { used: ticks(935), ..made(66, 10) });
    let ms = 1000 * 17 - found_at;
    assert_eq!(loads(&measure(17_000)), [(10, (25_000.0 / ms as f64).round())]);
}

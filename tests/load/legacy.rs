//! The policy `legacy` against the formulas of the original, stepped through: `lm-golden-vectors.txt`.

use conveyor_worker::manager::load::{
    Decision, Exceeded, Legacy, LegacySettings as Settings, Process, Snapshot, Why,
};

const VECTORS: &str = include_str!("lm-golden-vectors.txt");

/// The settings of each scene; those that the file does not name are in the description of the original.
fn settings(scene: &str) -> Settings {
    let two_cores = Settings { cores: 2, cpu_percent: 90.0, ..Settings::default() };
    match scene {
        "V1" | "V4" | "V6" | "V8" => two_cores,
        "V2" | "V3" | "V5" => Settings { memory_percent: 20.0, ..two_cores },
        "V7" => Settings { busy_rounds: 3, ..two_cores },
        scene => panic!("no settings for {scene}"),
    }
}

/// One line: what was measured, and what has to follow.
struct Step {
    snapshot: Snapshot,
    decision: String,
    reserved: Option<f64>,
}

fn step(line: &str) -> Step {
    let (measured, expected) = line.split_once(" -> ").unwrap();
    let (decision, rest) = expected.split_once(" rss ").unwrap();
    let reserved = rest.rsplit(' ').next().unwrap();
    let numbers: Vec<f64> = measured
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|number| number.parse().ok())
        .collect();
    let performers = numbers[2..]
        .chunks(3)
        .map(|process| Process {
            pid: process[0] as u32,
            kind: 0,
            resident_kib: process[1],
            cpu_percent: process[2],
        })
        .collect();
    let own = Vec::new();
    Step {
        snapshot: Snapshot {
            free_kib: numbers[0],
            idle_percent: numbers[1],
            performers,
            own,
            pressure: None,
        },
        decision: decision.to_owned(),
        reserved: reserved.parse().ok(),
    }
}

/// A decision in the words of the file.
fn words(decision: &Decision) -> String {
    match decision {
        Decision::Allow => "allow".to_owned(),
        Decision::Hold(Why::CriticalMemory) => "hold(critical,bug:no kill)".to_owned(),
        Decision::Hold(_) => "hold".to_owned(),
        Decision::Pause(pids) => format!("('pause', {pids:?})"),
        Decision::Continue(pids) => format!("('continue', {pids:?})"),
        Decision::Terminate { pids, exceeded: Exceeded::Memory } => format!("('terminate', {pids:?})"),
        Decision::Terminate { pids, exceeded: Exceeded::Cpu } => format!("('terminate_cpu', {pids:?})"),
        Decision::Finish => "finish".to_owned(),
        Decision::CriticalFinish => "critical_finish".to_owned(),
    }
}

fn check(scenes: &[&str]) {
    let mut checked: Vec<&str> = Vec::new();
    let mut legacy: Option<Legacy> = None;
    for line in VECTORS.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            let scene = title.split(' ').next().unwrap();
            legacy = scenes.contains(&scene).then(|| Legacy::new(settings(scene)).unwrap());
            checked.extend(scenes.iter().filter(|wanted| **wanted == scene));
        } else if let (Some(measured), Some(legacy)) = (line.trim_start().strip_prefix("in "), &mut legacy) {
            let Step { snapshot, decision, reserved } = step(measured);
            assert_eq!(words(&legacy.decide(&snapshot, false)), decision, "{line}");
            match (legacy.reserved_kib(), reserved) {
                (Some(is), Some(wanted)) => assert!((is - wanted).abs() < 0.5, "reserved {is}: {line}"),
                (is, wanted) => assert_eq!(is, wanted, "{line}"),
            }
        }
    }
    assert_eq!(checked, scenes);
}

#[test]
fn concept_27_memory_budget_is_a_part_of_what_is_free_at_the_start() {
    check(&["V1", "V2", "V5"]);
}

#[test]
fn concept_28_others_keep_a_floor_and_the_reserve_shrinks_in_capped_steps() {
    check(&["V4", "V5"]);
}

#[test]
fn near_the_reserve_nothing_is_started() {
    check(&["V3"]);
}

#[test]
fn concept_31_starved_processors_end_a_performer_after_some_rounds() {
    check(&["V7"]);
}

#[test]
fn without_performers_and_memory_the_client_is_told() {
    check(&["V6"]);
}

#[test]
fn what_was_paused_goes_on_before_anything_is_started() {
    check(&["V8"]);
}

/// A machine on which a performer of `kib` and half of a core runs, free of anything else.
fn one(free_kib: f64, kib: f64) -> Snapshot {
    let performers = vec![Process { pid: 100, kind: 0, resident_kib: kib, cpu_percent: 10.0 }];
    Snapshot { free_kib, idle_percent: 50.0, performers, ..Snapshot::default() }
}

#[test]
fn concept_29_one_kib_decides() {
    // own + 2 x average + gap < reserve - a tenth of it: 3 x own + 100 000 < 900 000.
    let settings = || Settings { cores: 2, ..Settings::default() };
    let decide = |kib| Legacy::new(settings()).unwrap().decide(&one(2_000_000.0, kib), false);
    let boundary = (900_000.0 - 100_000.0) / 3.0;
    assert_eq!(decide(boundary - 1.0), Decision::Allow);
    assert_eq!(decide(boundary + 1.0), Decision::Hold(Why::Memory));
}

#[test]
fn averages_are_those_of_the_last_150_rounds() {
    let mut legacy = Legacy::new(Settings { cores: 2, ..Settings::default() }).unwrap();
    for _ in 0..150 {
        legacy.decide(&one(2_000_000.0, 450_000.0), false);
    }
    let rounds = (1..).find(|_| legacy.decide(&one(2_000_000.0, 1000.0), false) == Decision::Allow);
    // 1000 + 2 x average + 100 000 < 900 000, when n of 150 samples are 1000: an endless memory would need 19.
    assert_eq!(rounds, Some(17));
}

#[test]
fn concept_32_pause_may_be_forbidden() {
    let settings = Settings { cores: 1, cpu_percent: 50.0, may_pause: false, ..Settings::default() };
    let mut legacy = Legacy::new(settings).unwrap();
    let busy = Process { pid: 100, kind: 0, resident_kib: 1000.0, cpu_percent: 80.0 };
    let snapshot = Snapshot { performers: vec![busy], ..one(2_000_000.0, 0.0) };
    for _ in 0..10 {
        assert_eq!(legacy.decide(&snapshot, false), Decision::Hold(Why::MayNotPause));
    }
}

#[test]
fn what_the_original_refuses_is_refused() {
    assert!(Legacy::new(Settings { step_percent: 9.0, ..Settings::default() }).is_err());
    let finished = Legacy::new(Settings::default()).unwrap().decide(&Snapshot::default(), true);
    assert_eq!(finished, Decision::Finish);
}

//! Processes of this machine, beside what others say of them.

use crate::support::{Process, bound, wait_for};
use conveyor_common::Millis;
use conveyor_worker::manager::load::Snapshot;
use conveyor_worker::probe::{Linux, Probe, Watched};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A process that ends with the test, and everything it started with it.
struct Group {
    process: Process,
}

impl Group {
    /// Runs a script; its standard input and output are ours.
    fn sh(script: &str) -> Self {
        let mut command = bound("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { process: Process::spawn(&mut command) }
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn child(&mut self) -> &mut Child {
        &mut self.process.child
    }

    /// The children of its shell, by `pgrep`.
    fn children(&self) -> Vec<u32> {
        let found =
            std::process::Command::new("pgrep").args(["-P", &self.pid().to_string()]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

fn watch(probe: &mut Linux, pid: u32) -> Watched {
    Watched { pid, kind: 0, start_time: Some(probe.start_time(pid).unwrap()) }
}

/// A clock that begins now.
fn clock() -> impl Fn() -> Millis {
    let start = Instant::now();
    move || Millis(u64::try_from(start.elapsed().as_millis()).unwrap())
}

const MIB_300_KIB: f64 = 300.0 * 1024.0;

/// It reads zeros into 300 MiB and writes them to a pipe that is not read: when the first byte is there, all of it is in memory.
const DD_300: &str = "dd if=/dev/zero bs=300M count=1 status=none";

fn resident(script: &str) -> (f64, usize) {
    let mut group = Group::sh(script);
    let mut first = [0];
    group.child().stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let mut probe = Linux::default();
    let watched = watch(&mut probe, group.pid());
    let snapshot = probe.measure(Millis(0), &[watched], &[]).unwrap();
    // Ends `dd` as well: nobody reads any more.
    drop(group.child().stdout.take());
    (snapshot.performers[0].resident_kib, probe.report().performers[0].processes)
}

#[test]
fn concept_26_sensors_300_mib_are_300_mib() {
    let (kib, processes) = resident(&format!("exec {DD_300}"));
    assert!((kib - MIB_300_KIB).abs() < MIB_300_KIB * 0.05, "{kib} KiB");
    assert_eq!(processes, 1);
}

#[test]
fn concept_26_sensors_a_shell_around_a_process_is_not_counted_twice() {
    let (kib, processes) = resident(&format!("{DD_300}; true"));
    assert!((kib - MIB_300_KIB).abs() < MIB_300_KIB * 0.05, "{kib} KiB");
    assert_eq!(processes, 2, "the shell and dd");
}

/// Time on a processor so far, as the scheduler counts it; the sensors read other numbers.
fn scheduled(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// A measurement, and what the scheduler said before and after it.
fn witnessed(measure: impl FnOnce() -> Snapshot, pid: u32) -> (f64, [Duration; 2]) {
    let before = scheduled(pid);
    let load = measure().performers[0].cpu_percent;
    (load, [before, scheduled(pid)])
}

/// On a busy machine a busy loop has less than a core. What it has had is between what the scheduler says just after the first
/// measurement and just before the second one, and what it says just before the first and just after the second.
#[test]
fn concept_26_sensors_a_busy_loop_is_a_core() {
    let group = Group::sh("while :; do :; done");
    let pid = group.pid();
    let now = clock();
    let mut probe = Linux::default();
    let watched = [watch(&mut probe, pid)];
    let begin = now();
    let (load, first) = witnessed(|| probe.measure(begin, &watched, &[]).unwrap(), pid);
    assert_eq!(load, 0.0);
    wait_for("a second of a processor", || {
        (scheduled(pid).saturating_sub(first[1]) > Duration::from_secs(1)).then_some(())
    });
    let end = now();
    let (load, second) = witnessed(|| probe.measure(end, &watched, &[]).unwrap(), pid);
    let counted = load / 100.0 * end.since(begin) as f64 / 1000.0;
    let (least, most) = (second[0].saturating_sub(first[1]), second[1].saturating_sub(first[0]));
    let range = least.as_secs_f64() * 0.95..=most.as_secs_f64() * 1.05;
    assert!(range.contains(&counted), "{counted} s, the scheduler says {least:?} to {most:?}");
}

#[test]
fn concept_26_sensors_the_time_of_a_child_that_ended_counts() {
    let mut group = Group::sh(
        "read go; sh -c 'i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done'; echo; times; read stop",
    );
    let now = clock();
    let mut probe = Linux::default();
    let watched = [watch(&mut probe, group.pid())];
    let begin = now();
    probe.measure(begin, &watched, &[]).unwrap();
    let mut input = group.child().stdin.take().unwrap();
    input.write_all(b"go\n").unwrap();
    let lines = BufReader::new(group.child().stdout.take().unwrap()).lines().take(3);
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    let end = now();
    let snapshot = probe.measure(end, &watched, &[]).unwrap();
    let counted = snapshot.performers[0].cpu_percent / 100.0 * end.since(begin) as f64 / 1000.0;
    // Of the shell and of its children, user and system: `0m0.01s 0m0.00s`.
    let seconds = |word: &str| {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let said: f64 = lines[1..].iter().flat_map(|line| line.split(' ')).map(seconds).sum();
    assert!(said > 0.3, "the child was too quick to tell: {lines:?}");
    assert!((counted - said).abs() < 0.03 + said * 0.05, "{counted} s, the shell says {said} s");
}

#[test]
fn concept_26_sensors_a_process_that_ended_with_its_children_is_gone() {
    // `cat` ends when nothing more comes. In the background it would read from nowhere without the other descriptor.
    let mut group = Group::sh("exec 3<&0; cat <&3 & cat <&3 & wait");
    wait_for("both children", || (group.children().len() == 2).then_some(()));
    let mut probe = Linux::default();
    let watched = [watch(&mut probe, group.pid())];
    probe.measure(Millis(0), &watched, &[]).unwrap();
    assert_eq!(probe.report().performers[0].processes, 3);
    drop(group.child().stdin.take());
    assert_eq!(group.process.exit_code(), Some(0));
    let snapshot = probe.measure(Millis(1000), &watched, &[]).unwrap();
    assert!(snapshot.performers.is_empty(), "{snapshot:?}");
    assert_eq!(probe.report().gone, [group.pid()]);
}

#[test]
fn concept_26_sensors_this_machine_can_be_measured() {
    let mut probe = Linux::default();
    let snapshot = probe.measure(Millis(0), &[], &[std::process::id()]).unwrap();
    assert!(snapshot.free_kib > 1024.0, "{snapshot:?}");
    assert!(snapshot.own[0].resident_kib > 100.0, "{snapshot:?}");
    let cores = std::thread::available_parallelism().unwrap().get();
    // It rounds quotas down, but not to nothing.
    assert!(
        probe.cores() >= 1.0 && probe.cores().floor() as usize == cores || cores == 1,
        "{}",
        probe.cores()
    );
    for reading in probe.report().memory.iter().chain(&probe.report().cores).chain(&probe.report().idle) {
        assert!(!reading.source.is_empty() && reading.value >= 0.0, "{reading:?}");
    }
}

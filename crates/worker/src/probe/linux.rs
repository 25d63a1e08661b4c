//! This machine: `/proc`, control groups and stalls.

use super::cgroup::{self, Groups};
use super::files::Files;
use super::memory::{Memory, MemoryFrom};
use super::parse::{self, Mount};
use super::tree::{Tree, Trees};
use super::{Probe, ProbeError, Watched};
use crate::manager::load::{Pressure, Process, Snapshot};
use conveyor_common::Millis;
use std::path::Path;

/// A number and where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The number; its unit is where it is used.
    pub value: f64,
    /// Where it is from, such as `cgroup v2 /user.slice: memory.max`.
    pub source: String,
}

/// What a process and its descendants were found to take.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The process.
    pub pid: u32,
    /// Processes that were counted: itself and its descendants.
    pub processes: usize,
    /// Their memory, in KiB.
    pub resident_kib: f64,
    /// How that was found, for the one where it was found worst.
    pub memory_from: MemoryFrom,
    /// Their load, in percent of one core.
    pub cpu_percent: f64,
}

/// What was seen in a measurement, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Memory that can be had, in KiB, by everything that limits it: the least counts, and is the first.
    pub memory: Vec<Reading>,
    /// Processors, by everything that limits them: the least counts, and is the first.
    pub cores: Vec<Reading>,
    /// Idle time of all processors, in percent.
    pub idle: Option<Reading>,
    /// All tasks waited for memory, in percent of ten seconds.
    pub memory_full: Option<Reading>,
    /// Some task waited for a processor, in percent of ten seconds.
    pub cpu_some: Option<Reading>,
    /// What is not there, and where it was looked for.
    pub notes: Vec<String>,
    /// Performers that are there.
    pub performers: Vec<Measured>,
    /// The manager's own processes.
    pub own: Vec<Measured>,
    /// Performers that have ended, or whose id another process has by now.
    pub gone: Vec<u32>,
}

/// Measures this machine.
#[derive(Debug)]
pub struct Linux {
    files: Files,
    mounts: Vec<Mount>,
    trees: Trees,
    memory: Memory,
    /// Idle and all time of the processors at the last measurement.
    processors: Option<(u64, u64)>,
    ticks_per_second: f64,
    report: Report,
}

impl Default for Linux {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Linux {
    /// A probe that finds `proc` and `sys` below `root`: `/`, apart from tests.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let mut files = Files::below(root);
        Self {
            mounts: cgroup::mounts(&mut files),
            files,
            trees: Trees::default(),
            memory: Memory::new(),
            processors: None,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1) as f64,
            report: Report::default(),
        }
    }

    /// When a process started, in clock ticks since the machine did; none when there is no such process.
    pub fn start_time(&mut self, pid: u32) -> Option<u64> {
        let stat = parse::stat(self.files.bytes(&format!("/proc/{pid}/stat")).ok()?)?;
        (!stat.has_ended()).then_some(stat.start_time)
    }

    /// What the last measurement saw.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn available(&mut self, groups: &Groups) -> Vec<Reading> {
        let mut readings = groups.memory(&mut self.files);
        let text = self.files.text("/proc/meminfo").unwrap_or_default();
        // Kernels before 3.14 do not say what is available.
        let machine = ["MemAvailable", "MemFree"]
            .iter()
            .find_map(|key| Some((parse::number(&text, &format!("{key}:"))?, key)));
        readings.extend(
            machine.map(|(kib, key)| Reading { value: kib as f64, source: format!("/proc/meminfo: {key}") }),
        );
        least_first(readings)
    }

    fn processors(&mut self, groups: &Groups) -> Vec<Reading> {
        let text = self.files.text("/proc/self/status").unwrap_or_default();
        let allowed =
            parse::value(&text, "Cpus_allowed_list:").and_then(parse::count).filter(|cores| *cores > 0);
        let mut readings = groups.cores(&mut self.files);
        readings.extend(allowed.map(|cores| Reading {
            value: cores as f64,
            source: "/proc/self/status: Cpus_allowed_list".to_owned(),
        }));
        if readings.is_empty() {
            readings.push(Reading { value: 1.0, source: "nothing says how many there are".to_owned() });
        }
        least_first(readings)
    }

    /// Idle time since the last measurement; at the first, since the machine started.
    fn idle(&mut self) -> Option<Reading> {
        let text = self.files.text("/proc/stat").ok()?;
        let (idle, all) = parse::idle_and_all(&text)?;
        let first = self.processors.is_none();
        let (idle_before, all_before) = self.processors.replace((idle, all)).unwrap_or_default();
        let all = all.saturating_sub(all_before);
        let value = if all == 0 {
            self.report.idle.as_ref().map_or(100.0, |reading| reading.value)
        } else {
            (idle.saturating_sub(idle_before) as f64 / all as f64 * 100.0).min(100.0)
        };
        let source = if first { "/proc/stat, since the machine started" } else { "/proc/stat" };
        Some(Reading { value, source: source.to_owned() })
    }

    /// Stalls of the own group; if it has none, of the machine.
    fn stalls(&mut self, groups: &Groups, what: &str, kind: &str) -> Result<Reading, String> {
        let own = groups.stalls(&format!("{what}.pressure"));
        let machine = format!("/proc/pressure/{what}");
        let mut looked = Vec::new();
        for (path, source) in own.into_iter().chain([(machine.clone(), machine)]) {
            match self.files.text(&path) {
                Ok(text) => {
                    if let Some(value) = parse::stalls(&text, &format!("{kind} ")) {
                        return Ok(Reading { value, source: format!("{source}: {kind} avg10") });
                    }
                    looked.push(format!("{source} does not say `{kind} avg10`"));
                }
                Err(error) => looked.push(format!("{source}: {error}")),
            }
        }
        Err(format!("no stalls for {what}: {}", looked.join("; ")))
    }

    fn measured(&mut self, now: Millis, since: Option<u64>, pid: u32, tree: &Tree) -> Measured {
        let mut resident_kib = 0.0;
        let mut memory_from = MemoryFrom::Pss;
        for (pid, stat) in &tree.members {
            let (kib, from) = self.memory.of(&mut self.files, now, *pid, stat);
            resident_kib += kib;
            memory_from = memory_from.max(from);
        }
        let cpu_percent = match since {
            Some(ms @ 1..) => tree.used as f64 / self.ticks_per_second / (ms as f64 / 1000.0) * 100.0,
            _ => 0.0,
        };
        Measured { pid, processes: tree.members.len(), resident_kib, memory_from, cpu_percent }
    }

    fn machine(&mut self) -> Report {
        let groups = Groups::now(&mut self.files, &self.mounts);
        let mut report = Report {
            memory: self.available(&groups),
            cores: self.processors(&groups),
            idle: self.idle(),
            ..Report::default()
        };
        if groups.are_none() {
            report.notes.push("no cgroups: /proc/self/cgroup and /proc/self/mountinfo name none".to_owned());
        }
        if report.idle.is_none() {
            report.notes.push("no idle time: /proc/stat does not tell it, 100 % is assumed".to_owned());
        }
        let mut noted = |stalls: Result<Reading, String>| stalls.map_err(|note| report.notes.push(note)).ok();
        report.memory_full = noted(self.stalls(&groups, "memory", "full"));
        report.cpu_some = noted(self.stalls(&groups, "cpu", "some"));
        report
    }
}

impl Probe for Linux {
    fn measure(&mut self, now: Millis, performers: &[Watched], own: &[u32]) -> Result<Snapshot, ProbeError> {
        let mut report = self.machine();
        let Some(free) = report.memory.first().map(|reading| reading.value) else {
            return Err(ProbeError::NoMemory);
        };
        let watched: Vec<(u32, Option<u64>)> = performers
            .iter()
            .map(|one| (one.pid, one.start_time))
            .chain(own.iter().map(|pid| (*pid, None)))
            .collect();
        let since = self.trees.since(now);
        let trees = self
            .trees
            .look(&mut self.files, now, &watched)
            .map_err(|error| ProbeError::Unreadable { path: "/proc", error })?;
        let mut snapshot = Snapshot {
            free_kib: free,
            idle_percent: report.idle.as_ref().map_or(100.0, |reading| reading.value),
            ..Snapshot::default()
        };
        let whose = performers.iter().map(Some).chain(own.iter().map(|_| None));
        for ((performer, (pid, _)), tree) in whose.zip(&watched).zip(&trees) {
            let Some(tree) = tree else {
                report.gone.extend(performer.map(|one| one.pid));
                continue;
            };
            let measured = self.measured(now, since, *pid, tree);
            let kind = performer.map_or(0, |one| one.kind);
            let Measured { pid, resident_kib, cpu_percent, .. } = measured;
            let process = Process { pid, kind, resident_kib, cpu_percent };
            let (processes, list) = match performer {
                Some(_) => (&mut snapshot.performers, &mut report.performers),
                None => (&mut snapshot.own, &mut report.own),
            };
            processes.push(process);
            list.push(measured);
        }
        self.memory.keep(|pid| self.trees.has(pid));
        let percent = |reading: &Option<Reading>| reading.as_ref().map(|reading| reading.value);
        let stalls = (percent(&report.memory_full), percent(&report.cpu_some));
        if stalls != (None, None) {
            let (memory_full, cpu_some) = (stalls.0.unwrap_or(0.0), stalls.1.unwrap_or(0.0));
            snapshot.pressure = Some(Pressure { memory_full, cpu_some });
        }
        self.report = report;
        Ok(snapshot)
    }

    fn cores(&mut self) -> f64 {
        let groups = Groups::now(&mut self.files, &self.mounts);
        self.processors(&groups).first().map_or(1.0, |reading| reading.value)
    }
}

fn least_first(mut readings: Vec<Reading>) -> Vec<Reading> {
    readings.sort_by(|a, b| a.value.total_cmp(&b.value));
    readings
}

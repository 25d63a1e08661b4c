//! The policy `adaptive`: as many performers as memory and processors carry, and no more.
//!
//! - The budget follows what can be had now, in both directions.
//! - A performer is started when the largest of its kind would fit twice, and the processors have room for it.
//! - Too much load pauses the newest first, and at least one runs on; what is paused goes on when there is clearly room.
//! - Too much memory ends just enough: who takes more than a fair share, the largest first, then the newest.
//! - Below the critical line nothing is started, then performers are paused, then ended until memory is above it.

use super::history::Average;
use super::{Exceeded, Plan, Process, Snapshot, Why};
use conveyor_common::Millis;
use std::collections::BTreeMap;

/// Load above this part of the limit is too much: less is noise.
const OVER: f64 = 1.05;

/// Measurements in a row with too much load before something is paused.
const OVER_ROUNDS: u32 = 2;

/// How long it takes until the end of a performer shows in the machine's memory, in milliseconds.
const SETTLING_MS: u64 = 2000;

/// Below this the processors count as busy, in percent.
const IDLE_PERCENT: f64 = 1.0;

/// Weight of the newest measurement in what counts as available.
const NEWEST: f64 = 0.5;

/// How much load there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Part of the memory that can be had, theirs included, that performers may take, in percent (50).
    pub memory_percent: f64,
    /// The most they may take, in KiB (no other limit).
    pub most_kib: Option<f64>,
    /// Part of all processors that performers may take, in percent (100).
    pub cpu_percent: f64,
    /// Processors: whole ones, or what a quota leaves of them.
    pub cores: f64,
    /// Memory that can be had below this is critical, in KiB (300 000).
    pub least_free_kib: f64,
    /// Memory that has to remain beside a new performer, in KiB (100 000).
    pub gap_kib: f64,
    /// Part of the budget that is kept back, in percent (10).
    pub reserve_percent: f64,
    /// What is paused goes on below this part of the allowed load, in percent (80).
    pub resume_percent: f64,
    /// How long a performer stays as it is, paused or running, in milliseconds (5000).
    pub dwell_ms: u64,
    /// Performers that may be started a second (1).
    pub per_second: f64,
    /// And at once, after a pause (1).
    pub burst: f64,
    /// Whether performers may be paused (yes).
    pub may_pause: bool,
    /// Stalls for memory above which nothing is started (10), and above which performers are ended (25), in percent.
    pub memory_pressure: (f64, f64),
    /// How long overload lasts, without idle time, before a performer is ended for it, in milliseconds (200 000).
    pub starved_ms: u64,
    /// What is left of the number of performers when there is pressure (0.7); it grows by one a second without.
    pub decrease: f64,
    /// What a performer takes of whose kind nothing is known, in KiB (50 000).
    pub expected_kib: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_percent: 50.0,
            most_kib: None,
            cpu_percent: 100.0,
            cores: 1.0,
            least_free_kib: 300_000.0,
            gap_kib: 100_000.0,
            reserve_percent: 10.0,
            resume_percent: 80.0,
            dwell_ms: 5000,
            per_second: 1.0,
            burst: 1.0,
            may_pause: true,
            memory_pressure: (10.0, 25.0),
            starved_ms: 200_000,
            decrease: 0.7,
            expected_kib: 50_000.0,
        }
    }
}

/// What is known of a performer from earlier rounds.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// The load it had when it was paused; none while it runs.
    paused: Option<f64>,
    /// Since when.
    since: Millis,
    /// It was paused at some time.
    flipped: bool,
    /// The most memory it has had, in KiB.
    peak_kib: f64,
    kind: u16,
    /// It was told to end.
    ending: bool,
}

/// The policy `adaptive`.
#[derive(Clone, Debug)]
pub struct Adaptive {
    settings: Settings,
    known: BTreeMap<u32, Known>,
    /// Most memory of performers that have ended, by kind.
    peaks: BTreeMap<u16, Average>,
    /// What can be had, smoothed, in KiB.
    available: Option<f64>,
    /// What performers were promised while there was memory for everybody, in KiB. That others take more is no reason to end
    /// work, as long as nobody is short of it.
    promised: f64,
    /// Performers it dares to run.
    target: f64,
    /// Performers that may be started now, and when that was reckoned.
    tokens: f64,
    reckoned: Option<Millis>,
    over_rounds: u32,
    starved_since: Option<Millis>,
    critical_since: Option<Millis>,
    /// Memory is left alone until then: the last end has yet to show.
    settled: Millis,
}

/// One round.
struct Round<'a> {
    now: Millis,
    snapshot: &'a Snapshot,
    /// Performers that were not told to end.
    alive: Vec<Process>,
    /// Their memory and load, and that of the manager.
    resident: f64,
    load: f64,
    /// What they may take now, if it is to be more; and what they may have, in KiB.
    budget: f64,
    promised: f64,
    allowed: f64,
}

impl Adaptive {
    /// A policy that has measured nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            tokens: settings.burst,
            settings,
            known: BTreeMap::new(),
            peaks: BTreeMap::new(),
            available: None,
            promised: 0.0,
            target: 1.0,
            reckoned: None,
            over_rounds: 0,
            starved_since: None,
            critical_since: None,
            settled: Millis::default(),
        }
    }

    /// One round: what was measured, and what follows from it. `wanted` more performers are wanted, the next of them of
    /// `kind`. Performers that are no longer there have ended.
    pub fn decide(&mut self, now: Millis, snapshot: &Snapshot, wanted: u32, kind: u16) -> Plan {
        self.remember(now, snapshot);
        let round = self.round(now, snapshot);
        self.reckon(now);
        if snapshot.free_kib < self.settings.least_free_kib {
            return self.critical(&round, wanted);
        }
        self.critical_since = None;
        if round.resident > round.promised && now >= self.settled && !round.alive.is_empty() {
            let victims = just_enough(&round.alive, round.resident - round.promised, round.promised);
            return self.shed(now, victims, Exceeded::Memory, Why::Memory);
        }
        let stalled = snapshot.pressure.map_or(0.0, |pressure| pressure.memory_full);
        if stalled > self.settings.memory_pressure.0 {
            let worse = stalled > self.settings.memory_pressure.1 && now >= self.settled;
            let newest = round.alive.last().filter(|_| worse).map(|process| process.pid);
            return self.shed(now, newest.into_iter().collect(), Exceeded::Memory, Why::MemoryPressure);
        }
        if let Some(plan) = self.too_much_load(&round) {
            return plan;
        }
        self.room(&round, wanted, kind)
    }

    /// Keeps what lives, learns from what has ended.
    fn remember(&mut self, now: Millis, snapshot: &Snapshot) {
        let gone: Vec<u32> = self
            .known
            .keys()
            .copied()
            .filter(|pid| !snapshot.performers.iter().any(|process| process.pid == *pid))
            .collect();
        for pid in gone {
            if let Some(known) = self.known.remove(&pid) {
                self.peaks.entry(known.kind).or_default().push(known.peak_kib);
            }
        }
        for process in &snapshot.performers {
            let new = Known {
                paused: None,
                since: now,
                flipped: false,
                peak_kib: 0.0,
                kind: process.kind,
                ending: false,
            };
            let known = self.known.entry(process.pid).or_insert(new);
            known.peak_kib = known.peak_kib.max(process.resident_kib);
        }
    }

    fn round<'a>(&mut self, now: Millis, snapshot: &'a Snapshot) -> Round<'a> {
        let ending = |process: &&Process| self.known.get(&process.pid).is_some_and(|known| known.ending);
        let alive: Vec<Process> =
            snapshot.performers.iter().filter(|process| !ending(process)).copied().collect();
        let resident: f64 = alive.iter().chain(&snapshot.own).map(|process| process.resident_kib).sum();
        let everything: f64 = snapshot.all().map(|process| process.resident_kib).sum();
        let load = snapshot.all().map(|process| process.cpu_percent).sum();
        let available = snapshot.free_kib + everything;
        let smooth = self.available.map_or(available, |before| before + (available - before) * NEWEST);
        self.available = Some(smooth);
        let part = |available: f64| {
            let part = available * self.settings.memory_percent / 100.0;
            self.settings.most_kib.map_or(part, |most| most.min(part))
        };
        // Down at once, up slowly.
        let budget = part(smooth.min(available));
        let short = snapshot.free_kib < self.settings.least_free_kib + self.settings.gap_kib;
        self.promised = if short { part(smooth) } else { self.promised.max(part(smooth)) };
        let allowed = self.settings.cores * self.settings.cpu_percent;
        Round { now, snapshot, alive, resident, load, budget, promised: self.promised, allowed }
    }

    /// Permits to start grow with time.
    fn reckon(&mut self, now: Millis) {
        let seconds = self.reckoned.map_or(0.0, |before| now.since(before) as f64 / 1000.0);
        self.reckoned = Some(now);
        self.tokens =
            (seconds.mul_add(self.settings.per_second, self.tokens)).min(self.settings.burst.max(1.0));
        // A second without pressure dares one more; where there is, `slow_down` takes it back.
        self.target += seconds;
    }

    /// The machine is nearly out of memory: pause first, then end as many as it takes.
    fn critical(&mut self, round: &Round<'_>, wanted: u32) -> Plan {
        self.slow_down(round);
        if round.alive.is_empty() {
            let none = round.snapshot.performers.is_empty() && wanted > 0;
            return Plan { critical_finish: none, why: Some(Why::CriticalMemory), ..Plan::default() };
        }
        let since = *self.critical_since.get_or_insert(round.now);
        let running: Vec<u32> = self.running(round).iter().map(|process| process.pid).collect();
        if self.settings.may_pause && since == round.now && running.len() > 1 {
            let newest = running.get(1..).unwrap_or_default().to_vec();
            return self.pause(round, newest, Exceeded::Memory, Why::CriticalMemory);
        }
        let short = self.settings.least_free_kib - round.snapshot.free_kib;
        let victims = if round.now >= self.settled && round.now.since(since) > 0 || !self.settings.may_pause {
            just_enough(&round.alive, short, round.budget)
        } else {
            Vec::new()
        };
        self.shed(round.now, victims, Exceeded::Memory, Why::CriticalMemory)
    }

    fn shed(&mut self, now: Millis, victims: Vec<u32>, exceeded: Exceeded, why: Why) -> Plan {
        for pid in &victims {
            if let Some(known) = self.known.get_mut(pid) {
                known.ending = true;
            }
        }
        if !victims.is_empty() {
            self.settled = now.plus(SETTLING_MS);
            self.target = (self.known.values().filter(|known| !known.ending).count() as f64).max(1.0);
        }
        let exceeded = (!victims.is_empty()).then_some(exceeded);
        Plan { shed: victims, exceeded, why: Some(why), ..Plan::default() }
    }

    fn pause(&mut self, round: &Round<'_>, pids: Vec<u32>, exceeded: Exceeded, why: Why) -> Plan {
        for process in round.alive.iter().filter(|process| pids.contains(&process.pid)) {
            if let Some(known) = self.known.get_mut(&process.pid) {
                known.paused = Some(process.cpu_percent);
                known.flipped = true;
                known.since = round.now;
            }
        }
        let exceeded = (!pids.is_empty()).then_some(exceeded);
        Plan { pause: pids, exceeded, why: Some(why), ..Plan::default() }
    }

    /// The load is above its limit: something is paused, or ended when that has been of no use for long.
    fn too_much_load(&mut self, round: &Round<'_>) -> Option<Plan> {
        let starved = round.snapshot.idle_percent < IDLE_PERCENT && round.load >= round.allowed;
        if starved {
            let since = *self.starved_since.get_or_insert(round.now);
            if round.now.since(since) >= self.settings.starved_ms && round.alive.len() > 1 {
                self.starved_since = Some(round.now);
                let newest = round.alive.last().map(|process| process.pid);
                return Some(self.shed(round.now, newest.into_iter().collect(), Exceeded::Cpu, Why::Cpu));
            }
        } else {
            self.starved_since = None;
        }
        if round.load <= round.allowed * OVER {
            self.over_rounds = 0;
            return None;
        }
        self.over_rounds = self.over_rounds.saturating_add(1);
        self.slow_down(round);
        if !self.settings.may_pause {
            return Some(Plan { why: Some(Why::MayNotPause), ..Plan::default() });
        }
        let mut excess = round.load - round.allowed;
        let mut pids = Vec::new();
        let running = self.running(round);
        if self.over_rounds >= OVER_ROUNDS {
            // The oldest one always runs on.
            for process in running.iter().skip(1).rev() {
                let rested = self.has_rested(round.now, process.pid);
                if excess > 0.0 && rested && process.cpu_percent > 0.0 {
                    excess -= process.cpu_percent;
                    pids.push(process.pid);
                }
            }
        }
        if !pids.is_empty() {
            self.over_rounds = 0;
        }
        Some(self.pause(round, pids, Exceeded::Cpu, Why::Cpu))
    }

    /// There is room for what is paused, or for a new one.
    fn room(&mut self, round: &Round<'_>, wanted: u32, kind: u16) -> Plan {
        let paused: Vec<(u32, f64)> = round
            .alive
            .iter()
            .filter_map(|process| Some((process.pid, self.known.get(&process.pid)?.paused?)))
            .collect();
        if !paused.is_empty() {
            return self.resume(round, &paused);
        }
        let hold = |why| Plan { why: Some(why), ..Plan::default() };
        if wanted == 0 {
            return hold(Why::Enough);
        }
        let running = round.alive.len() as f64;
        let each = self.expected(kind, round);
        let room = round.budget * (1.0 - self.settings.reserve_percent / 100.0)
            - self.settings.gap_kib
            - round.resident;
        // One more than there is room for is head-room.
        let by_memory = (room / each).floor() - 1.0;
        if by_memory < 1.0 {
            return hold(Why::Memory);
        }
        let load_each = if running > 0.0 { (round.load / running).max(1.0) } else { 0.0 };
        let by_load =
            if load_each > 0.0 { ((round.allowed - round.load) / load_each).floor() } else { f64::MAX };
        if by_load < 1.0 || (running > 0.0 && round.load >= round.allowed) {
            return hold(Why::Cpu);
        }
        let by_target = (self.target - running).floor();
        if by_target < 1.0 {
            return hold(Why::Growing);
        }
        let start = by_memory.min(by_load).min(by_target).min(self.tokens.floor()).min(f64::from(wanted));
        if start < 1.0 {
            return hold(Why::Pace);
        }
        self.tokens -= start;
        Plan { start: start as u32, ..Plan::default() }
    }

    fn resume(&mut self, round: &Round<'_>, paused: &[(u32, f64)]) -> Plan {
        let mut load = round.load;
        let mut pids = Vec::new();
        if round.load < round.allowed * self.settings.resume_percent / 100.0 {
            for (pid, had) in paused {
                if load + had <= round.allowed && self.has_rested(round.now, *pid) {
                    load += had;
                    pids.push(*pid);
                }
            }
            // Whoever needs more than all there is must go on some time.
            if pids.is_empty()
                && paused.len() == round.alive.len()
                && let Some((pid, _)) = paused.first()
            {
                pids.push(*pid);
            }
        }
        for pid in &pids {
            if let Some(known) = self.known.get_mut(pid) {
                known.paused = None;
                known.since = round.now;
            }
        }
        Plan { resume: pids, why: Some(Why::Paused), ..Plan::default() }
    }

    /// Memory that one more of this kind is expected to take, in KiB.
    fn expected(&self, kind: u16, round: &Round<'_>) -> f64 {
        let alive: Vec<f64> = round
            .alive
            .iter()
            .filter(|process| process.kind == kind)
            .map(|process| process.resident_kib)
            .collect();
        let mean = if alive.is_empty() { 0.0 } else { alive.iter().sum::<f64>() / alive.len() as f64 };
        let seen = self.peaks.get(&kind).and_then(Average::p90).unwrap_or_default().max(mean);
        if seen > 0.0 { seen } else { self.settings.expected_kib.max(1.0) }
    }

    fn slow_down(&mut self, round: &Round<'_>) {
        let running = round.alive.len() as f64;
        self.target = (self.target.min(running) * self.settings.decrease).max(1.0);
    }

    fn running(&self, round: &Round<'_>) -> Vec<Process> {
        let runs =
            |process: &&Process| self.known.get(&process.pid).is_some_and(|known| known.paused.is_none());
        round.alive.iter().filter(runs).copied().collect()
    }

    /// One that was never paused may be at once.
    fn has_rested(&self, now: Millis, pid: u32) -> bool {
        let rested = |known: &Known| !known.flipped || now.since(known.since) >= self.settings.dwell_ms;
        self.known.get(&pid).is_some_and(rested)
    }
}

/// Who has to end so that `exceeded` KiB come free: those above a fair share of `budget`, the largest first, then the newest.
fn just_enough(alive: &[Process], exceeded: f64, budget: f64) -> Vec<u32> {
    let share = budget / alive.len().max(1) as f64;
    let mut order: Vec<(usize, &Process)> = alive.iter().enumerate().collect();
    order.sort_by(|(age, a), (other_age, b)| {
        let above = |process: &Process| if process.resident_kib > share { process.resident_kib } else { 0.0 };
        above(b).total_cmp(&above(a)).then(other_age.cmp(age))
    });
    let mut freed = 0.0;
    let mut pids = Vec::new();
    for (_, process) in order {
        if freed >= exceeded {
            break;
        }
        freed += process.resident_kib;
        pids.push(process.pid);
    }
    pids
}

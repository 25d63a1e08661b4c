//! The load manager of the original, formula by formula: policy `legacy`.
//!
//! What it gets wrong it gets wrong here too (oldest first, critical memory that sheds nothing, paused processes chosen again);
//! the policy `adaptive` is the one that is right. Units are the original's: KiB, and percent of one core.

use super::history::Average;
use super::{Exceeded, Plan, Process, Snapshot, Why};
use std::fmt;

/// The part of the free memory, without what is reserved, that other programs are left with.
const UNCONTROLLED_PERCENT: f64 = 10.0;

/// Part of the reserve that is kept back, while no memory was taken from it.
const RESERVE_GAP_PERCENT: f64 = 10.0;

/// Below this the processors count as busy.
const IDLE_PERCENT: f64 = 1.0;

/// Settings of the original, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Part of the free memory at the start that performers may take, in percent (50).
    pub memory_percent: f64,
    /// Part of all processors that performers may take, in percent (100).
    pub cpu_percent: f64,
    /// Distance of the critical load from all processors, in percent (1); smaller ones count as 1.
    pub cpu_gap_percent: f64,
    /// Free memory below this is critical, in KiB (300 000); smaller ones count as that.
    pub least_free_kib: f64,
    /// Memory that has to remain beside a new performer, in KiB (100 000); smaller ones count as that.
    pub gap_kib: f64,
    /// Most that one round takes from the reserve, in percent of it (10, and no less).
    pub step_percent: f64,
    /// Rounds without idle time before overload is critical (200).
    pub busy_rounds: u32,
    /// Whether performers may be paused (yes).
    pub may_pause: bool,
    /// Processors.
    pub cores: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_percent: 50.0,
            cpu_percent: 100.0,
            cpu_gap_percent: 1.0,
            least_free_kib: 300_000.0,
            gap_kib: 100_000.0,
            step_percent: 10.0,
            busy_rounds: 200,
            may_pause: true,
            cores: 1,
        }
    }
}

/// What the original answers to a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// One more performer may be started.
    Allow,
    /// None may be started now.
    Hold(Why),
    /// These are to stop for a while.
    Pause(Vec<u32>),
    /// These are to go on.
    Continue(Vec<u32>),
    /// These are to end.
    Terminate {
        /// Their process ids.
        pids: Vec<u32>,
        /// For too much of this.
        exceeded: Exceeded,
    },
    /// All performers have ended, and no more are wanted.
    Finish,
    /// There is no performer and no memory for one: whoever wants the work done is to be told.
    CriticalFinish,
}

impl From<Decision> for Plan {
    fn from(decision: Decision) -> Self {
        let plan = Self::default();
        match decision {
            Decision::Allow => Self { start: 1, ..plan },
            Decision::Hold(why) => Self { why: Some(why), ..plan },
            Decision::Pause(pause) => {
                Self { pause, exceeded: Some(Exceeded::Cpu), why: Some(Why::Cpu), ..plan }
            }
            Decision::Continue(resume) => Self { resume, why: Some(Why::Paused), ..plan },
            Decision::Terminate { pids, exceeded } => {
                let why = match exceeded {
                    Exceeded::Memory => Why::Memory,
                    Exceeded::Cpu => Why::Cpu,
                };
                Self { shed: pids, exceeded: Some(exceeded), why: Some(why), ..plan }
            }
            Decision::Finish => Self { why: Some(Why::Enough), ..plan },
            Decision::CriticalFinish => {
                Self { critical_finish: true, why: Some(Why::CriticalMemory), ..plan }
            }
        }
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSetting(&'static str);

impl fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongSetting {}

/// What the first round with a performer found, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Budget {
    /// Memory for performers now, in KiB.
    reserved: f64,
    /// The same at first.
    reserved_first: f64,
    /// What was left to others at first.
    uncontrolled_first: f64,
    /// What they must not go below.
    uncontrolled_least: f64,
}

/// The load manager of the original.
#[derive(Clone, Debug)]
pub struct Legacy {
    settings: Settings,
    budget: Option<Budget>,
    memory: Average,
    cpu: Average,
    taken: Average,
    /// What was paused, in that order, and the load it had then.
    paused: Vec<(u32, f64)>,
    busy_rounds: u32,
}

impl Legacy {
    /// A load manager that has measured nothing yet.
    ///
    /// # Errors
    /// A setting that the original refuses.
    pub fn new(settings: Settings) -> Result<Self, WrongSetting> {
        if settings.step_percent < 10.0 {
            return Err(WrongSetting(
                "the part taken from the reserve in a round must be at least 10 percent",
            ));
        }
        let least = Settings::default();
        let settings = Settings {
            cpu_gap_percent: settings.cpu_gap_percent.max(least.cpu_gap_percent),
            least_free_kib: settings.least_free_kib.max(least.least_free_kib),
            gap_kib: settings.gap_kib.max(least.gap_kib),
            ..settings
        };
        Ok(Self {
            settings,
            budget: None,
            memory: Average::default(),
            cpu: Average::default(),
            taken: Average::default(),
            paused: Vec::new(),
            busy_rounds: 0,
        })
    }

    /// Memory for performers now, in KiB; none before the first round with a performer.
    #[must_use]
    pub fn reserved_kib(&self) -> Option<f64> {
        self.budget.map(|budget| budget.reserved)
    }

    /// One round: what was measured, and what follows from it. `all_created`: no further performer is wanted.
    pub fn decide(&mut self, now: &Snapshot, all_created: bool) -> Decision {
        let idle = now.idle_percent < IDLE_PERCENT;
        self.busy_rounds = if idle { self.busy_rounds.saturating_add(1) } else { 0 };
        if now.performers.is_empty() {
            return self.without_performers(now, all_created);
        }
        let resident: f64 = now.all().map(|process| process.resident_kib).sum();
        let load: f64 = now.all().map(|process| process.cpu_percent).sum();
        let performers = now.performers.len() as f64;
        self.memory.push(resident / performers);
        self.cpu.push(load / performers);
        let reserved = self.budget(now.free_kib);
        let cores = f64::from(self.settings.cores) * 100.0;
        let allowed = cores * self.settings.cpu_percent / 100.0;
        if now.free_kib < self.settings.least_free_kib {
            return Decision::Hold(Why::CriticalMemory);
        }
        if resident < reserved && load <= allowed {
            return self.room(resident, load, reserved, allowed);
        }
        if resident > reserved {
            let victims = victims(&now.performers, resident - reserved, |process| process.resident_kib);
            return self.terminate(victims, Exceeded::Memory);
        }
        let critical = cores * (1.0 - self.settings.cpu_gap_percent / 100.0);
        let victims = victims(&now.performers, load - allowed, |process| process.cpu_percent);
        if load >= critical && self.busy_rounds > self.settings.busy_rounds {
            return self.terminate(victims, Exceeded::Cpu);
        }
        if !self.settings.may_pause {
            return Decision::Hold(Why::MayNotPause);
        }
        self.pause(now, victims)
    }

    fn without_performers(&self, now: &Snapshot, all_created: bool) -> Decision {
        if all_created {
            Decision::Finish
        } else if now.free_kib < self.settings.least_free_kib {
            Decision::CriticalFinish
        } else {
            Decision::Allow
        }
    }

    /// The memory that performers may take, after this round.
    fn budget(&mut self, free: f64) -> f64 {
        let part = self.settings.memory_percent / 100.0;
        let budget = self.budget.get_or_insert_with(|| {
            let reserved = free * part;
            let uncontrolled = free - reserved;
            Budget {
                reserved,
                reserved_first: reserved,
                uncontrolled_first: uncontrolled,
                uncontrolled_least: uncontrolled * UNCONTROLLED_PERCENT / 100.0,
            }
        });
        if free < budget.uncontrolled_least {
            let short = budget.uncontrolled_least - free;
            let percent = 100.0 * short / budget.reserved_first;
            self.taken.push(percent);
            // Too large a step is not made smaller, but replaced by one that is larger still.
            let step = if percent > self.settings.step_percent { budget.uncontrolled_least } else { short };
            budget.reserved -= step;
        } else if free >= budget.uncontrolled_first {
            budget.reserved = budget.reserved.max(free * part);
        }
        budget.reserved
    }

    /// Both are below their limits: one more performer, or one that was paused, or neither.
    fn room(&mut self, resident: f64, load: f64, reserved: f64, allowed: f64) -> Decision {
        let gap_percent = self.taken.get().map_or(RESERVE_GAP_PERCENT, |taken| taken / 2.0);
        let gap = reserved * gap_percent / 100.0;
        let wanted = 2.0_f64.mul_add(self.memory.get().unwrap_or_default(), resident) + self.settings.gap_kib;
        let fits = wanted < reserved - gap;
        let quiet = self.cpu.get().unwrap_or_default() + load <= allowed;
        if self.paused.is_empty() {
            return match (fits, quiet) {
                (true, true) => Decision::Allow,
                (false, _) => Decision::Hold(Why::Memory),
                (true, false) => Decision::Hold(Why::Cpu),
            };
        }
        let mut sum = 0.0;
        let goes_on = |(_, load): &&(u32, f64)| {
            sum += load;
            sum < allowed
        };
        let pids: Vec<u32> = self.paused.iter().take_while(goes_on).map(|(pid, _)| *pid).collect();
        if pids.is_empty() {
            return Decision::Hold(Why::Cpu);
        }
        self.paused.retain(|(pid, _)| !pids.contains(pid));
        Decision::Continue(pids)
    }

    fn pause(&mut self, now: &Snapshot, pids: Vec<u32>) -> Decision {
        for process in now.performers.iter().filter(|process| pids.contains(&process.pid)) {
            self.paused.retain(|(pid, _)| *pid != process.pid);
            self.paused.push((process.pid, process.cpu_percent));
        }
        Decision::Pause(pids)
    }

    fn terminate(&mut self, pids: Vec<u32>, exceeded: Exceeded) -> Decision {
        self.paused.retain(|(pid, _)| !pids.contains(pid));
        Decision::Terminate { pids, exceeded }
    }
}

/// The oldest ones, until their sum is more than what was exceeded.
fn victims(performers: &[Process], exceeded: f64, of: impl Fn(&Process) -> f64) -> Vec<u32> {
    if exceeded <= 0.0 {
        return Vec::new();
    }
    let mut sum = 0.0;
    let mut pids = Vec::new();
    for process in performers {
        if sum > exceeded {
            break;
        }
        sum += of(process);
        pids.push(process.pid);
    }
    pids
}

//! How much load there may be: what was measured goes in, a plan comes out. Pure.

mod adaptive;
mod history;
mod legacy;
mod plan;

pub use adaptive::{Adaptive, Settings as AdaptiveSettings};
pub use legacy::{Decision, Legacy, Settings as LegacySettings, WrongSetting};
pub use plan::{Exceeded, Plan, Why};

/// A process as it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// What it is one of: performers of the same kind take about the same.
    pub kind: u16,
    /// Memory it holds, in KiB.
    pub resident_kib: f64,
    /// Its load, in percent of one core.
    pub cpu_percent: f64,
}

/// Stalls for want of something, as the kernel counts them: percent of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// All tasks waited for memory.
    pub memory_full: f64,
    /// Some task waited for a processor.
    pub cpu_some: f64,
}

/// The machine as it was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Memory that can be had, in KiB.
    pub free_kib: f64,
    /// Idle time of all cores, in percent.
    pub idle_percent: f64,
    /// Performers, in the order in which they were started.
    pub performers: Vec<Process>,
    /// The manager's own processes.
    pub own: Vec<Process>,
    /// Stalls; none where the kernel does not count them.
    pub pressure: Option<Pressure>,
}

impl Snapshot {
    fn all(&self) -> impl Iterator<Item = &Process> {
        self.performers.iter().chain(&self.own)
    }
}

//! Options of the load manager's policies: what was typed becomes a policy.

use crate::storage;
use clap::ValueEnum;
use conveyor_common::Millis;
use conveyor_worker::manager::load::{Adaptive, AdaptiveSettings, Legacy, LegacySettings, Plan, Snapshot};

/// Which policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// As many performers as memory and processors carry
    Adaptive,
    /// The load manager of the original, formula by formula
    Legacy,
}

/// How much load there may be.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How much load there may be")]
pub(super) struct PolicyArgs {
    /// Who decides
    #[arg(long, value_enum, default_value_t = Name::Adaptive)]
    policy: Name,
    /// Part of the available memory that performers may take
    #[arg(long, value_name = "PERCENT", default_value_t = 50.0, value_parser = percent)]
    memory_percent: f64,
    /// Most memory that performers may take, such as 4G (adaptive)
    #[arg(long, value_name = "BYTES", value_parser = storage::size)]
    memory_limit: Option<u64>,
    /// Part of all processors that performers may take
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent)]
    cpu_percent: f64,
    /// Available memory below this is critical (default 300000 KiB)
    #[arg(long, value_name = "BYTES", value_parser = storage::size)]
    least_free: Option<u64>,
    /// Memory that has to remain beside a new performer (default 100000 KiB)
    #[arg(long, value_name = "BYTES", value_parser = storage::size)]
    gap: Option<u64>,
    /// Memory of a performer of which nothing is known yet (adaptive; default 50000 KiB)
    #[arg(long, value_name = "BYTES", value_parser = storage::size)]
    expected: Option<u64>,
    /// Part of the memory for performers that is kept back (adaptive)
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    reserve_percent: f64,
    /// What is paused goes on below this part of the allowed load (adaptive)
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0, value_parser = percent)]
    resume_percent: f64,
    /// Milliseconds that a performer stays as it is, paused or running (adaptive)
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    dwell_ms: u64,
    /// Performers that may be started a second (adaptive)
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = rate)]
    spawn_rate: f64,
    /// Never pause a performer
    #[arg(long)]
    no_pause: bool,
    /// Stalls for memory above which nothing is started (adaptive)
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    stall_hold_percent: f64,
    /// Stalls for memory above which performers are ended (adaptive)
    #[arg(long, value_name = "PERCENT", default_value_t = 25.0, value_parser = percent)]
    stall_shed_percent: f64,
    /// Milliseconds of overload until a performer is ended for it (adaptive)
    #[arg(long, value_name = "MS", default_value_t = 200_000)]
    starved_ms: u64,
    /// Rounds of overload until performers are ended for it (legacy)
    #[arg(long, value_name = "N", default_value_t = 200)]
    busy_rounds: u32,
    /// Distance of the critical load from all processors (legacy)
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    cpu_gap_percent: f64,
    /// Most that a round takes from the memory for performers, 10 at least (legacy)
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    step_percent: f64,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse() {
        Ok(percent @ 0.0..=100.0) => Ok(percent),
        _ => Err("write a number from 0 to 100".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate @ 0.01..=1000.0) => Ok(rate),
        _ => Err("write a number from 0.01 to 1000".to_owned()),
    }
}

/// A policy at work.
#[derive(Debug)]
pub(super) enum Policy {
    Adaptive(Box<Adaptive>),
    Legacy(Box<Legacy>),
}

impl PolicyArgs {
    /// The policy for a machine with so many processors.
    pub(super) fn policy(&self, cores: f64) -> Result<Policy, String> {
        match self.policy {
            Name::Adaptive => Ok(Policy::Adaptive(Box::new(Adaptive::new(self.adaptive(cores))))),
            Name::Legacy => {
                let legacy = Legacy::new(self.legacy(cores));
                let hint = |error| format!("{error}: see --step-percent");
                Ok(Policy::Legacy(Box::new(legacy.map_err(hint)?)))
            }
        }
    }

    fn adaptive(&self, cores: f64) -> AdaptiveSettings {
        let settings = AdaptiveSettings::default();
        AdaptiveSettings {
            memory_percent: self.memory_percent,
            most_kib: self.memory_limit.map(kib),
            cpu_percent: self.cpu_percent,
            cores,
            least_free_kib: self.least_free.map_or(settings.least_free_kib, kib),
            gap_kib: self.gap.map_or(settings.gap_kib, kib),
            reserve_percent: self.reserve_percent,
            resume_percent: self.resume_percent,
            dwell_ms: self.dwell_ms,
            per_second: self.spawn_rate,
            may_pause: !self.no_pause,
            memory_pressure: (self.stall_hold_percent, self.stall_shed_percent),
            starved_ms: self.starved_ms,
            expected_kib: self.expected.map_or(settings.expected_kib, kib),
            ..settings
        }
    }

    fn legacy(&self, cores: f64) -> LegacySettings {
        let settings = LegacySettings::default();
        LegacySettings {
            memory_percent: self.memory_percent,
            cpu_percent: self.cpu_percent,
            cpu_gap_percent: self.cpu_gap_percent,
            least_free_kib: self.least_free.map_or(settings.least_free_kib, kib),
            gap_kib: self.gap.map_or(settings.gap_kib, kib),
            step_percent: self.step_percent,
            busy_rounds: self.busy_rounds,
            may_pause: !self.no_pause,
            // It knows whole ones only.
            cores: cores.max(1.0) as u32,
        }
    }
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

impl Policy {
    /// One round; `wanted` more performers are wanted.
    pub(super) fn decide(&mut self, now: Millis, snapshot: &Snapshot, wanted: u32) -> Plan {
        match self {
            Self::Adaptive(policy) => policy.decide(now, snapshot, wanted, 0),
            Self::Legacy(policy) => policy.decide(snapshot, wanted == 0).into(),
        }
    }
}

//! Sensors: what the load manager knows of the machine and of its processes, and where from.
//!
//! A [`Probe`] measures: [`Linux`] this machine, [`Trace`] what was measured before; [`Recorder`] writes down what another one
//! measures. Blocking, but short: about a millisecond.

mod cgroup;
mod files;
mod linux;
mod memory;
mod parse;
mod trace;
mod tree;

pub use linux::{Linux, Measured, Reading, Report};
pub use memory::MemoryFrom;
pub use trace::{Recorder, Trace};

use crate::manager::load::Snapshot;
use conveyor_common::Millis;
use std::fmt;
use std::io;

/// A process to be measured, with all that descends from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its id.
    pub pid: u32,
    /// What it is one of.
    pub kind: u16,
    /// When it started, in clock ticks since the machine did ([`Linux::start_time`]): another process that got its id later is
    /// not measured for it. Without, whoever has the id is measured.
    pub start_time: Option<u64>,
}

/// Measures.
pub trait Probe {
    /// What there is now, `now` being a moment on the caller's clock: loads are those since the measurement before, and 0 at
    /// the first. Each process is counted once, for the nearest watched ancestor; performers that have ended are not in the
    /// result. Wants to be called about once a second.
    ///
    /// # Errors
    /// There is nothing to measure, or the trace has ended or makes no sense.
    fn measure(&mut self, now: Millis, performers: &[Watched], own: &[u32]) -> Result<Snapshot, ProbeError>;

    /// Processors, or what affinity and quotas leave of them.
    fn cores(&mut self) -> f64;
}

/// Why there is no measurement.
#[derive(Debug)]
pub enum ProbeError {
    /// A file that has to be there cannot be read.
    Unreadable {
        /// Its path.
        path: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Neither limits nor `/proc/meminfo` say how much memory can be had.
    NoMemory,
    /// The trace has no more measurements.
    Ended,
    /// A line of the trace makes no sense.
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The trace cannot be read or written.
    Trace(io::Error),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "cannot read {path}: {error}. Is /proc mounted?"),
            Self::NoMemory => {
                f.write_str("nothing says how much memory can be had: neither a cgroup nor /proc/meminfo")
            }
            Self::Ended => f.write_str("the trace has ended"),
            Self::Line { number, reason } => write!(f, "line {number} of the trace: {reason}"),
            Self::Trace(error) => write!(f, "the trace: {error}"),
        }
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } | Self::Trace(error) => Some(error),
            Self::NoMemory | Self::Ended | Self::Line { .. } => None,
        }
    }
}

//! A job and the transitions it can make.

use super::functions::FunctionId;
use bytes::Bytes;
use conveyor_common::{ConnId, JobNumber, Priority};

/// Names a job inside the core: its slot and the low half of its number, so that an id that outlived its job
/// finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct JobId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Who still wants a job done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Background, or a client waits for it.
    Wanted,
    /// The last waiting client left. A submission that joins it makes it wanted again.
    Abandoned,
    /// An operator gave it up. Nothing joins it any more.
    Cancelled,
}

/// Where a job is: exactly one place at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the ready queue of its function and priority.
    Ready,
    /// Waiting for its start time, in the timers.
    Scheduled,
    /// With a worker.
    Running(Run),
}

/// A worker's hold on a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The worker.
    pub(super) conn: ConnId,
    /// Where the worker's own list has the job.
    pub(super) slot: u32,
    /// Rises with every grab: what was grabbed last is given back first.
    pub(super) turn: u64,
    /// An expiry stands in the timers.
    pub(super) timed: bool,
}

/// One attached submission; a client that submitted the same unique twice is attached twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) conn: ConnId,
    /// Where the client's own list has the job.
    pub(super) slot: u32,
}

/// An unfinished job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: JobNumber,
    pub(super) function: FunctionId,
    pub(super) priority: Priority,
    pub(super) background: bool,
    pub(super) standing: Standing,
    pub(super) place: Place,
    /// FIFO order; renewed when the job goes back to the tail.
    pub(super) order: u64,
    pub(super) retries: u32,
    pub(super) numerator: u32,
    pub(super) denominator: u32,
    /// Start time in seconds since 1970-01-01 UTC; 0 is at once.
    pub(super) when: i64,
    pub(super) unique: Bytes,
    /// Empty once nobody wants the job.
    pub(super) payload: Bytes,
    pub(super) reducer: Option<Box<Bytes>>,
    pub(super) watchers: Vec<Watcher>,
}

impl Job {
    /// Whether a worker may have it, as far as the job itself is concerned.
    pub(super) const fn is_runnable(&self) -> bool {
        matches!(self.place, Place::Ready) && matches!(self.standing, Standing::Wanted)
    }

    /// The worker's hold, when `conn` is that worker.
    pub(super) fn run_by(&self, conn: ConnId) -> Option<Run> {
        match self.place {
            Place::Running(run) if run.conn == conn => Some(run),
            _ => None,
        }
    }
}

//! The jobs of the storm: by its number everybody knows what a job is and what comes of it.

use crate::FUNCTION;
use conveyor_client::{Job, Unique};
use std::time::Duration;

/// More often than servers die while a job waits.
const RETRIES: u32 = 1000;

/// So short that some of the hasty jobs do not even leave.
const HASTE: Duration = Duration::from_millis(8);

/// What a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Without unique: never submitted twice once it has left.
    Plain,
    /// With a unique of its own.
    Safe,
    /// Twice, with the unique of its payload.
    Twins,
    /// Without unique, and with a short deadline.
    Hasty,
    /// With a unique and a short deadline.
    HastySafe,
}

impl Kind {
    pub(crate) const fn of(number: usize) -> Self {
        match number % 8 {
            0..=2 => Self::Plain,
            3 | 4 => Self::Safe,
            5 => Self::Twins,
            6 => Self::Hasty,
            _ => Self::HastySafe,
        }
    }

    /// How often it is submitted.
    pub(crate) const fn copies(self) -> usize {
        if matches!(self, Self::Twins) { 2 } else { 1 }
    }

    /// Whether it must complete, whatever happens to servers.
    pub(crate) const fn must_complete(self) -> bool {
        matches!(self, Self::Safe | Self::Twins)
    }

    /// Whether the client may give it to a second server after it has left.
    pub(crate) const fn may_run_twice(self) -> bool {
        matches!(self, Self::Safe | Self::Twins | Self::HastySafe)
    }

    pub(crate) const fn is_hasty(self) -> bool {
        matches!(self, Self::Hasty | Self::HastySafe)
    }

    pub(crate) fn job(self, number: usize) -> Job {
        let job = Job::new(FUNCTION, number.to_string()).retries(RETRIES);
        let job = match self {
            Self::Plain | Self::Hasty => job,
            Self::Safe | Self::HastySafe => job.unique(Unique::Random),
            Self::Twins => job.unique(Unique::OfPayload),
        };
        if self.is_hasty() { job.deadline(HASTE) } else { job }
    }
}

/// The number of the job with this payload.
pub(crate) fn number(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).unwrap().parse().expect("the payload of some job")
}

/// Whether it reports progress and data before it ends. Of every kind some do.
pub(crate) const fn is_talkative(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// Whether it takes long enough for servers to die and be back meanwhile. Then the handle that it has is another job's.
pub(crate) const fn is_long(number: usize) -> bool {
    number % 997 == 1
}

/// What a job ends with; also the data it sends. No two jobs have the same.
pub(crate) fn result(number: usize) -> String {
    format!("{number} is {:x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

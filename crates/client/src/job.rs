//! What is to be done: a job before it is submitted.

use crate::error::ErrorKind;
use bytes::Bytes;
use conveyor_common::limits::{ARGUMENT_BYTES, UNIQUE_BYTES};
use conveyor_common::protocol::{Request, SubmitKind};
use conveyor_common::{Priority, UnixSeconds};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Resubmissions unless the job says otherwise.
const RETRIES: u32 = 3;

/// The key by which a server tells a job from others of its function. Two unfinished jobs with the same
/// one are the same job.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Unique {
    /// None: every submission is a job of its own, and none is submitted twice.
    #[default]
    None,
    /// This one: 1 to 64 bytes without NUL, and not `-`, which servers take for something else.
    Given(Bytes),
    /// A hash of function and payload, the same in every process: equal work is done once.
    OfPayload,
    /// One that nobody else has: just for safe resubmission.
    Random,
}

/// A job to be submitted.
///
/// ```
/// use conveyor_client::{Job, Priority, Unique};
/// use std::time::Duration;
///
/// let job = Job::new("resize", "photo 17")
///     .priority(Priority::High)
///     .unique(Unique::OfPayload)
///     .deadline(Duration::from_secs(30));
/// let later = Job::new("clean", "").at(conveyor_client::UnixSeconds(2_000_000_000));
/// # let _ = (job, later);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub(crate) function: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) kind: SubmitKind,
    pub(crate) unique: Unique,
    pub(crate) deadline: Option<Duration>,
    pub(crate) retries: u32,
}

impl Job {
    /// A foreground job of `function` at normal priority.
    pub fn new(function: impl Into<Bytes>, payload: impl Into<Bytes>) -> Self {
        Self {
            function: function.into(),
            payload: payload.into(),
            kind: SubmitKind::Job { priority: Priority::Normal, background: false },
            unique: Unique::None,
            deadline: None,
            retries: RETRIES,
        }
    }

    /// Which of the three queues. Future and reduce jobs are always normal: the protocol has no other.
    #[must_use]
    pub const fn priority(mut self, wanted: Priority) -> Self {
        if let SubmitKind::Job { priority, .. } = &mut self.kind {
            *priority = wanted;
        }
        self
    }

    /// Nobody waits for the result: the outcome is [`Accepted`](crate::Outcome::Accepted).
    #[must_use]
    pub const fn background(mut self) -> Self {
        if let SubmitKind::Job { background, .. } | SubmitKind::Reduce { background, .. } = &mut self.kind {
            *background = true;
        }
        self
    }

    /// A background job not to start before `when`.
    #[must_use]
    pub fn at(mut self, when: UnixSeconds) -> Self {
        self.kind = SubmitKind::Epoch { when: when.0 };
        self
    }

    /// A job whose results `reducer` puts together.
    #[must_use]
    pub fn reducer(mut self, reducer: impl Into<Bytes>) -> Self {
        let background = self.is_background();
        self.kind = SubmitKind::Reduce { reducer: reducer.into(), ignored: Bytes::from("0"), background };
        self
    }

    /// The key that tells it from others.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = unique;
        self
    }

    /// The outcome must be there this long after submitting; then the job is forgotten here. The server
    /// may still run it.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// How often it may be given to a server again when one is lost (3). A job that has already left is
    /// given again only if it has a unique, so that the server it left to knows it again. Another server
    /// does not: then the job may run twice. 0 forbids that.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    pub(crate) const fn is_background(&self) -> bool {
        match &self.kind {
            SubmitKind::Job { background, .. } | SubmitKind::Reduce { background, .. } => *background,
            SubmitKind::Epoch { .. } => true,
        }
    }

    /// The unique as it goes over the wire.
    ///
    /// # Errors
    /// The job cannot be put on the wire.
    pub(crate) fn wire_unique(&self) -> Result<Bytes, ErrorKind> {
        let reducer = match &self.kind {
            SubmitKind::Reduce { reducer, .. } => reducer.as_ref(),
            _ => b"",
        };
        if self.function.len() + reducer.len() > ARGUMENT_BYTES / 2 {
            return Err(ErrorKind::Invalid("function and reducer have 4096 bytes at most"));
        }
        if self.function.contains(&0) || reducer.contains(&0) {
            return Err(ErrorKind::Invalid("a function cannot hold NUL"));
        }
        if u32::try_from(self.payload.len() + ARGUMENT_BYTES).is_err() {
            return Err(ErrorKind::Invalid("a payload has less than 4 GiB"));
        }
        match &self.unique {
            Unique::None => Ok(Bytes::new()),
            Unique::Given(unique) if unique.is_empty() || unique.as_ref() == b"-" => {
                Err(ErrorKind::Invalid("an empty unique or `-` tells no job from another: use Unique::None"))
            }
            Unique::Given(unique) if unique.len() > UNIQUE_BYTES || unique.contains(&0) => {
                Err(ErrorKind::Invalid("a unique has 64 bytes at most and no NUL"))
            }
            Unique::Given(unique) => Ok(unique.clone()),
            Unique::OfPayload => {
                let hash = fnv(fnv(FNV_START, &self.function) ^ 0xff, &self.payload);
                Ok(Bytes::from(format!("{hash:032x}")))
            }
            Unique::Random => Ok(Bytes::from(format!("{:016x}{:016x}", chance(), chance()))),
        }
    }

    pub(crate) fn request(&self, unique: Bytes) -> Request {
        Request::Submit {
            kind: self.kind.clone(),
            function: self.function.clone(),
            unique,
            payload: self.payload.clone(),
        }
    }
}

/// Start of [`fnv`].
pub(crate) const FNV_START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

/// FNV-1a of 128 bits: the same in every process and release, which std's hashers do not promise.
pub(crate) fn fnv(start: u128, bytes: &[u8]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(start, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// A random number: std seeds every hasher anew.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(job: &Job) -> Bytes {
        job.wire_unique().unwrap()
    }

    #[test]
    fn a_hash_is_of_function_and_payload_and_stays_the_same() {
        let job = |function: &'static str, payload: &'static str| {
            unique(&Job::new(function, payload).unique(Unique::OfPayload))
        };
        assert_eq!(job("f", "p"), job("f", "p"));
        assert_ne!(job("f", "p"), job("f", "q"));
        assert_ne!(job("f", "p"), job("fp", ""));
        assert_eq!(format!("{:032x}", fnv(FNV_START, b"a")), "d228cb696f1a8caf78912b704e4a8964");
    }

    #[test]
    fn random_uniques_differ() {
        let job = Job::new("f", "p").unique(Unique::Random);
        assert_ne!(unique(&job), unique(&job));
    }

    #[test]
    fn what_no_server_understands_is_refused_before_it_leaves() {
        for unique in ["", "-", "a\0b", &"u".repeat(65)] {
            let job = Job::new("f", "p").unique(Unique::Given(Bytes::copy_from_slice(unique.as_bytes())));
            assert!(matches!(job.wire_unique(), Err(ErrorKind::Invalid(_))), "{unique:?}");
        }
        assert!(Job::new("f\0", "p").wire_unique().is_err());
    }

    #[test]
    fn kind_follows_the_builder() {
        assert!(!Job::new("f", "").is_background());
        assert!(Job::new("f", "").at(UnixSeconds(1)).is_background());
        assert!(Job::new("f", "").background().reducer("r").is_background());
        assert!(Job::new("f", "").reducer("r").background().is_background());
    }
}

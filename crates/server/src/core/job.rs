//! A job, kept small: there may be millions of them.

use super::functions::FunctionId;
use super::watchers::Watchers;
use bytes::Bytes;
use conveyor_common::{ConnId, JobNumber, Priority};

/// A unique and a payload of together up to this many bytes are copied when a job is stored, so that a small
/// job does not pin the read buffer it arrived in.
const COPY_BYTES: usize = 32 * 1024;

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
    /// Waiting to be stored, in the journal.
    Committing,
    /// Waiting for older jobs that are still being read from the store.
    Behind,
    /// With a worker: see [`super::jobs::Jobs::run`].
    Running(RunId),
}

/// Names the hold of a worker in the table of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunId(pub(super) u32);

/// A worker's hold on a job, and what it reported so far.
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
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

/// What a job is made of.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) number: JobNumber,
    pub(super) function: FunctionId,
    pub(super) priority: Priority,
    pub(super) background: bool,
    pub(super) place: Place,
    pub(super) order: u64,
    pub(super) retries: u32,
    pub(super) when: i64,
    pub(super) unique: &'a [u8],
    pub(super) payload: Bytes,
    pub(super) reducer: Option<Bytes>,
}

/// An unfinished job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: JobNumber,
    /// FIFO order; renewed when the job goes back to the tail.
    pub(super) order: u64,
    /// The unique, and behind it the payload unless that is large: one allocation.
    text: Bytes,
    rare: Option<Box<Rare>>,
    pub(super) watchers: Watchers,
    pub(super) place: Place,
    pub(super) function: FunctionId,
    unique_len: u32,
    pub(super) retries: u32,
    pub(super) priority: Priority,
    pub(super) background: bool,
    pub(super) standing: Standing,
    /// Its payload is in the store and not here.
    pub(super) spilled: bool,
}

/// What most jobs do not have.
#[derive(Debug, Default)]
struct Rare {
    /// Start time in seconds since 1970-01-01 UTC; 0 is at once.
    when: i64,
    reducer: Option<Bytes>,
    /// A payload that is not worth copying: a slice of what it arrived in. Empty when it stands in `text`.
    payload: Bytes,
}

/// `unique` and what belongs behind it, and the payload that does not.
fn join(unique: &[u8], payload: Bytes) -> (Bytes, Bytes) {
    if unique.len() + payload.len() > COPY_BYTES {
        return (Bytes::copy_from_slice(unique), payload);
    }
    let mut text = Vec::with_capacity(unique.len() + payload.len());
    text.extend_from_slice(unique);
    text.extend_from_slice(&payload);
    (Bytes::from(text), Bytes::new())
}

/// The bytes to keep for as long as a job lives.
pub(super) fn own(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPY_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes }
}

impl Job {
    /// A job that somebody wants.
    pub(super) fn new(draft: Draft<'_>) -> Self {
        let (text, payload) = join(draft.unique, draft.payload);
        let plain = draft.when == 0 && draft.reducer.is_none() && payload.is_empty();
        let rare = || Box::new(Rare { when: draft.when, reducer: draft.reducer.map(own), payload });
        Self {
            number: draft.number,
            order: draft.order,
            text,
            rare: (!plain).then(rare),
            watchers: Watchers::None,
            place: draft.place,
            function: draft.function,
            unique_len: u32::try_from(draft.unique.len()).unwrap_or(u32::MAX),
            retries: draft.retries,
            priority: draft.priority,
            background: draft.background,
            standing: Standing::Wanted,
            spilled: false,
        }
    }

    pub(super) fn unique(&self) -> &[u8] {
        self.text.get(..self.unique_len as usize).unwrap_or_default()
    }

    /// The unique as a value of its own.
    pub(super) fn unique_bytes(&self) -> Bytes {
        self.text.slice(..self.text.len().min(self.unique_len as usize))
    }

    fn large_payload(&self) -> Option<&Bytes> {
        self.rare.as_ref().map(|rare| &rare.payload).filter(|payload| !payload.is_empty())
    }

    /// Empty once nobody wants the job, and while the store has it.
    pub(super) fn payload(&self) -> &[u8] {
        match self.large_payload() {
            Some(payload) => payload,
            None => self.text.get(self.unique_len as usize..).unwrap_or_default(),
        }
    }

    /// The payload as a value of its own.
    pub(super) fn payload_bytes(&self) -> Bytes {
        match self.large_payload() {
            Some(payload) => payload.clone(),
            None => self.text.slice(self.text.len().min(self.unique_len as usize)..),
        }
    }

    pub(super) fn set_payload(&mut self, payload: Bytes) {
        if payload.is_empty() && self.payload().is_empty() {
            return;
        }
        let (text, payload) = join(self.unique(), payload);
        self.text = text;
        match self.rare.as_mut() {
            Some(rare) => rare.payload = payload,
            None if payload.is_empty() => {}
            None => self.rare = Some(Box::new(Rare { payload, ..Rare::default() })),
        }
    }

    /// Start time in seconds since 1970-01-01 UTC; 0 is at once.
    pub(super) fn when(&self) -> i64 {
        self.rare.as_ref().map_or(0, |rare| rare.when)
    }

    pub(super) fn reducer(&self) -> Option<&Bytes> {
        self.rare.as_ref()?.reducer.as_ref()
    }

    /// Whether a worker may have it, as far as the job itself is concerned.
    pub(super) const fn is_runnable(&self) -> bool {
        matches!(self.place, Place::Ready) && matches!(self.standing, Standing::Wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, COPY_BYTES, Draft, FunctionId, Job, JobNumber, Place, Priority, Run};
    use proptest::prelude::*;

    #[test]
    fn a_job_is_small() {
        assert!(size_of::<Job>() <= 96, "{}", size_of::<Job>());
        assert!(size_of::<Option<Job>>() <= 96, "{}", size_of::<Option<Job>>());
        assert!(size_of::<Run>() <= 40, "{}", size_of::<Run>());
    }

    fn job(unique: &[u8], payload: Bytes, when: i64, reducer: Option<Bytes>) -> Job {
        Job::new(Draft {
            number: JobNumber(1),
            function: FunctionId(0),
            priority: Priority::Normal,
            background: true,
            place: Place::Ready,
            order: 1,
            retries: 0,
            when,
            unique,
            payload,
            reducer,
        })
    }

    fn payload() -> impl Strategy<Value = Bytes> {
        prop_oneof![Just(0), 1..100_usize, COPY_BYTES - 70..COPY_BYTES + 70]
            .prop_map(|len| (0..=250_u8).cycle().take(len).collect())
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(
            unique in prop::collection::vec(any::<u8>(), 0..64),
            payloads in prop::collection::vec(payload(), 1..5),
            when in 0..3_i64,
            reducer in prop::option::of(Just(Bytes::from_static(b"r"))),
        ) {
            let mut job = job(&unique, payloads[0].clone(), when, reducer.clone());
            for payload in payloads {
                job.set_payload(payload.clone());
                prop_assert_eq!(job.unique(), &unique);
                prop_assert_eq!(&job.unique_bytes(), &unique);
                prop_assert_eq!(job.payload(), &payload);
                prop_assert_eq!(job.payload_bytes(), payload);
                prop_assert_eq!((job.when(), job.reducer()), (when, reducer.as_ref()));
            }
        }
    }

    #[test]
    fn a_large_payload_is_not_copied_and_a_small_one_does_not_pin_its_packet() {
        let packet = Bytes::from(vec![7; 2 * COPY_BYTES]);
        let large = job(b"u", packet.slice(1..), 0, None);
        assert_eq!(large.payload().as_ptr(), packet.slice(1..).as_ptr());
        let small = job(b"u", packet.slice(..9), 0, None);
        assert!(!packet.is_unique());
        drop(large);
        assert!(packet.is_unique());
        assert_eq!(small.payload(), [7; 9]);
    }
}

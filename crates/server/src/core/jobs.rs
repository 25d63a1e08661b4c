//! The table of unfinished jobs and its indexes: by handle number, by unique.

use super::functions::FunctionId;
use super::job::{Job, JobId, Standing};
use super::numbers::Numbers;
use super::pool::Pool;
use bytes::Bytes;
use conveyor_common::JobNumber;
use std::collections::HashMap;

/// Payloads and keys up to this many bytes are copied when a job is stored, so that a small job does not
/// pin the read buffer it arrived in.
const COPY_BYTES: usize = 32 * 1024;

/// A unique of one dash: jobs with it are the same when their payload is.
const DASH: &[u8] = b"-";

/// All unfinished jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    table: Pool<Job>,
    by_number: Numbers,
    /// Uniques are the peers': std's keyed hash.
    by_unique: HashMap<Bytes, Holders>,
    by_payload: HashMap<(FunctionId, Bytes), JobId>,
}

/// The live jobs with one unique, one a function. Nearly always one.
#[derive(Debug, PartialEq, Eq)]
enum Holders {
    One(JobId),
    Many(Vec<JobId>),
}

impl Holders {
    fn as_slice(&self) -> &[JobId] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// The bytes to keep for as long as a job lives.
pub(super) fn own(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPY_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes }
}

impl Jobs {
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Job> {
        self.table.get(id.slot).filter(|job| generation(job.number) == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.table.get_mut(id.slot).filter(|job| generation(job.number) == id.generation)
    }

    pub(super) fn by_number(&self, number: JobNumber) -> Option<JobId> {
        self.by_number.get(number).map(|slot| JobId { slot, generation: generation(number) })
    }

    /// Stores a new job and makes it findable.
    pub(super) fn insert(&mut self, job: Job) -> JobId {
        let number = job.number;
        let id = JobId { slot: self.table.insert(job), generation: generation(number) };
        self.by_number.insert(number, id.slot);
        self.index_unique(id);
        id
    }

    /// Takes a job out of the table and every index.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Job> {
        self.forget_unique(id);
        self.get(id)?;
        let job = self.table.remove(id.slot)?;
        self.by_number.remove(job.number);
        Some(job)
    }

    /// The live job that a submission of `function` with `unique` joins.
    pub(super) fn coalesces(&self, function: FunctionId, unique: &[u8], payload: &Bytes) -> Option<JobId> {
        match unique {
            b"" => None,
            DASH if payload.is_empty() => None,
            DASH => self.by_payload.get(&(function, payload.clone())).copied(),
            _ => {
                let holders = self.by_unique.get(unique)?.as_slice();
                holders.iter().copied().find(|id| self.get(*id).is_some_and(|job| job.function == function))
            }
        }
    }

    /// The newest job with `unique`, whatever its function. Replay may have met it before older ones.
    pub(super) fn newest_by_unique(&self, unique: &[u8]) -> Option<JobId> {
        let holders = self.by_unique.get(unique)?.as_slice().iter();
        holders.max_by_key(|id| self.get(**id).map(|job| job.number)).copied()
    }

    fn index_unique(&mut self, id: JobId) {
        let Some(job) = self.get(id) else { return };
        let (function, unique, payload) = (job.function, job.unique.clone(), job.payload.clone());
        match unique.as_ref() {
            b"" => {}
            DASH if payload.is_empty() => {}
            DASH => {
                self.by_payload.insert((function, payload), id);
            }
            _ => match self.by_unique.get_mut(&unique) {
                None => {
                    self.by_unique.insert(unique, Holders::One(id));
                }
                Some(Holders::Many(ids)) => ids.push(id),
                Some(one) => {
                    let mut ids = one.as_slice().to_vec();
                    ids.push(id);
                    *one = Holders::Many(ids);
                }
            },
        }
    }

    /// Takes a job out of the unique index only: nothing joins it any more.
    pub(super) fn forget_unique(&mut self, id: JobId) {
        let Some(job) = self.get(id) else { return };
        let (function, unique, payload) = (job.function, job.unique.clone(), job.payload.clone());
        if unique.as_ref() == DASH {
            let key = (function, payload);
            if self.by_payload.get(&key) == Some(&id) {
                self.by_payload.remove(&key);
            }
            return;
        }
        let Some(holders) = self.by_unique.get_mut(&unique) else { return };
        if let Holders::Many(ids) = holders {
            ids.retain(|other| *other != id);
        }
        if *holders == Holders::One(id) || holders.as_slice().is_empty() {
            self.by_unique.remove(&unique);
        }
    }

    /// Gives a job up: an abandoned one keeps its place and its unique but not its payload.
    pub(super) fn stand_down(&mut self, id: JobId, standing: Standing) {
        let dash = self.get(id).is_some_and(|job| job.unique.as_ref() == DASH);
        if dash || standing == Standing::Cancelled {
            self.forget_unique(id);
        }
        if let Some(job) = self.get_mut(id) {
            job.standing = standing;
            job.payload = Bytes::new();
        }
    }

    /// Every job by its id, oldest number first.
    pub(super) fn sorted(&self) -> Vec<(JobId, &Job)> {
        let mut jobs: Vec<_> = self.iter().collect();
        jobs.sort_unstable_by_key(|(_, job)| job.number);
        jobs
    }

    /// Every job, in the order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.table.iter().map(|(slot, job)| (JobId { slot, generation: generation(job.number) }, job))
    }

    /// Sizes of the indexes, for the invariants: numbers, holders of uniques, payloads.
    pub(super) fn index_sizes(&self) -> (usize, usize, usize) {
        let holders = self.by_unique.values().map(|holders| holders.as_slice().len()).sum();
        (self.by_number.count(), holders, self.by_payload.len())
    }
}

/// The part of a number that tells two users of one slot apart.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn generation(number: JobNumber) -> u32 {
    number.0 as u32
}

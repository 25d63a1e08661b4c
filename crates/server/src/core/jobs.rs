//! The table of unfinished jobs and its indexes: by handle number, by unique.

use super::functions::FunctionId;
use super::job::{Job, JobId, Place, Run, RunId, Standing};
use super::numbers::Numbers;
use super::pool::Pool;
use super::uniques::{Index, Keyed};
use bytes::Bytes;
use conveyor_common::{ConnId, JobNumber};

/// A unique of one dash: jobs with it are the same when their payload is.
pub(super) const DASH: &[u8] = b"-";

/// What a job takes beside unique and payload, indexes and queues included.
pub(super) const RECORD_BYTES: usize = 160;

/// All unfinished jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    table: Pool<Job>,
    /// What the workers hold, by the place of the jobs.
    runs: Pool<Run>,
    by_number: Numbers,
    keyed: Keyed,
    /// Jobs with a unique that is one.
    by_unique: Index,
    /// Jobs whose unique is a dash.
    by_payload: Index,
    unique_bytes: usize,
    payload_bytes: usize,
}

/// Where a job stands in the indexes of uniques.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    Unique(u64),
    Payload(u64),
}

impl Jobs {
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    /// What all jobs take without their payloads, about, in bytes.
    pub(super) const fn record_bytes(&self) -> usize {
        self.table.len() * RECORD_BYTES + self.unique_bytes
    }

    /// What all jobs take, about, in bytes.
    pub(super) const fn used_bytes(&self) -> usize {
        self.record_bytes() + self.payload_bytes
    }

    /// Bytes of uniques and payloads, for the invariants.
    pub(super) const fn text_bytes(&self) -> (usize, usize) {
        (self.unique_bytes, self.payload_bytes)
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

    /// Stores a new job and makes it findable, `key` being its own.
    pub(super) fn insert(&mut self, job: Job, key: Option<Key>) -> JobId {
        let (number, function) = (job.number, job.function);
        self.unique_bytes += job.unique().len();
        self.payload_bytes += job.payload().len();
        let id = JobId { slot: self.table.insert(job), generation: generation(number) };
        self.by_number.insert(number, id.slot);
        match key {
            None => {}
            Some(Key::Unique(hash)) => self.by_unique.insert(hash, id.slot, function),
            Some(Key::Payload(hash)) => self.by_payload.insert(hash, id.slot, function),
        }
        id
    }

    /// Stores a job whose key nobody knows yet.
    pub(super) fn insert_anew(&mut self, job: Job) -> JobId {
        let key = self.key_of(&job);
        self.insert(job, key)
    }

    /// Takes a job out of the table and every index.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Job> {
        self.forget_unique(id);
        self.get(id)?;
        let job = self.table.remove(id.slot)?;
        if let Place::Running(run) = job.place {
            self.runs.remove(run.0);
        }
        self.by_number.remove(job.number);
        self.unique_bytes -= job.unique().len();
        self.payload_bytes -= job.payload().len();
        Some(job)
    }

    /// The hold of the worker that has the job.
    pub(super) fn run(&self, id: JobId) -> Option<&Run> {
        match self.get(id)?.place {
            Place::Running(run) => self.runs.get(run.0),
            Place::Ready | Place::Scheduled | Place::Committing | Place::Behind => None,
        }
    }

    /// The worker's hold, when `conn` is that worker.
    pub(super) fn run_by(&self, id: JobId, conn: ConnId) -> Option<&Run> {
        self.run(id).filter(|run| run.conn == conn)
    }

    /// Notes what the worker of a job reports.
    pub(super) fn set_progress(&mut self, id: JobId, numerator: u32, denominator: u32) {
        let Some(Place::Running(run)) = self.get(id).map(|job| job.place) else { return };
        if let Some(run) = self.runs.get_mut(run.0) {
            run.numerator = numerator;
            run.denominator = denominator;
        }
    }

    /// Gives a job that has left its queue to a worker.
    pub(super) fn start(&mut self, id: JobId, run: Run) {
        let Some(job) = self.table.get_mut(id.slot).filter(|job| generation(job.number) == id.generation)
        else {
            return;
        };
        debug_assert!(job.is_runnable(), "only what is ready and wanted is handed out");
        if job.place == Place::Ready {
            job.place = Place::Running(RunId(self.runs.insert(run)));
        }
    }

    /// Takes a running job from its worker. It is in no place until the caller puts it into one.
    pub(super) fn stop(&mut self, id: JobId) -> Option<Run> {
        let job = self.get_mut(id)?;
        let Place::Running(run) = job.place else { return None };
        job.place = Place::Ready;
        self.runs.remove(run.0)
    }

    /// None when nothing can join a job like that. Costs a pass over the payload when the unique is a dash.
    pub(super) fn key(&self, function: FunctionId, unique: &[u8], payload: &[u8]) -> Option<Key> {
        match unique {
            b"" => None,
            DASH if payload.is_empty() => None,
            DASH => Some(Key::Payload(self.keyed.payload(function, payload))),
            _ => Some(Key::Unique(self.keyed.unique(unique))),
        }
    }

    pub(super) fn key_of(&self, job: &Job) -> Option<Key> {
        self.key(job.function, job.unique(), job.payload())
    }

    fn id_at(&self, slot: u32) -> Option<JobId> {
        self.table.get(slot).map(|job| JobId { slot, generation: generation(job.number) })
    }

    /// The live job that a submission of `function` with `unique` joins, `key` being that of the submission.
    pub(super) fn coalesces(
        &self,
        key: Option<Key>,
        function: FunctionId,
        unique: &[u8],
        payload: &[u8],
    ) -> Option<JobId> {
        let job_at = |slot, same: &dyn Fn(&Job) -> bool| self.table.get(slot).is_some_and(same);
        let slot = match key? {
            Key::Unique(hash) => {
                self.by_unique.find(hash, function, |slot| job_at(slot, &|job| job.unique() == unique))
            }
            Key::Payload(hash) => {
                self.by_payload.find(hash, function, |slot| job_at(slot, &|job| job.payload() == payload))
            }
        };
        self.id_at(slot?)
    }

    /// The newest job with `unique`, whatever its function. Replay may have met it before older ones.
    pub(super) fn newest_by_unique(&self, unique: &[u8]) -> Option<JobId> {
        let slots = self.by_unique.all(self.keyed.unique(unique));
        let jobs = slots.filter_map(|slot| Some((slot, self.table.get(slot)?)));
        let newest = jobs.filter(|(_, job)| job.unique() == unique).max_by_key(|(_, job)| job.number);
        newest.and_then(|(slot, _)| self.id_at(slot))
    }

    /// Takes a job out of the unique index only: nothing joins it any more.
    pub(super) fn forget_unique(&mut self, id: JobId) {
        match self.get(id).and_then(|job| self.key_of(job)) {
            None => {}
            Some(Key::Unique(hash)) => self.by_unique.remove(hash, id.slot),
            Some(Key::Payload(hash)) => self.by_payload.remove(hash, id.slot),
        }
    }

    /// Gives a job up: an abandoned one keeps its place and its unique but not its payload.
    pub(super) fn stand_down(&mut self, id: JobId, standing: Standing) {
        let dash = self.get(id).is_some_and(|job| job.unique() == DASH);
        if dash || standing == Standing::Cancelled {
            self.forget_unique(id);
        }
        if let Some(job) = self.get_mut(id) {
            job.standing = standing;
        }
        self.set_payload(id, Bytes::new());
    }

    /// Replaces the payload. The unique of the job must not be a dash, or not in an index.
    pub(super) fn set_payload(&mut self, id: JobId, payload: Bytes) {
        let Some(job) = self.table.get_mut(id.slot).filter(|job| generation(job.number) == id.generation)
        else {
            return;
        };
        self.payload_bytes = self.payload_bytes - job.payload().len() + payload.len();
        job.set_payload(payload);
        job.spilled = false;
    }

    /// Leaves the payload to the store.
    pub(super) fn spill(&mut self, id: JobId) {
        self.set_payload(id, Bytes::new());
        if let Some(job) = self.get_mut(id) {
            job.spilled = true;
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

    /// How many jobs workers hold, for the invariants.
    pub(super) const fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Sizes of the indexes, for the invariants: numbers, uniques, payloads.
    pub(super) fn index_sizes(&self) -> (usize, usize, usize) {
        (self.by_number.count(), self.by_unique.len(), self.by_payload.len())
    }
}

/// The part of a number that tells two users of one slot apart.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn generation(number: JobNumber) -> u32 {
    number.0 as u32
}

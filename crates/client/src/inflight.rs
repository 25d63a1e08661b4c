//! The jobs that have no outcome yet: shared by their handles, the tasks of all servers and the clock. A job is in
//! here exactly as long as somebody waits for it and its outcome is not there; taking it out decides who ends it.

use crate::error::{Error, ErrorKind, JobName, MayHaveRun};
use crate::job::Job;
use crate::job_handle::{Outcome, Update};
use bytes::Bytes;
use conveyor_common::protocol::Request;
use dashmap::DashMap;
use priority_queue::PriorityQueue;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

/// A job of this client, whatever servers call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobKey(pub(crate) u64);

/// A job without outcome.
#[derive(Debug)]
struct Entry {
    job: Job,
    unique: Bytes,
    handle: Option<Bytes>,
    server: Option<Arc<str>>,
    evidence: MayHaveRun,
    /// How often it was given to a server again.
    retried: u32,
    updates: mpsc::Sender<Update>,
    /// How much longer its connection waits for it when it does not take its updates.
    patience: Duration,
    outcome: oneshot::Sender<End>,
    /// Its room among the jobs in flight, given back with the entry.
    _permit: OwnedSemaphorePermit,
}

/// An update that has no room: somebody has to wait with it, for so long at most.
#[derive(Debug)]
pub(crate) struct Full(pub(crate) mpsc::Sender<Update>, pub(crate) Update, pub(crate) Duration);

/// The jobs without outcome.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    jobs: DashMap<JobKey, Entry>,
    last: AtomicU64,
    deadlines: Mutex<PriorityQueue<JobKey, Reverse<Instant>>>,
    /// The earliest deadline has changed.
    pub(crate) sooner: Notify,
}

/// How a job ended, and the server that it was given to last.
pub(crate) type End = (Result<Outcome, Error>, Option<Arc<str>>);

/// The ends of a job that its handle holds.
pub(crate) type Ends = (JobKey, mpsc::Receiver<Update>, oneshot::Receiver<End>);

impl InFlight {
    /// Takes a job in.
    pub(crate) fn insert(
        &self,
        job: Job,
        unique: Bytes,
        deadline: Option<Instant>,
        updates: usize,
        patience: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Ends {
        let key = JobKey(self.last.fetch_add(1, Ordering::Relaxed));
        let (updates, taken) = mpsc::channel(updates);
        let (outcome, ended) = oneshot::channel();
        let entry = Entry {
            job,
            unique,
            handle: None,
            server: None,
            evidence: MayHaveRun::No,
            retried: 0,
            updates,
            patience,
            outcome,
            _permit: permit,
        };
        self.jobs.insert(key, entry);
        if let Some(deadline) = deadline {
            let mut deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
            let first = deadlines.peek().is_none_or(|(_, Reverse(earliest))| deadline < *earliest);
            deadlines.push(key, Reverse(deadline));
            if first {
                self.sooner.notify_one();
            }
        }
        (key, taken, ended)
    }

    /// Takes a job out: whoever gets it ends it.
    fn take(&self, key: JobKey) -> Option<Entry> {
        let (_, entry) = self.jobs.remove(&key)?;
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Some(entry)
    }

    /// The unique by which a job finds its server; none when nobody waits for it any more.
    pub(crate) fn unique(&self, key: JobKey) -> Option<Bytes> {
        self.jobs.get(&key).map(|entry| entry.unique.clone())
    }

    /// The job leaves for `server`: its request, and whether it is a background job.
    pub(crate) fn leave(&self, key: JobKey, server: &Arc<str>) -> Option<(Request, bool)> {
        let mut entry = self.jobs.get_mut(&key)?;
        entry.server = Some(Arc::clone(server));
        // What it was called by the server that it left for before means nothing to this one.
        entry.handle = None;
        entry.evidence = entry.evidence.max(MayHaveRun::Perhaps);
        Some((entry.job.request(entry.unique.clone()), entry.job.is_background()))
    }

    /// A server has the job; a background job ends by that.
    pub(crate) fn created(&self, key: JobKey, handle: Bytes) -> Result<(), Full> {
        let background = {
            let Some(mut entry) = self.jobs.get_mut(&key) else { return Ok(()) };
            entry.handle = Some(handle.clone());
            entry.job.is_background()
        };
        let told = self.update(key, Update::Created(handle.clone()));
        if background {
            self.finish(key, Outcome::Accepted(handle));
        }
        told
    }

    /// Tells an update.
    pub(crate) fn update(&self, key: JobKey, update: Update) -> Result<(), Full> {
        let Some(mut entry) = self.jobs.get_mut(&key) else { return Ok(()) };
        if !matches!(update, Update::Created(_)) {
            entry.evidence = MayHaveRun::Yes;
        }
        match entry.updates.try_send(update) {
            Err(mpsc::error::TrySendError::Full(update)) => Err(Full(entry.updates.clone(), update, entry.patience))
           ,
            // Taken, or nobody wants it.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Its connection has waited for the job.
    pub(crate) fn waited(&self, key: JobKey, time: Duration) {
        if let Some(mut entry) = self.jobs.get_mut(&key) {
            entry.patience = entry.patience.saturating_sub(time);
        }
    }

    /// The job has ended.
    pub(crate) fn finish(&self, key: JobKey, outcome: Outcome) {
        if let Some(entry) = self.take(key) {
            let _ = entry.outcome.send((Ok(outcome), entry.server));
        }
    }

    /// The job ends without outcome.
    pub(crate) fn fail(&self, key: JobKey, kind: ErrorKind) {
        let Some(entry) = self.take(key) else { return };
        let Entry { job, unique, handle, server, evidence, outcome, retried, .. } = entry;
        // Refused by the only server that ever got it.
        let refused = matches!(kind, ErrorKind::Refused { .. }) && retried == 0;
        let may_have_run = if refused { MayHaveRun::No } else { evidence };
        let job = Some(Box::new(JobName { function: job.function, unique, handle }));
        let _ = outcome.send((Err(Error { kind, server: server.clone(), job, may_have_run }), server));
    }

    /// The server of the job is lost: whether it may be given to one again. Else it has ended by that.
    pub(crate) fn retry(&self, key: JobKey, kind: ErrorKind) -> bool {
        {
            let Some(mut entry) = self.jobs.get_mut(&key) else { return false };
            let safe = entry.evidence == MayHaveRun::No || !entry.unique.is_empty();
            if safe && entry.retried < entry.job.retries {
                entry.retried += 1;
                return true;
            }
        }
        self.fail(key, kind);
        false
    }

    /// The jobs that a server has, with its name for each.
    pub(crate) fn placed(&self) -> Vec<(Arc<str>, Bytes)> {
        self.jobs.iter().filter_map(|entry| entry.server.clone().zip(entry.handle.clone())).collect()
    }

    /// Nobody waits for the job any more.
    pub(crate) fn forget(&self, key: JobKey) {
        drop(self.take(key));
    }

    /// Ends jobs whose deadline is over by `now`, and returns the next deadline.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        loop {
            let key = {
                let deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
                let (key, Reverse(deadline)) = deadlines.peek()?;
                if *deadline > now {
                    return Some(*deadline);
                }
                *key
            };
            self.fail(key, ErrorKind::Deadline);
            // Already taken out by somebody who has yet to remove the deadline: do not meet it again.
            self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Unique;
    use tokio::sync::Semaphore;

    fn insert(table: &InFlight, job: Job, deadline: Option<Instant>) -> Ends {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let unique = job.wire_unique().unwrap();
        table.insert(job, unique, deadline, 1, Duration::from_secs(1), permit)
    }

    fn lost() -> ErrorKind {
        ErrorKind::Lost("gone".into())
    }

    #[test]
    fn a_job_that_has_left_is_given_again_only_with_a_unique_and_as_often_as_it_may() {
        let (table, server) = (InFlight::default(), Arc::from("s"));
        let (plain, _updates, mut ended) = insert(&table, Job::new("f", ""), None);
        assert!(table.retry(plain, lost()), "it has not left");
        assert!(table.leave(plain, &server).is_some());
        assert!(!table.retry(plain, lost()));
        assert_eq!(ended.try_recv().unwrap().0.unwrap_err().may_have_run, MayHaveRun::Perhaps);

        let job = Job::new("f", "").unique(Unique::Random).retries(1);
        let (safe, _updates, mut ended) = insert(&table, job, None);
        table.leave(safe, &server);
        assert!(table.update(safe, Update::Data("d".into())).is_ok());
        assert!(table.retry(safe, lost()));
        assert!(!table.retry(safe, lost()));
        let error = ended.try_recv().unwrap().0.unwrap_err();
        assert_eq!((error.may_have_run, error.kind), (MayHaveRun::Yes, lost()));
    }

    #[test]
    fn a_refused_job_has_not_run() {
        let table = InFlight::default();
        let (key, _updates, mut ended) = insert(&table, Job::new("f", ""), None);
        table.leave(key, &Arc::from("s"));
        table.fail(key, ErrorKind::Refused { code: "QUEUE_ERROR".into(), text: String::new() });
        assert_eq!(ended.try_recv().unwrap().0.unwrap_err().may_have_run, MayHaveRun::No);
    }

    #[test]
    fn deadlines_end_their_jobs_and_leave_with_them() {
        let table = InFlight::default();
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let (first, _u1, mut ended) = insert(&table, Job::new("f", ""), Some(after(1)));
        let (second, _u2, _o2) = insert(&table, Job::new("f", ""), Some(after(2)));
        assert_eq!(table.expire(now), Some(after(1)));
        assert_eq!(table.expire(after(1)), Some(after(2)));
        let error = ended.try_recv().unwrap().0.unwrap_err();
        assert_eq!((error.kind, error.may_have_run), (ErrorKind::Deadline, MayHaveRun::No));
        table.forget(first);
        table.forget(second);
        assert_eq!(table.expire(now), None);
        assert!(table.jobs.is_empty());
    }

    #[test]
    fn an_update_without_room_comes_back() {
        let table = InFlight::default();
        let (key, _updates, _outcome) = insert(&table, Job::new("f", ""), None);
        assert!(table.update(key, Update::Data("1".into())).is_ok());
        table.waited(key, Duration::from_millis(300));
        let Full(_, update, patience) = table.update(key, Update::Data("2".into())).unwrap_err();
        assert_eq!((update, patience), (Update::Data("2".into()), Duration::from_millis(700)));
    }
}

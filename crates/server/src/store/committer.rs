//! The thread that stores changes: it always commits whatever came while the last commit ran.

use super::{Flush, Store, StoreError};
use crate::core::Change;
use conveyor_common::{JobNumber, Priority};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

/// Bytes of changes that wait to be stored, about, from which on nothing more is read from anybody.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// What a change takes beside its payload, about.
const CHANGE_BYTES: usize = 200;

/// Ends of stored jobs that are remembered for the log when the store refuses.
const MOST_LISTED: usize = 100;

/// How far it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The last stored change, counted from 1.
    pub(crate) stored: u64,
    /// The store refused a change, with these words.
    pub(crate) failed: Option<Arc<str>>,
}

/// What waits.
#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<Change>,
    bytes: usize,
    /// Numbers are reserved, which is not to wait for the pause between two commits: they are told already, or soon.
    urgent: bool,
    closing: bool,
    /// Nobody takes changes any more.
    refused: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the thread. Dropping it stores what waits, and ends the thread.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    progress: watch::Receiver<Progress>,
}

impl Committer {
    pub(crate) fn start(store: Box<dyn Store>, flush: Flush) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (told, progress) = watch::channel(Progress::default());
        let committing = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("conveyor-commit".to_owned())
            .spawn(move || commit_all(store, flush, &committing, &told))?;
        Ok(Self { shared, thread: Some(thread), progress })
    }

    /// Hands changes over. They are counted in this order.
    pub(crate) fn append(&self, changes: &mut Vec<Change>) {
        let mut waiting = self.shared.lock();
        if waiting.refused {
            return note_lost(changes.drain(..));
        }
        waiting.bytes += changes.iter().map(size).sum::<usize>();
        waiting.urgent |= changes.iter().any(|change| matches!(change, Change::NumbersReserved { .. }));
        waiting.changes.append(changes);
        self.shared.more.notify_one();
    }

    /// Whether so much waits that nothing more is to be read.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.lock().bytes > MOST_WAITING_BYTES
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.more.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that stores jobs ended by a panic");
        }
    }
}

fn size(change: &Change) -> usize {
    CHANGE_BYTES + if let Change::Added(record) = change { record.payload.len() } else { 0 }
}

fn commit_all(mut store: Box<dyn Store>, flush: Flush, shared: &Shared, told: &watch::Sender<Progress>) {
    let mut stored = 0;
    loop {
        let (changes, closing) = {
            let mut waiting = shared.lock();
            while waiting.changes.is_empty() && !waiting.closing {
                waiting = shared.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            waiting.bytes = 0;
            waiting.urgent = false;
            (std::mem::take(&mut waiting.changes), waiting.closing)
        };
        if changes.is_empty() {
            return store.close();
        }
        let start = Instant::now();
        let count = changes.len() as u64;
        if let Err(error) = store.commit(&without_passing_jobs(changes)) {
            refuse(&error, shared, told, stored);
            return store.close();
        }
        stored += count;
        told.send_modify(|progress| progress.stored = stored);
        if let Flush::Every(pause) = flush
            && !closing
        {
            wait_until(shared, start, pause);
        }
    }
}

/// Waits for the rest of `pause`, or until something is urgent or it is time to end.
fn wait_until(shared: &Shared, start: Instant, pause: std::time::Duration) {
    let mut waiting = shared.lock();
    while !waiting.closing && !waiting.urgent {
        let Some(rest) = pause.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) else { return };
        waiting = shared.more.wait_timeout(waiting, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// From here on nothing is stored: a failed write says nothing about what is on the medium.
fn refuse(error: &StoreError, shared: &Shared, told: &watch::Sender<Progress>, stored: u64) {
    tracing::error!(
        %error,
        "background jobs are refused until the server is started again; foreground jobs go on"
    );
    let left = {
        let mut waiting = shared.lock();
        waiting.refused = true;
        std::mem::take(&mut waiting.changes)
    };
    let failed = Some(Arc::from(error.to_string()));
    told.send_replace(Progress { stored, failed });
    note_lost(left.into_iter());
}

/// Ends of stored jobs that cannot be stored: they are as if they had not ended when the server comes back.
fn note_lost(changes: impl Iterator<Item = Change>) {
    let ended = changes.filter_map(|change| match change {
        Change::Removed { number, .. } => Some(number),
        _ => None,
    });
    for number in ended.take(MOST_LISTED) {
        tracing::warn!(job = number.0, "this job has ended, but may run again after the next start");
    }
}

/// The changes but for those of jobs that came and went among them.
fn without_passing_jobs(changes: Vec<Change>) -> Vec<Change> {
    let mut added: HashMap<(JobNumber, Priority), usize> = HashMap::new();
    let mut passing: HashSet<(JobNumber, Priority)> = HashSet::new();
    for change in &changes {
        match change {
            Change::Added(record) => *added.entry((record.number, record.priority)).or_default() += 1,
            Change::Removed { number, priority } if added.contains_key(&(*number, *priority)) => {
                passing.insert((*number, *priority));
            }
            _ => {}
        }
    }
    if passing.is_empty() {
        return changes;
    }
    let kept = |change: &Change| match change {
        Change::Added(record) => !passing.contains(&(record.number, record.priority)),
        Change::Lost { number, priority, .. } | Change::Removed { number, priority } => {
            !passing.contains(&(*number, *priority))
        }
        _ => true,
    };
    changes.into_iter().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Record;
    use bytes::Bytes;

    fn added(number: u64) -> Change {
        Change::Added(Record {
            number: JobNumber(number),
            order: number,
            function: Bytes::from_static(b"f"),
            unique: Bytes::new(),
            priority: Priority::Normal,
            reducer: None,
            when: 0,
            retries: 0,
            payload: Bytes::new(),
        })
    }

    fn removed(number: u64) -> Change {
        Change::Removed { number: JobNumber(number), priority: Priority::Normal }
    }

    /// Notes what it is told, and refuses from a given commit on.
    struct Noting {
        commits: Arc<Mutex<Vec<Vec<Change>>>>,
        good: usize,
    }

    impl Store for Noting {
        fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
            let mut commits = self.commits.lock().unwrap();
            if commits.len() == self.good {
                return Err(StoreError::Failed { doing: "store jobs", what: "a test".to_owned() });
            }
            commits.push(changes.to_vec());
            Ok(())
        }

        fn close(self: Box<Self>) {}
    }

    #[test]
    fn a_job_that_came_and_went_in_one_batch_is_not_stored() {
        let lost = Change::Lost { number: JobNumber(1), priority: Priority::Normal, retries: 1, order: 9 };
        let kept = without_passing_jobs(vec![removed(7), added(1), added(2), lost, removed(1)]);
        assert_eq!(kept, [removed(7), added(2)]);
    }

    #[tokio::test]
    async fn changes_are_counted_whatever_becomes_of_them_and_the_rest_is_stored_at_the_end() {
        let commits = Arc::new(Mutex::new(Vec::new()));
        let store = Noting { commits: Arc::clone(&commits), good: usize::MAX };
        let committer = Committer::start(Box::new(store), Flush::Each).unwrap();
        let mut progress = committer.progress();
        committer.append(&mut vec![added(1), removed(1), added(2)]);
        progress.wait_for(|progress| progress.stored == 3).await.unwrap();
        committer.append(&mut vec![removed(2)]);
        drop(committer);
        assert_eq!(commits.lock().unwrap().concat(), [added(2), removed(2)]);
    }

    #[tokio::test]
    async fn nothing_is_stored_behind_a_change_that_was_refused() {
        let commits = Arc::new(Mutex::new(Vec::new()));
        let store = Noting { commits: Arc::clone(&commits), good: 1 };
        let committer = Committer::start(Box::new(store), Flush::Each).unwrap();
        let mut progress = committer.progress();
        committer.append(&mut vec![added(1)]);
        progress.wait_for(|progress| progress.stored == 1).await.unwrap();
        committer.append(&mut vec![added(2)]);
        let failed = progress.wait_for(|progress| progress.failed.is_some()).await.unwrap().clone();
        assert_eq!(failed.stored, 1);
        committer.append(&mut vec![added(3)]);
        drop(committer);
        assert_eq!(commits.lock().unwrap().concat(), [added(1)]);
    }
}

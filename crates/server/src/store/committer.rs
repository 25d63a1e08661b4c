//! The thread that stores changes: it always commits whatever came while the last commit ran.

use super::{Flush, Store, StoreError};
use crate::core::Change;
use conveyor_common::{JobNumber, Priority};
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bytes of changes that wait to be stored, about, from which on nothing more is read from anybody.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// What a change takes beside its payload, about.
const CHANGE_BYTES: usize = 200;

/// Ends of stored jobs that are remembered for the log when the store refuses.
const MOST_LISTED: usize = 100;

/// What became of changes, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All up to this one are stored, but for those that were refused before.
    Stored { through: u64 },
    /// Those behind the last one told about, up to this one, are refused.
    Refused { through: u64 },
    /// The store cannot be reached, with these words.
    Away(Arc<str>),
    /// It can be reached again.
    Back,
    /// Nothing will be stored any more, with these words.
    Failed(Arc<str>),
}

/// What was not told yet.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    list: Arc<watch::Sender<Vec<Outcome>>>,
    news: watch::Receiver<Vec<Outcome>>,
}

impl Outcomes {
    fn new() -> Self {
        let (list, news) = watch::channel(Vec::new());
        Self { list: Arc::new(list), news }
    }

    /// Adds one. There are no more than batches handed over, and nothing is handed over while they wait.
    fn tell(&self, outcome: Outcome) {
        self.list.send_modify(|list| {
            if let (Outcome::Stored { .. }, Some(Outcome::Stored { .. })) = (&outcome, list.last()) {
                list.pop();
            }
            list.push(outcome);
        });
    }

    /// Waits for some.
    pub(crate) async fn next(&mut self) -> Vec<Outcome> {
        // The sender is held here too: there is always one.
        let _ = self.news.wait_for(|list| !list.is_empty()).await;
        let mut taken = Vec::new();
        self.list.send_if_modified(|list| {
            taken = std::mem::take(list);
            false
        });
        taken
    }
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
    outcomes: Outcomes,
}

impl Committer {
    pub(crate) fn start(store: Box<dyn Store>, flush: Flush) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let outcomes = Outcomes::new();
        let committing = Committing { shared: Arc::clone(&shared), told: outcomes.clone(), counted: 0 };
        let thread = std::thread::Builder::new()
            .name("conveyor-commit".to_owned())
            .spawn(move || committing.run(store, flush))?;
        Ok(Self { shared, thread: Some(thread), outcomes })
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

    pub(crate) fn outcomes(&self) -> Outcomes {
        self.outcomes.clone()
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

/// The thread's side.
struct Committing {
    shared: Arc<Shared>,
    told: Outcomes,
    /// The last change whose outcome is known.
    counted: u64,
}

impl Committing {
    fn run(mut self, mut store: Box<dyn Store>, flush: Flush) {
        let mut away = false;
        loop {
            let again = store.catch_up();
            if away && again.is_none() {
                away = false;
                self.told.tell(Outcome::Back);
            }
            let (changes, closing) = self.take(again);
            if changes.is_empty() {
                if closing {
                    return store.close();
                }
                continue;
            }
            let start = Instant::now();
            match self.commit(&mut *store, changes) {
                Ok(()) => {}
                Err(StoreError::Away { what }) => {
                    if !away {
                        self.told.tell(Outcome::Away(what.into()));
                    }
                    away = true;
                }
                Err(error) => {
                    self.refuse_all(&error);
                    return store.close();
                }
            }
            if let Flush::Every(pause) = flush
                && !closing
            {
                wait_until(&self.shared, start, pause);
            }
        }
    }

    /// What waits, as soon as something does, or after `most`.
    fn take(&self, most: Option<Duration>) -> (Vec<Change>, bool) {
        let start = Instant::now();
        let mut waiting = self.shared.lock();
        while waiting.changes.is_empty() && !waiting.closing {
            waiting = match most.map(|most| most.saturating_sub(start.elapsed())) {
                None => self.shared.more.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(rest) => {
                    let woken = self.shared.more.wait_timeout(waiting, rest);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        waiting.bytes = 0;
        waiting.urgent = false;
        (std::mem::take(&mut waiting.changes), waiting.closing)
    }

    /// Commits a batch, and tells what became of it. An error is about more than single changes.
    fn commit(&mut self, store: &mut dyn Store, changes: Vec<Change>) -> Result<(), StoreError> {
        let through = self.counted + changes.len() as u64;
        let (changes, places) = without_passing_jobs(changes);
        match store.commit(&changes) {
            Ok(()) => {}
            Err(StoreError::Refused { .. }) => self.commit_one_by_one(store, &changes, &places)?,
            Err(error @ StoreError::Away { .. }) => {
                self.count(Outcome::Refused { through }, through);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        self.count(Outcome::Stored { through }, through);
        Ok(())
    }

    /// Finds the changes that the store refuses.
    fn commit_one_by_one(
        &mut self,
        store: &mut dyn Store,
        changes: &[Change],
        places: &[u64],
    ) -> Result<(), StoreError> {
        let (before, mut away) = (self.counted, None);
        for (change, place) in changes.iter().zip(places) {
            let this = before + place;
            match store.commit(std::slice::from_ref(change)) {
                Ok(()) => continue,
                Err(error @ StoreError::Refused { .. }) => tracing::warn!(%error, "a job is refused"),
                Err(error @ StoreError::Away { .. }) => away = Some(error),
                Err(error) => return Err(error),
            }
            self.count(Outcome::Stored { through: this - 1 }, this - 1);
            self.count(Outcome::Refused { through: this }, this);
        }
        let Some(error) = away else { return Ok(()) };
        let last = before + places.last().copied().unwrap_or_default();
        self.count(Outcome::Stored { through: last }, last);
        Err(error)
    }

    fn count(&mut self, outcome: Outcome, through: u64) {
        if through > self.counted {
            self.counted = through;
            self.told.tell(outcome);
        }
    }

    /// From here on nothing is stored: a failed write says nothing about what is on the medium.
    fn refuse_all(&self, error: &StoreError) {
        tracing::error!(
            %error,
            "background jobs are refused until the server is started again; foreground jobs go on"
        );
        let left = {
            let mut waiting = self.shared.lock();
            waiting.refused = true;
            std::mem::take(&mut waiting.changes)
        };
        self.told.tell(Outcome::Failed(error.to_string().into()));
        note_lost(left.into_iter());
    }
}

/// Waits for the rest of `pause`, or until something is urgent or it is time to end.
fn wait_until(shared: &Shared, start: Instant, pause: Duration) {
    let mut waiting = shared.lock();
    while !waiting.closing && !waiting.urgent {
        let Some(rest) = pause.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) else { return };
        waiting = shared.more.wait_timeout(waiting, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
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

/// The changes but for those of jobs that came and went among them, and the place of each, counted from 1.
fn without_passing_jobs(changes: Vec<Change>) -> (Vec<Change>, Vec<u64>) {
    let mut added: HashSet<(JobNumber, Priority)> = HashSet::new();
    let mut passing: HashSet<(JobNumber, Priority)> = HashSet::new();
    for change in &changes {
        match change {
            Change::Added(record) => drop(added.insert((record.number, record.priority))),
            Change::Removed { number, priority, .. } if added.contains(&(*number, *priority)) => {
                passing.insert((*number, *priority));
            }
            _ => {}
        }
    }
    let kept = |change: &Change| match change {
        Change::Added(record) => !passing.contains(&(record.number, record.priority)),
        Change::Lost { number, priority, .. } | Change::Removed { number, priority, .. } => {
            !passing.contains(&(*number, *priority))
        }
        _ => true,
    };
    changes.into_iter().zip(1..).filter(|(change, _)| kept(change)).unzip()
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
        Change::Removed {
            number: JobNumber(number),
            priority: Priority::Normal,
            function: Bytes::from_static(b"f"),
            unique: false,
        }
    }

    const AWAY: u64 = 100;
    const BAD: u64 = 200;

    /// Notes what it is told. It is away for some jobs, refuses others, and breaks from a given commit on.
    struct Noting {
        commits: Arc<Mutex<Vec<Vec<Change>>>>,
        good: usize,
    }

    impl Store for Noting {
        fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
            let mut commits = self.commits.lock().unwrap();
            let adds = |number| changes.contains(&added(number));
            if commits.len() == self.good {
                return Err(StoreError::Failed { doing: "store jobs", what: "a test".to_owned() });
            }
            if adds(AWAY) {
                return Err(StoreError::Away { what: "a test".to_owned() });
            }
            if adds(BAD) {
                return Err(StoreError::Refused { what: "a test".to_owned() });
            }
            commits.push(changes.to_vec());
            Ok(())
        }

        fn close(self: Box<Self>) {}
    }

    fn start(good: usize) -> (Committer, Outcomes, Arc<Mutex<Vec<Vec<Change>>>>) {
        let commits = Arc::new(Mutex::new(Vec::new()));
        let store = Noting { commits: Arc::clone(&commits), good };
        let committer = Committer::start(Box::new(store), Flush::Each).unwrap();
        let outcomes = committer.outcomes();
        (committer, outcomes, commits)
    }

    /// So many outcomes.
    async fn told(outcomes: &mut Outcomes, count: usize) -> Vec<Outcome> {
        let mut list = Vec::new();
        while list.len() < count {
            list.extend(outcomes.next().await);
        }
        list
    }

    #[test]
    fn a_job_that_came_and_went_in_one_batch_is_not_stored() {
        let lost = Change::Lost { number: JobNumber(1), priority: Priority::Normal, retries: 1, order: 9 };
        let (kept, places) = without_passing_jobs(vec![removed(7), added(1), added(2), lost, removed(1)]);
        assert_eq!((kept, places), (vec![removed(7), added(2)], vec![1, 3]));
    }

    #[tokio::test]
    async fn changes_are_counted_whatever_becomes_of_them_and_the_rest_is_stored_at_the_end() {
        let (committer, mut outcomes, commits) = start(usize::MAX);
        committer.append(&mut vec![added(1), removed(1), added(2)]);
        assert_eq!(told(&mut outcomes, 1).await, [Outcome::Stored { through: 3 }]);
        committer.append(&mut vec![removed(2)]);
        drop(committer);
        assert_eq!(commits.lock().unwrap().concat(), [added(2), removed(2)]);
    }

    #[tokio::test]
    async fn nothing_is_stored_behind_a_change_that_failed() {
        let (committer, mut outcomes, commits) = start(1);
        committer.append(&mut vec![added(1)]);
        assert_eq!(told(&mut outcomes, 1).await, [Outcome::Stored { through: 1 }]);
        committer.append(&mut vec![added(2)]);
        assert!(matches!(told(&mut outcomes, 1).await[..], [Outcome::Failed(_)]));
        committer.append(&mut vec![added(3)]);
        drop(committer);
        assert_eq!(commits.lock().unwrap().concat(), [added(1)]);
    }

    #[tokio::test]
    async fn a_job_that_has_no_place_is_refused_and_its_neighbours_are_not() {
        let (committer, mut outcomes, commits) = start(usize::MAX);
        committer.append(&mut vec![added(1), added(5), removed(5), added(BAD), added(2)]);
        let expected =
            [Outcome::Stored { through: 3 }, Outcome::Refused { through: 4 }, Outcome::Stored { through: 5 }];
        assert_eq!(told(&mut outcomes, 3).await, expected);
        drop(committer);
        assert_eq!(commits.lock().unwrap().concat(), [added(1), added(2)]);
    }

    #[tokio::test]
    async fn a_store_that_is_away_refuses_one_batch_and_takes_the_next() {
        let (committer, mut outcomes, commits) = start(usize::MAX);
        committer.append(&mut vec![added(1), added(AWAY)]);
        let list = told(&mut outcomes, 3).await;
        assert!(
            matches!(list[..], [Outcome::Refused { through: 2 }, Outcome::Away(_), Outcome::Back]),
            "{list:?}"
        );
        committer.append(&mut vec![added(3)]);
        assert_eq!(told(&mut outcomes, 1).await, [Outcome::Stored { through: 3 }]);
        drop(committer);
        assert_eq!(commits.lock().unwrap().concat(), [added(3)]);
    }
}

//! What the server promised, and what the workers did.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What the client knows of a job.
#[derive(Clone, Debug, PartialEq)]
enum State {
    /// The server may have it.
    Sent,
    Acknowledged(Vec<u8>, Instant),
    Refused(String),
}

/// A job that a worker was given.
#[derive(Debug)]
struct Run {
    life: usize,
    /// WORK_COMPLETE was sent.
    reported: bool,
    /// And a later change of the same connection was promised to be stored.
    settled: bool,
}

#[derive(Debug)]
struct Entry {
    unique: bool,
    function: &'static str,
    state: State,
    runs: Vec<Run>,
    /// It was acknowledged so shortly before a kill that it may be lost.
    doubtful: bool,
}

#[derive(Debug, Default)]
struct Book {
    life: usize,
    jobs: Vec<Entry>,
    /// Which job has a handle, over all lives.
    owners: HashMap<Vec<u8>, usize>,
    acknowledged_in_this_life: usize,
    outstanding: usize,
    outstanding_at_kills: Vec<usize>,
}

impl Book {
    fn own(&mut self, handle: &[u8], id: usize) {
        let owner = *self.owners.entry(handle.to_owned()).or_insert(id);
        assert_eq!(owner, id, "{} was given to two jobs", String::from_utf8_lossy(handle));
    }
}

/// A job that is known to wait, with its handle.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: usize,
    pub(crate) handle: Vec<u8>,
    pub(crate) unique: bool,
}

/// Shared by everybody who submits or works.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// A job is about to be sent: its id.
    pub(crate) fn sent(&self, function: &'static str, unique: bool) -> usize {
        let mut book = self.lock();
        let entry = Entry { unique, function, state: State::Sent, runs: Vec::new(), doubtful: false };
        book.jobs.push(entry);
        book.jobs.len() - 1
    }

    /// The answer to its submission was read.
    pub(crate) fn answered(&self, id: usize, answer: Result<Vec<u8>, String>) {
        let mut book = self.lock();
        book.jobs[id].state = match answer {
            Ok(handle) => {
                book.own(&handle, id);
                book.acknowledged_in_this_life += 1;
                book.outstanding += usize::from(book.jobs[id].runs.is_empty());
                State::Acknowledged(handle, Instant::now())
            }
            Err(words) => State::Refused(words),
        };
    }

    /// A worker was given it.
    pub(crate) fn started(&self, id: usize, handle: &[u8]) {
        let mut book = self.lock();
        book.own(handle, id);
        let life = book.life;
        let first = book.jobs[id].runs.is_empty();
        let waited =
            first && !book.jobs[id].doubtful && matches!(book.jobs[id].state, State::Acknowledged(..));
        book.outstanding -= usize::from(waited);
        book.jobs[id].runs.push(Run { life, reported: false, settled: false });
    }

    /// WORK_COMPLETE was sent.
    pub(crate) fn reported(&self, id: usize) {
        self.lock().jobs[id].runs.last_mut().unwrap().reported = true;
    }

    /// What was reported of these is stored: they must not run again.
    pub(crate) fn settled(&self, ids: impl IntoIterator<Item = usize>) {
        let mut book = self.lock();
        for id in ids {
            book.jobs[id].runs.last_mut().unwrap().settled = true;
        }
    }

    pub(crate) fn acknowledged_in_this_life(&self) -> usize {
        self.lock().acknowledged_in_this_life
    }

    /// Acknowledged jobs that no worker was given yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.lock().outstanding
    }

    /// The server was killed; what was acknowledged no longer ago than `window` may be lost.
    pub(crate) fn killed(&self, window: Duration, when: Instant) {
        let book = &mut *self.lock();
        book.life += 1;
        book.acknowledged_in_this_life = 0;
        book.outstanding_at_kills.push(book.outstanding);
        for job in &mut book.jobs {
            if let State::Acknowledged(_, at) = &job.state
                && !window.is_zero()
                && job.runs.is_empty()
                && *at + window >= when
                && !job.doubtful
            {
                job.doubtful = true;
                book.outstanding -= 1;
            }
        }
    }

    /// Jobs of a function that must be there now: everything about them is known.
    pub(crate) fn waiting(&self, function: &str) -> Vec<Waiting> {
        let book = self.lock();
        let waiting = |(id, job): (usize, &Entry)| match &job.state {
            State::Acknowledged(handle, _)
                if job.runs.is_empty() && !job.doubtful && job.function == function =>
            {
                Some(Waiting { id, handle: handle.clone(), unique: job.unique })
            }
            _ => None,
        };
        book.jobs.iter().enumerate().filter_map(waiting).collect()
    }

    /// When nothing is left: the counts, if everything is as it was promised.
    pub(crate) fn close(&self) -> Counts {
        let book = self.lock();
        let mut counts = Counts { outstanding: book.outstanding_at_kills.clone(), ..Counts::default() };
        for (id, job) in book.jobs.iter().enumerate() {
            counts.submitted += 1;
            match &job.state {
                State::Sent => counts.unanswered += 1,
                State::Refused(words) => {
                    assert!(job.runs.is_empty(), "job {id} was refused ({words}) and ran");
                    counts.refused += 1;
                }
                State::Acknowledged(..) => {
                    counts.acknowledged += 1;
                    if job.runs.is_empty() {
                        assert!(job.doubtful, "job {id} was acknowledged and is lost: {job:?}");
                        counts.lost += 1;
                    }
                }
            }
            for pair in job.runs.windows(2) {
                assert!(pair[0].life < pair[1].life, "job {id} ran twice in one life: {job:?}");
                assert!(!pair[0].settled, "job {id} was finished for good and ran again: {job:?}");
                counts.reported_and_run_again += usize::from(pair[0].reported);
                counts.running_and_run_again += usize::from(!pair[0].reported);
            }
            counts.settled += usize::from(job.runs.iter().any(|run| run.settled));
        }
        counts
    }
}

/// Counts of what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Acknowledged jobs not started at each kill.
    pub(crate) outstanding: Vec<usize>,
    /// More kills, that came before all stored jobs were read.
    pub(crate) while_reading: usize,
    pub(crate) submitted: usize,
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unanswered: usize,
    pub(crate) lost: usize,
    pub(crate) settled: usize,
    pub(crate) reported_and_run_again: usize,
    pub(crate) running_and_run_again: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.outstanding.extend(other.outstanding);
        self.while_reading += other.while_reading;
        self.submitted += other.submitted;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.lost += other.lost;
        self.settled += other.settled;
        self.reported_and_run_again += other.reported_and_run_again;
        self.running_and_run_again += other.running_and_run_again;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills, {} more while jobs were read; ", self.outstanding.len(), self.while_reading)?;
        write!(f, "{} submitted, {} acknowledged, ", self.submitted, self.acknowledged)?;
        write!(f, "{} refused, {} unanswered, ", self.refused, self.unanswered)?;
        write!(f, "{} lost, {} settled before a kill, ", self.lost, self.settled)?;
        write!(f, "{} run again after a report, ", self.reported_and_run_again)?;
        write!(f, "{} run again after none", self.running_and_run_again)
    }
}

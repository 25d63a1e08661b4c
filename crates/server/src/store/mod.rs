//! Where background jobs outlive the process.
//!
//! A [`Store`] applies batches of the core's changes; a [`Loader`] reads the jobs of an earlier process; a
//! [`Fetcher`] reads single payloads that were left to the store. Each has a thread of its own: see `committer`
//! and `reader`. What the three promise together is written down, and checked for every store, in
//! `tests/store`.

mod committer;
mod directory;
mod error;
pub mod gearmand;
mod reader;
pub mod sqlite;
mod transfer;

pub use directory::{DataDirectory, Owner};
pub use error::StoreError;
pub use transfer::{Transfer, Transferred};

pub(crate) use committer::{Committer, Outcome, Outcomes};
pub(crate) use reader::{Fetched, Loaded, Loading, Reader};

use crate::core::{Change, Keeps, Row, StoredJob, Unread};
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use std::path::PathBuf;
use std::time::Duration;

/// When a change counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When it is on the medium. Submissions wait for that.
    Each,
    /// At once; it is on the medium at most about so much later.
    Every(Duration),
    /// At once; when it is on the medium is up to the system. It survives the process, not the machine.
    Never,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The default one.
    Durable(StoreConfig),
    /// One of gearmand's.
    Gearmand(gearmand::GearmandStore),
}

impl Backend {
    /// When a change counts as stored.
    #[must_use]
    pub const fn flush(&self) -> Flush {
        match self {
            Self::Durable(config) => config.flush,
            Self::Gearmand(_) => Flush::Each,
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// It cannot be used; the error says what to do.
    pub fn open(&self) -> Result<Opened, StoreError> {
        match self {
            Self::Durable(config) => sqlite::open(config),
            Self::Gearmand(config) => gearmand::open(config),
        }
    }

    /// What it can do.
    #[must_use]
    pub const fn keeps(&self) -> Keeps {
        match self {
            Self::Durable(_) => Keeps { start_times: true, payloads: true },
            Self::Gearmand(config) => {
                Keeps { start_times: config.place.keeps_start_times(), payloads: false }
            }
        }
    }
}

/// Where it is, in words.
impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Durable(config) => config.directory.display().fmt(f),
            Self::Gearmand(config) => config.place.fmt(f),
        }
    }
}

/// Where the default store is, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Directory of the default store; made when it is not there.
    pub directory: PathBuf,
    /// When a change counts as stored.
    pub flush: Flush,
}

/// Takes changes. Jobs are found by number and priority.
pub trait Store: Send {
    /// Makes all changes, in order, or none of them; after success they are as safe as [`Flush`] says.
    ///
    /// # Errors
    /// They were not made, and none of them comes to light later, even if the process is killed now. After
    /// [`StoreError::Refused`] each of several is tried alone, after
    /// [`StoreError::Away`] later ones are tried, and what was not an added job is made before those. After any
    /// other error no commit will be tried.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Makes up for what it could not do, if that is possible by now. When to be called again; none when nothing
    /// is left to do.
    fn catch_up(&mut self) -> Option<Duration> {
        None
    }

    /// Ends in order.
    fn close(self: Box<Self>);
}

/// Reads the jobs of an earlier process: those of high priority first, within a priority the oldest first.
pub trait Loader: Send {
    /// The next jobs, and the priority of those behind them; none of those when these are the last. Payloads of
    /// about `room` bytes in all are read along with the jobs, others stay in the store; `room` becomes less.
    ///
    /// # Errors
    /// The store cannot be read.
    fn next_jobs(&mut self, room: &mut usize) -> Result<(Vec<StoredJob>, Option<Priority>), StoreError>;
}

/// Reads single payloads, and looks for single jobs.
pub trait Fetcher: Send {
    /// The payload of a job, if it is stored.
    ///
    /// # Errors
    /// The store cannot be read.
    fn fetch(&mut self, number: JobNumber, priority: Priority) -> Result<Option<Bytes>, StoreError>;

    /// Where the job with a number is, whatever its priority, if it is stored.
    ///
    /// # Errors
    /// The store cannot be read.
    fn find(&mut self, number: JobNumber) -> Result<Option<Row>, StoreError>;
}

/// An open store.
pub struct Opened {
    /// Takes changes.
    pub store: Box<dyn Store>,
    /// Reads jobs.
    pub loader: Box<dyn Loader>,
    /// All jobs are taken in before anybody is served: for a loader that has read them already.
    pub load_first: bool,
    /// Reads payloads; none for a store that all payloads are read from at once, which must be one to `load_first`.
    pub fetcher: Option<Box<dyn Fetcher>>,
    /// Changes to restore before anything else: reserved numbers, functions, their limits.
    pub head: Vec<Change>,
    /// How many jobs there are.
    pub unread: Vec<Unread>,
    /// What is to be held as long as the store is used.
    pub guard: Option<DataDirectory>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("functions", &self.unread.len()).finish_non_exhaustive()
    }
}

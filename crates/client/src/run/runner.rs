//! Runs a run: sockets, clock and journal; what happens next is for the [`Ledger`](super::Ledger) to say.

use super::journal::Journal;
use super::ledger::{Abort, Counts};
use super::policy::Policy;
use super::report::Report;
use super::task::RunTask;
use super::verdict::Verdict;
use crate::error::Error;
use crate::job_handle::Update;
use crate::options::Options;
use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::payload::{Codec, Limits};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a run is told.
#[derive(Clone)]
pub struct RunSpec {
    /// The name of the client.
    pub name: String,
    /// The id of the run, which no other run has: 1 to 32 letters, digits, `-` and `_`. It is part of the uniques of its jobs.
    pub run: String,
    /// Servers and limits of the connection.
    pub options: Options,
    /// The function of tasks that name none.
    pub function: String,
    /// The priority of tasks that name none: normal or low.
    pub priority: Priority,
    /// The codec of tasks and answers.
    pub codec: Codec,
    /// What a payload may hold.
    pub limits: Limits,
    /// All tasks; their ids differ.
    pub tasks: Arc<Vec<RunTask>>,
    /// What is tried again.
    pub policy: Policy,
    /// How long a try may take, from its submission on.
    pub task_timeout: Option<Duration>,
    /// How long the run may take, from its (last) start on.
    pub run_timeout: Option<Duration>,
    /// The manager, if there is to be one.
    pub manager: Option<ManagerSpec>,
}

/// Who starts the performers of a run.
#[derive(Clone)]
pub struct ManagerSpec {
    /// The function that managers do.
    pub function: String,
    /// The payload of a manager task: number of this manager task, from 1, and how many tasks it is for.
    pub payload: Arc<dyn Fn(u32, usize) -> Bytes + Send + Sync>,
}

/// What a run tells on its way, in the order in which it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunEvent {
    /// It begins, or goes on.
    Started {
        /// Where its tasks are.
        counts: Counts,
    },
    /// A task was given to the client.
    Submitted {
        /// Its place in the list.
        task: usize,
        /// Which try, from 1.
        attempt: u32,
    },
    /// What its job tells: created, status, data, warning, exception.
    Update {
        /// Its place in the list.
        task: usize,
        /// Which try.
        attempt: u32,
        /// What.
        update: Update,
    },
    /// A try is over.
    Ended {
        /// Its place in the list.
        task: usize,
        /// Which try.
        attempt: u32,
        /// How it went.
        verdict: Verdict,
        /// In how many milliseconds it is tried again, if it is.
        again_ms: Option<u64>,
        /// Where the tasks are now.
        counts: Counts,
    },
    /// A manager task was given to the client.
    ManagerSubmitted {
        /// Which, from 1.
        attempt: u32,
        /// For how many tasks.
        tasks: usize,
    },
    /// What the manager tells.
    ManagerUpdate(Update),
    /// A manager task is over.
    ManagerEnded(Verdict),
    /// The run ends early.
    Aborted(Abort),
    /// Jobs were taken off their queues: so many of so many that were not answered.
    Cancelled {
        /// Those that were still queued.
        cancelled: usize,
        /// Those that were asked for.
        asked: usize,
    },
}

/// Why a run could not be run.
#[derive(Debug)]
pub enum RunError {
    /// No server, or an option that makes no sense.
    Client(Error),
    /// The journal cannot be written.
    Journal(std::io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "{error}"),
            Self::Journal(error) => write!(f, "the journal cannot be written: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a run to its end, or goes on with what `journal` says of it. `stop` ends it early when something is sent: the reason.
///
/// # Errors
/// It could not begin, or its journal could not be written. What became of its tasks is in the journal.
pub async fn run(
    spec: RunSpec,
    journal: Journal,
    stop: watch::Receiver<Option<Abort>>,
    observe: &mut (dyn FnMut(&RunEvent) + Send),
) -> Result<Report, RunError> {
    let _ = (spec, journal, stop, observe);
    Err(RunError::Journal(std::io::Error::other("not there yet")))
}

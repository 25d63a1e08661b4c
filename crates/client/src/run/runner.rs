//! Runs a run: sockets, clock and journal; what happens next is for the [`Ledger`](super::Ledger) to say.

use super::driver::{Clock, Driver, stopped};
use super::journal::Journal;
use super::ledger::{Abort, Counts, Ledger};
use super::policy::Policy;
use super::report::Report;
use super::task::RunTask;
use super::verdict::Verdict;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::job::chance;
use crate::job_handle::Update;
use crate::options::Options;
use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::payload::{Codec, Limits, TaskId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

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

/// Longest id of a run: the uniques of its jobs have room for it.
const RUN_BYTES: usize = 32;

impl RunSpec {
    /// Whether its jobs can be named.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=RUN_BYTES).contains(&self.run.len()) && self.run.bytes().all(allowed) {
            return Ok(());
        }
        Err("the id of a run has 1 to 32 letters, digits, `-` and `_`")
    }
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
    /// A task was given to the client; once more in the same try, when its job is gone without having run.
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
    /// An answer names another task than the one it was given to. It counts for that one all the same: jobs are known by
    /// their handles.
    OtherId {
        /// The place of the task that was given, in the list.
        task: usize,
        /// Which try.
        attempt: u32,
        /// What the answer says.
        claimed: TaskId,
    },
    /// No server can be reached, and why: nothing is submitted for a while.
    Unreachable(String),
    /// A server can be reached again.
    Reachable,
    /// Jobs that nobody waits for any more are off their queues. One that runs already goes on, and counts all the same:
    /// servers do not tell.
    Cancelled {
        /// Those that a server has cancelled, or does not know any more.
        cancelled: usize,
        /// Those that were to be.
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
    /// The journal is one of another run: what differs.
    Mismatch(&'static str),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "{error}"),
            Self::Mismatch(what) => {
                write!(f, "the journal is one of another run: its {what} is not the one given")
            }
            Self::Journal(error) => write!(f, "the journal cannot be written: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a run to its end, or goes on with what `journal` says of it. `stop` ends it early when something is sent: the reason.
///
/// `observe` is called in the loop of the run and must not block it. A task whose payload cannot be written has failed.
/// When no server answers at the start, it is tried again for as long as [`Options::give_up`] says; then nothing was
/// submitted, and the journal is as it was. When none answers later, nothing is submitted until one does, or until the
/// pause of the policy is over.
///
/// # Errors
/// It could not begin, or its journal could not be written. What became of its tasks is in the journal.
pub async fn run(
    spec: RunSpec,
    mut journal: Journal,
    mut stop: watch::Receiver<Option<Abort>>,
    observe: &mut (dyn FnMut(&RunEvent) + Send),
) -> Result<Report, RunError> {
    spec.check().map_err(|what| RunError::Client(Error::new(ErrorKind::Invalid(what))))?;
    if let Some(what) = journal.disagrees(&spec) {
        return Err(RunError::Mismatch(what));
    }
    let clock = Clock::start(journal.last);
    let ledger = match journal.take_past() {
        Some(mut past) => {
            past.set_policy(spec.policy.clone());
            past
        }
        None => Ledger::new(&spec.run, spec.tasks.len(), spec.policy.clone(), spec.manager.is_some()),
    };
    let in_flight = spec.options.in_flight.max(spec.policy.in_flight.saturating_add(2));
    let options = spec.options.clone().in_flight(in_flight).exceptions(true);
    let connected = tokio::select! {
        connected = connect(options) => connected,
        why = stopped(&mut stop) => {
            return Driver::new(spec, ledger, journal, clock, observe).stop_at_once(why).await;
        }
    };
    let client = connected.map_err(RunError::Client)?;
    Driver::new(spec, ledger, journal, clock, observe).run(client, stop).await
}

/// Connects, however often it takes within the time that jobs wait for a server.
async fn connect(options: Options) -> Result<Client, Error> {
    let start = Instant::now();
    let mut failures = 0_u32;
    loop {
        let error = match Client::connect(options.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let left = options.give_up.saturating_sub(start.elapsed());
        if left.is_zero() || !matches!(error.kind, ErrorKind::Unreachable(_)) {
            return Err(error);
        }
        failures = failures.saturating_add(1);
        tokio::time::sleep(options.backoff.pause(failures, chance()).min(left)).await;
    }
}

//! What is known about a schedule, as it is stored.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Ended runs that are remembered.
const PAST: usize = 20;

/// Everything a [`Machine`](super::Machine) knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Of this layout: 1.
    pub version: u32,
    /// What it was made for: expression, zone, on or off. Another one begins anew.
    pub plan: String,
    /// Due times up to this one are decided.
    pub decided: i64,
    /// The last one that was started by hand.
    pub by_hand: i64,
    /// What was started and has not ended.
    pub running: Vec<Run>,
    /// What starts when nothing runs any more.
    pub waiting: Option<Start>,
    /// Missed ones that are caught up with, one after another.
    pub backlog: Vec<Start>,
    /// What could not be started yet.
    pub retries: Vec<Retry>,
    /// The last that ended, newest last.
    pub past: Vec<Past>,
    /// The last due time that was not started.
    pub passed_over: Option<PassedOver>,
}

/// Why it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is due.
    Due,
    /// It was due while nothing could start it.
    Missed,
    /// Somebody said so.
    Now,
}

/// Something to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When it was due.
    pub due: i64,
    /// Why it starts.
    pub kind: Kind,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing has left: it can be started by another process.
    Claimed,
    /// It may have left: it is not started again.
    Sent,
    /// It runs, or a server has it.
    Running,
}

/// Where something runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// In this process.
    Process(u32),
    /// As a job of a server.
    Job {
        /// The server, as `host:port`.
        server: String,
        /// The server's name for it.
        handle: String,
    },
}

/// Something that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it was due.
    pub due: i64,
    /// Why it was started.
    pub kind: Kind,
    /// When it was started.
    pub started: i64,
    /// How far it is.
    pub phase: Phase,
    /// Starts that failed before.
    pub tries: u32,
    /// It was told to stop.
    pub stopping: bool,
    /// Where it runs, once it does.
    pub place: Option<Where>,
}

/// A start that failed and is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// When it was due.
    pub due: i64,
    /// Why it starts.
    pub kind: Kind,
    /// When it was tried for the first time.
    pub started: i64,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub at: i64,
    /// When it is given up.
    pub until: i64,
    /// Why the last try failed.
    pub why: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Well. Of a job: the server no longer has it, however its worker ended it.
    Done,
    /// It failed, or could not be started.
    Failed,
    /// The same run was going on already.
    AlreadyRunning,
    /// It was stopped, for a newer one or with the server.
    Stopped,
    /// A job that runs cannot be taken back: a newer one was started beside it.
    LeftRunning,
    /// Whoever started it is gone, and nobody saw how it ended.
    Unknown,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::AlreadyRunning => "already running",
            Self::Stopped => "stopped",
            Self::LeftRunning => "left running",
            Self::Unknown => "unknown",
        })
    }
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When it was due.
    pub due: i64,
    /// Why it was started.
    pub kind: Kind,
    /// When it was started.
    pub started: i64,
    /// When it ended, or was seen to have ended.
    pub ended: i64,
    /// How.
    pub outcome: How,
    /// More about it, for people; may be empty.
    pub note: String,
}

/// A due time that was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// When it was due.
    pub due: i64,
    /// When that was decided.
    pub at: i64,
    /// Why, for people.
    pub why: String,
}

impl State {
    /// Whether something runs or is about to.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.retries.is_empty()
    }

    pub(super) fn end(&mut self, past: Past) {
        self.past.push(past);
        let excess = self.past.len().saturating_sub(PAST);
        self.past.drain(..excess);
    }
}

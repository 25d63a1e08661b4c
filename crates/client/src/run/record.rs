//! The lines of a journal.

use super::ledger::{Abort, Past, TaskIndex};
use super::policy::Policy;
use super::runner::RunSpec;
use super::task::RunTask;
use super::verdict::{OutcomeKind, Verdict};
use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::payload::{Codec, Content, TaskId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The format that is written; another one is not read.
pub(super) const FORMAT: u32 = 1;

/// One line. `at` is when, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(super) enum Record {
    /// The first line.
    Run(Header),
    /// A task, in the order of the list; all of them stand before whatever happened.
    Task(TaskRecord),
    /// A task is given to the client now.
    Submitted { at: u64, task: usize, attempt: u32 },
    /// A server has its job.
    Created { at: u64, task: usize, attempt: u32, handle: Content },
    /// A try is over.
    Ended {
        at: u64,
        task: usize,
        attempt: u32,
        outcome: OutcomeKind,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        message: Option<String>,
        /// Only when results are kept.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        result: Option<Content>,
    },
    /// A manager task is given to the client now.
    ManagerSubmitted { at: u64, attempt: u32, tasks: usize },
    /// A manager task is over.
    ManagerEnded {
        at: u64,
        outcome: OutcomeKind,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        message: Option<String>,
    },
    /// The run ends early.
    Aborted { at: u64, why: Why },
    /// Jobs were taken off their queues.
    Cancelled { at: u64, cancelled: usize, asked: usize },
    /// Another client goes on.
    Resumed { at: u64, policy: Policy },
    /// The run is over.
    Finished {
        at: u64,
        ok: usize,
        error: usize,
        missing: usize,
        /// It was ended early: there is something to go on with.
        #[serde(default)]
        open: bool,
    },
}

/// What a run is, and what a client that goes on with it must agree about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    pub(super) at: u64,
    pub(super) name: String,
    pub(super) run: String,
    pub(super) function: String,
    pub(super) codec: Codec,
    pub(super) priority: Queue,
    /// The function of its manager.
    pub(super) manager: Option<String>,
    /// How many lines of tasks follow.
    pub(super) tasks: usize,
    pub(super) task_timeout_ms: Option<u64>,
    pub(super) run_timeout_ms: Option<u64>,
    pub(super) policy: Policy,
}

/// A task of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskRecord {
    pub(super) index: usize,
    pub(super) id: TaskId,
    pub(super) body: Content,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) priority: Option<Queue>,
}

/// A priority by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Queue {
    High,
    Normal,
    Low,
}

/// Why a run ended early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    Critical(usize),
    Manager(String),
    Deadline,
    Stopped(String),
}

impl Header {
    pub(super) fn of(spec: &RunSpec, at: u64) -> Self {
        let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self {
            format: FORMAT,
            at,
            name: spec.name.clone(),
            run: spec.run.clone(),
            function: spec.function.clone(),
            codec: spec.codec,
            priority: spec.priority.into(),
            manager: spec.manager.as_ref().map(|manager| manager.function.clone()),
            tasks: spec.tasks.len(),
            task_timeout_ms: spec.task_timeout.map(ms),
            run_timeout_ms: spec.run_timeout.map(ms),
            policy: spec.policy.clone(),
        }
    }
}

impl TaskRecord {
    pub(super) fn of(index: usize, task: &RunTask) -> Self {
        let RunTask { id, body, function, priority } = task.clone();
        Self { index, id, body, function, priority: priority.map(Into::into) }
    }

    pub(super) fn into_task(self) -> RunTask {
        let Self { id, body, function, priority, .. } = self;
        RunTask { id, body, function, priority: priority.map(Into::into) }
    }
}

impl Record {
    /// The end of a try.
    pub(super) fn ended(
        at: u64,
        TaskIndex(task): TaskIndex,
        attempt: u32,
        verdict: &Verdict,
        keep: bool,
    ) -> Self {
        let Verdict { kind: outcome, message, result } = verdict.clone();
        Self::Ended { at, task, attempt, outcome, message, result: result.filter(|_| keep) }
    }

    /// When it was; a task has no time of its own.
    pub(super) const fn at(&self) -> Option<u64> {
        match self {
            Self::Run(Header { at, .. })
            | Self::Submitted { at, .. }
            | Self::Created { at, .. }
            | Self::Ended { at, .. }
            | Self::ManagerSubmitted { at, .. }
            | Self::ManagerEnded { at, .. }
            | Self::Aborted { at, .. }
            | Self::Cancelled { at, .. }
            | Self::Resumed { at, .. }
            | Self::Finished { at, .. } => Some(*at),
            Self::Task(_) => None,
        }
    }

    /// What it means to the ledger; none when that is nothing.
    pub(super) fn into_past(self) -> Option<Past> {
        Some(match self {
            Self::Submitted { task, attempt, .. } => Past::Submitted { task: TaskIndex(task), attempt },
            Self::Created { task, attempt, handle, .. } => {
                let handle = match handle {
                    Content::Bytes(handle) => handle,
                    Content::Php(_) => Bytes::new(),
                };
                Past::Created { task: TaskIndex(task), attempt, handle }
            }
            Self::Ended { task, attempt, outcome, message, result, .. } => Past::Ended {
                task: TaskIndex(task),
                attempt,
                verdict: Verdict { kind: outcome, message, result },
            },
            Self::ManagerSubmitted { attempt, .. } => Past::ManagerSubmitted { attempt },
            Self::ManagerEnded { outcome, message, .. } => {
                Past::ManagerEnded(Verdict { kind: outcome, message, result: None })
            }
            Self::Aborted { why, .. } => Past::Aborted(why.into()),
            Self::Resumed { policy, .. } => Past::Resumed(policy),
            Self::Finished { .. } => Past::Finished,
            Self::Run(_) | Self::Task(_) | Self::Cancelled { .. } => return None,
        })
    }
}

impl From<Priority> for Queue {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
        }
    }
}

impl From<Queue> for Priority {
    fn from(queue: Queue) -> Self {
        match queue {
            Queue::High => Self::High,
            Queue::Normal => Self::Normal,
            Queue::Low => Self::Low,
        }
    }
}

impl From<Abort> for Why {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Critical(TaskIndex(task)) => Self::Critical(task),
            Abort::Manager(why) => Self::Manager(why),
            Abort::Deadline => Self::Deadline,
            Abort::Stopped(why) => Self::Stopped(why),
        }
    }
}

impl From<Why> for Abort {
    fn from(why: Why) -> Self {
        match why {
            Why::Critical(task) => Self::Critical(TaskIndex(task)),
            Why::Manager(why) => Self::Manager(why),
            Why::Deadline => Self::Deadline,
            Why::Stopped(why) => Self::Stopped(why),
        }
    }
}

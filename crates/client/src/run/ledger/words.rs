//! What goes into a ledger and what comes out of it.

use crate::run::verdict::{OutcomeKind, Verdict};
use bytes::Bytes;
use conveyor_common::Millis;

/// The place of a task in the list of its run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskIndex(pub usize);

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// To be submitted as soon as there is room.
    Ready,
    /// Submitted, and not answered.
    InFlight,
    /// To be tried again then.
    Waiting(Millis),
    /// Over.
    Ended(OutcomeKind),
}

/// Why a run ended before its tasks did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The performer of this task says that the run must end.
    Critical(TaskIndex),
    /// The manager says so, or failed as often as it may; in its words.
    Manager(String),
    /// The run is out of time.
    Deadline,
    /// Somebody stopped it, or the lock of the run was lost; in words.
    Stopped(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Go, or go on after [`Ledger::restore`](super::Ledger::restore): what was in flight is submitted again, as the same try; what was aborted goes on,
    /// critical tasks included.
    Start,
    /// A server has the job of a task and calls it this; once more after every resubmission.
    Created {
        /// Of this task.
        task: TaskIndex,
        /// In this try.
        attempt: u32,
        /// The server's name for the job.
        handle: Bytes,
    },
    /// The job of a task is over.
    Ended {
        /// Of this task.
        task: TaskIndex,
        /// In this try; another one's is passed over.
        attempt: u32,
        /// How it went.
        verdict: Verdict,
    },
    /// No server knows the job of a task any more, and it has not run: it is submitted again, as the same try.
    Vanished {
        /// Of this task.
        task: TaskIndex,
        /// In this try; another one's is passed over.
        attempt: u32,
    },
    /// The manager has answered, or its job is over.
    ManagerEnded(Verdict),
    /// The same of the job of a manager.
    ManagerVanished {
        /// Which one of the run.
        attempt: u32,
    },
    /// The run has to end: nothing more is submitted.
    Stop(Abort),
    /// No server can be reached. Until one can, tasks are tried no sooner than then: each of them would just be lost.
    Unreachable {
        /// When the next ones are tried in any case.
        until: Millis,
    },
    /// A server can be reached again.
    Reachable,
    /// Time passed.
    Tick,
}

/// What the runner is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Submit a manager task, at high priority.
    SubmitManager {
        /// Which one of the run, from 1.
        attempt: u32,
        /// Tasks it is for.
        tasks: usize,
    },
    /// Submit a task.
    Submit {
        /// Which.
        task: TaskIndex,
        /// Which try, from 1.
        attempt: u32,
    },
    /// Take the job of a task off its queue, if it is there: nobody waits for it any more.
    Cancel {
        /// The server's name for it.
        handle: Bytes,
    },
    /// The task will be tried again then.
    Again {
        /// Which.
        task: TaskIndex,
        /// When.
        at: Millis,
    },
    /// The run ends now. Cancel what is queued, forget what runs.
    Abort(Abort),
    /// The run is over: every task has ended.
    Finish,
}

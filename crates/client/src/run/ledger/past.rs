//! A ledger that goes on where another one ended: what the journal says.

use super::Abort;
use super::{Ledger, TaskIndex, TaskState};
use crate::run::policy::Policy;
use crate::run::verdict::Verdict;
use bytes::Bytes;
use conveyor_common::Millis;

/// What happened before, in the order in which it did.
#[derive(Clone, Debug, PartialEq)]
pub enum Past {
    /// A task was submitted.
    Submitted {
        /// Which.
        task: TaskIndex,
        /// Which try, from 1.
        attempt: u32,
    },
    /// A server had its job and called it this.
    Created {
        /// Which.
        task: TaskIndex,
        /// Which try.
        attempt: u32,
        /// The server's name.
        handle: Bytes,
    },
    /// A try was over.
    Ended {
        /// Which.
        task: TaskIndex,
        /// Which try.
        attempt: u32,
        /// How it went.
        verdict: Verdict,
    },
    /// A manager task was submitted.
    ManagerSubmitted {
        /// Which, from 1.
        attempt: u32,
    },
    /// A manager task was over.
    ManagerEnded(Verdict),
    /// The run was ended early.
    Aborted(Abort),
    /// Another client went on, with this policy.
    Resumed(Policy),
    /// The run was over.
    Finished,
}

impl Ledger {
    /// Applies what happened before, at `at`. Whatever does not fit, such as the end of a try that never began, is passed
    /// over: a journal may have lost lines with the machine.
    pub fn restore(&mut self, at: Millis, past: &Past) {
        match past {
            Past::Submitted { task, attempt } => self.begin(at, *task, *attempt),
            Past::Created { task, attempt, handle } => self.created(*task, *attempt, handle.clone()),
            Past::Ended { task, attempt, verdict } => drop(self.settle(at, *task, *attempt, verdict)),
            Past::ManagerSubmitted { attempt } => {
                if let Some(manager) = &mut self.manager {
                    manager.restore_submitted(*attempt);
                }
            }
            Past::ManagerEnded(verdict) => {
                let over = self.counts.open() == 0;
                if let Some(manager) = &mut self.manager {
                    let _ = manager.ended(at, verdict, &self.policy, &self.run, over);
                }
            }
            Past::Aborted(why) => self.aborted = Some(why.clone()),
            Past::Resumed(policy) => {
                self.policy = policy.clone();
                self.start();
            }
            Past::Finished => self.finished = true,
        }
    }

    /// What is tried again from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    fn begin(&mut self, at: Millis, task: TaskIndex, attempt: u32) {
        let Some(entry) = self.tasks.get_mut(task.0) else { return };
        entry.handle = None;
        match entry.state {
            TaskState::Ended(_) => return,
            // Its job had vanished: the same try, once more.
            TaskState::InFlight if entry.attempts == attempt => return,
            _ => {
                entry.attempts = attempt;
                entry.began = at;
            }
        }
        self.place(task, TaskState::InFlight);
    }
}

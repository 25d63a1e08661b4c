//! The jobs of a run: how they are submitted, and who listens to each.

use super::Driver;
use crate::error::{Error, ErrorKind};
use crate::job::{Job, Unique};
use crate::job_handle::{JobHandle, Outcome, Update};
use crate::run::cancel::Place;
use crate::run::ledger::TaskIndex;
use crate::run::runner::RunEvent;
use crate::run::verdict::{OutcomeKind, Verdict};
use crate::typed::TaskOutcome;
use conveyor_common::Priority;
use conveyor_common::payload::{Codec, Limits, TaskId, TaskPayload};
use tokio::sync::mpsc;

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Task { task: TaskIndex, attempt: u32 },
    Manager { attempt: u32 },
}

/// What the listener of a job has to tell.
#[derive(Debug)]
pub(super) enum Told {
    Update {
        who: Who,
        update: Update,
        /// It is a [`Update::Created`], and not the first.
        again: bool,
    },
    Ended {
        who: Who,
        verdict: Verdict,
        /// The task that the answer names, when it is another one.
        claimed: Option<TaskId>,
        /// Where the job is that nobody waits for any more.
        place: Option<Place>,
        /// Why no server could be reached, when that was it.
        unreachable: Option<String>,
    },
}

impl Driver<'_> {
    /// Gives a try of a task to the client.
    pub(super) async fn submit(&mut self, task: TaskIndex, attempt: u32) {
        (self.observe)(&RunEvent::Submitted { task: task.0, attempt });
        let who = Who::Task { task, attempt };
        let Some(given) = self.spec.tasks.get(task.0) else { return };
        let payload = TaskPayload {
            task_id: Some(given.id.clone()),
            attempt,
            run: Some(self.spec.run.clone()),
            body: given.body.clone(),
        };
        let function = given.function.as_ref().unwrap_or(&self.spec.function).clone();
        let priority = given.priority.unwrap_or(self.spec.priority);
        let (codec, limits) = (self.spec.codec, self.spec.limits);
        let job = match Job::task(function, codec, &payload, &limits) {
            Ok(job) => job,
            Err(error) => {
                // It is the task that cannot be written, rather than an answer that cannot be read.
                let verdict = Verdict::because(OutcomeKind::Failed, &error.to_string());
                return self.at_once.push_back(Told::end(who, verdict));
            }
        };
        let mut job = job.priority(priority).unique(Unique::Given(self.unique(who).into()));
        if let Some(limit) = self.spec.task_timeout {
            job = job.deadline(limit);
        }
        let expected = Some(given.id.clone()).filter(|_| codec != Codec::Raw);
        self.give(who, job, expected).await;
    }

    /// Gives a manager task to the client.
    pub(super) async fn submit_manager(&mut self, attempt: u32, tasks: usize) {
        (self.observe)(&RunEvent::ManagerSubmitted { attempt, tasks });
        let Some(manager) = self.spec.manager.clone() else { return };
        let who = Who::Manager { attempt };
        let payload = (manager.payload)(attempt, tasks);
        let unique = Unique::Given(self.unique(who).into());
        let job = Job::new(manager.function, payload).priority(Priority::High).unique(unique);
        self.give(who, job, None).await;
    }

    /// By which servers know the job of a try again, and no other.
    pub(super) fn unique(&self, who: Who) -> String {
        match who {
            Who::Task { task, attempt } => format!("c:{}:{}:{attempt}", self.spec.run, task.0),
            Who::Manager { attempt } => format!("c:{}:m:{attempt}", self.spec.run),
        }
    }

    async fn give(&mut self, who: Who, job: Job, expected: Option<TaskId>) {
        let Some(client) = &self.client else { return };
        match client.submit(job).await {
            Ok(job) => {
                let listener = Listener {
                    who,
                    codec: self.spec.codec,
                    limits: self.spec.limits,
                    expected,
                    tell: self.tell.clone(),
                };
                let listener = self.jobs.spawn(listener.listen(job));
                self.listeners.insert(who, listener);
            }
            Err(error) => self.at_once.push_back(Told::end(who, Verdict::of_end(Err(error), None))),
        }
    }
}

impl Told {
    const fn end(who: Who, verdict: Verdict) -> Self {
        Self::Ended { who, verdict, claimed: None, place: None, unreachable: None }
    }
}

/// Listens to one job.
struct Listener {
    who: Who,
    codec: Codec,
    limits: Limits,
    expected: Option<TaskId>,
    tell: mpsc::Sender<Told>,
}

impl Listener {
    async fn listen(self, mut job: JobHandle) {
        let mut data = Vec::new();
        let mut created = false;
        while let Some(update) = job.next().await {
            let mut again = false;
            match &update {
                // Whatever was sent before belongs to a try that is lost.
                Update::Created(_) => {
                    data.clear();
                    again = std::mem::replace(&mut created, true);
                }
                // One byte more than is allowed is enough to be refused.
                Update::Data(part) if data.len() <= self.limits.bytes => data.extend_from_slice(part),
                _ => {}
            }
            if self.tell.send(Told::Update { who: self.who, update, again }).await.is_err() {
                return;
            }
        }
        let end = match job.outcome().await {
            Ok(Outcome::Complete(rest)) if !data.is_empty() => {
                data.extend_from_slice(&rest);
                Ok(Outcome::Complete(data.into()))
            }
            end => end,
        };
        let told = self.told(end);
        // The loop is gone only when nobody wants to know.
        let _ = self.tell.send(told).await;
    }

    fn told(&self, end: Result<Outcome, Error>) -> Told {
        let mut told = (None, None, None);
        if let Err(error) = &end {
            let handle = error.job.as_ref().and_then(|job| job.handle.clone());
            match &error.kind {
                ErrorKind::Deadline => told.1 = error.server.clone().zip(handle),
                ErrorKind::Unreachable(why) => told.2 = Some(why.clone()),
                _ => {}
            }
        }
        let raw = match &end {
            Ok(Outcome::Complete(raw)) => Some(raw.clone()),
            _ => None,
        };
        let answer = end.and_then(|outcome| outcome.result(self.codec, &self.limits));
        if let (Ok(TaskOutcome::Answered(result)), Some(expected)) = (&answer, &self.expected) {
            told.0 = result.task_id.clone().filter(|id| id != expected);
        }
        let (claimed, place, unreachable) = told;
        let verdict = Verdict::of_end(answer, raw.as_ref());
        Told::Ended { who: self.who, verdict, claimed, place, unreachable }
    }
}

//! The manager's own job: so many performers have to come to their end, no more than some of them at once.

use super::Manager;
use super::effect::{Effect, Outcome};
use super::event::Task;
use super::slots::Reason;

/// What is known about the job.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) task: Option<Task>,
    /// Performers that came to their end by themselves, and well.
    pub(super) finished: u32,
    /// What was last reported: created and finished.
    reported: Option<(u32, u32)>,
    /// The job was answered, or nobody waits for the answer.
    pub(super) over: bool,
}

impl Manager {
    /// A manager's job was taken.
    pub(super) fn take(&mut self, task: Task, effects: &mut Vec<Effect>) {
        match &mut self.batch {
            Some(batch) if batch.task.is_none() && !self.stopping => batch.task = Some(task),
            _ => self.ignored("a job for a manager that has one, or takes none", effects),
        }
    }

    /// Nobody waits for the job's answer any more.
    pub(super) fn lose(&mut self, effects: &mut Vec<Effect>) {
        match &mut self.batch {
            Some(batch) if batch.task.is_some() => batch.over = true,
            _ => self.ignored("the loss of a job that the manager does not have", effects),
        }
    }

    /// Performers of the job so far: those that came to their end, and those that live.
    fn created(&self) -> u32 {
        let live = u32::try_from(self.performers.len()).unwrap_or(u32::MAX);
        self.batch.as_ref().map_or(0, |batch| batch.finished).saturating_add(live)
    }

    /// Answers the job, if nobody has. Nothing is started any more, and who lives ends between jobs.
    pub(super) fn finish(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        let Some(batch) = &mut self.batch else { return };
        if batch.over || batch.task.is_none() {
            return;
        }
        batch.over = true;
        effects.push(Effect::Finish(outcome));
        self.each(|performer, now, group, out| performer.leave(now, Reason::Stopped, group, out), effects);
    }

    /// The manager is to end: the client has to know whether that leaves work undone.
    pub(super) fn stop_batch(&mut self, effects: &mut Vec<Effect>) {
        let created = self.created();
        if let Some(Task { total, .. }) = self.batch.as_ref().and_then(|batch| batch.task)
            && created < total
        {
            let why = format!(
                "the manager was stopped with {created} of {total} performers created: not all tasks were created"
            );
            self.finish(Outcome::Critical(why), effects);
        }
    }

    /// Reports how far the job is, and answers it when it is done.
    pub(super) fn settle_batch(&mut self, effects: &mut Vec<Effect>) {
        let created = self.created();
        let drained = self.crews.values().any(|crew| crew.drained);
        let none_lives = self.performers.is_empty();
        let given_up = self.crews.values().find_map(|crew| crew.retry.given_up()).cloned();
        let Some(batch) = &mut self.batch else { return };
        let Some(task) = batch.task.filter(|_| !batch.over) else { return };
        let (finished, total) = (batch.finished, task.total);
        if batch.reported != Some((created, finished)) {
            batch.reported = Some((created, finished));
            effects.push(Effect::ReportProgress { created, finished, total });
        }
        if finished >= total {
            if none_lives {
                self.finish(Outcome::Ok, effects);
            }
        } else if let Some(why) = given_up {
            let why = format!("no performer is started any more, after {finished} of {total}: {why}");
            self.finish(Outcome::Error(why), effects);
        } else if none_lives && (drained || self.stopping) {
            let how = if self.stopping { "stopped" } else { "drained" };
            let why = format!("the manager was {how} when {finished} of {total} performers had finished");
            self.finish(Outcome::Error(why), effects);
        }
    }
}

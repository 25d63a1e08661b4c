//! Jobs that come from the store while the server already serves.
//!
//! Until they are all there, what is submitted to their functions queues behind them; and what could only be
//! answered knowing all of them waits: submissions with a unique, questions about jobs not seen yet.

use super::Core;
use super::change::Record;
use super::effect::Effects;
use super::event::StoredJob;
use super::functions::FunctionId;
use super::job::{Draft, Job, JobId, Place};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Millis, Priority};
use std::collections::HashSet;

/// What is still to come.
#[derive(Debug)]
pub(super) struct Loading {
    /// Of these functions. Never iterated.
    functions: HashSet<FunctionId>,
    /// Of this priority and lower ones.
    next: Priority,
    /// Jobs that were read so far.
    read: u64,
    /// Jobs that wait for older ones.
    behind: PerPriority<Vec<JobId>>,
}

impl Loading {
    pub(super) fn behind(&self) -> impl Iterator<Item = JobId> + '_ {
        Priority::ALL.into_iter().flat_map(|priority| self.behind.of(priority)).copied()
    }
}

impl Core {
    /// The store has jobs of these functions.
    pub(super) fn start_loading(&mut self, names: &[Bytes]) {
        let functions = names.iter().map(|name| match self.functions.find(name) {
            Some(id) => id,
            None => self.functions.create(name),
        });
        let functions = functions.collect();
        self.loading =
            Some(Loading { functions, next: Priority::High, read: 0, behind: PerPriority::default() });
    }

    /// Whether jobs of the function may still be in the store alone.
    pub(super) fn is_unread(&self, function: FunctionId) -> bool {
        self.loading.as_ref().is_some_and(|loading| loading.functions.contains(&function))
    }

    /// Whether older jobs of the function and priority may still be in the store alone.
    pub(super) fn has_older_unread(&self, function: FunctionId, priority: Priority) -> bool {
        self.is_unread(function) && self.loading.as_ref().is_some_and(|loading| priority >= loading.next)
    }

    /// A job waits for older ones.
    pub(super) fn wait_behind(&mut self, id: JobId, priority: Priority) {
        if let (Some(loading), Some(job)) = (self.loading.as_mut(), self.jobs.get_mut(id)) {
            job.place = Place::Behind;
            loading.behind.of_mut(priority).push(id);
        }
    }

    /// Jobs were read from the store.
    pub(super) fn loaded(
        &mut self,
        now: Millis,
        jobs: Vec<StoredJob>,
        next: Option<Priority>,
        fx: &mut Effects,
    ) {
        let read = jobs.len() as u64;
        for StoredJob { record, spilled } in jobs {
            if let Some(id) = self.restore_job(now, record) {
                if spilled && let Some(job) = self.jobs.get_mut(id) {
                    job.spilled = true;
                }
                self.wake_for(now, id, fx);
            }
        }
        let Some(mut loading) = self.loading.take() else { return };
        loading.read += read;
        let ended = |priority: &Priority| next.is_none_or(|next| *priority < next);
        let released: Vec<JobId> = Priority::ALL
            .into_iter()
            .filter(ended)
            .flat_map(|priority| std::mem::take(loading.behind.of_mut(priority)))
            .collect();
        if let Some(next) = next {
            loading.next = next;
            self.loading = Some(loading);
        }
        for id in released {
            if let Some(job) = self.jobs.get_mut(id)
                && job.place == Place::Behind
            {
                job.place = Place::Ready;
                self.enter_queue(id);
                self.wake_for(now, id, fx);
            }
        }
    }

    /// Puts a stored job into its place. None when it is there already, or would be the same as another.
    pub(super) fn restore_job(&mut self, now: Millis, record: Record) -> Option<JobId> {
        if self.jobs.by_number(record.number).is_some() {
            return None;
        }
        let function = match self.functions.find(&record.function) {
            Some(function) => function,
            None => self.functions.create(&record.function),
        };
        let key = self.jobs.key(function, &record.unique, &record.payload);
        if self.jobs.coalesces(key, function, &record.unique, &record.payload).is_some() {
            return None;
        }
        self.next_order = self.next_order.max(record.order);
        self.next_number = self.next_number.max(JobNumber(record.number.0.saturating_add(1)));
        let scheduled = self.is_future(now, record.when);
        let job = Job::new(Draft {
            number: record.number,
            function,
            priority: record.priority,
            background: true,
            place: if scheduled { Place::Scheduled } else { Place::Ready },
            order: record.order,
            retries: record.retries,
            when: record.when,
            unique: &record.unique,
            payload: record.payload,
            reducer: record.reducer,
        });
        let (priority, order) = (job.priority, job.order);
        let id = self.jobs.insert(job, key);
        if scheduled {
            self.place_queued(id);
        } else if let Some(function_entry) = self.functions.get_mut(function) {
            // It is one of those that others wait behind.
            *function_entry.queued.of_mut(priority) += 1;
            function_entry.ready.push(priority, order, id);
            self.count_ready(function, priority, true);
        }
        Some(id)
    }

    /// How many jobs were read from the store; none when all of them are here.
    pub(super) fn loading_so_far(&self) -> Option<u64> {
        self.loading.as_ref().map(|loading| loading.read)
    }

    /// Whether a job that is not known here may yet come from the store.
    pub(super) const fn may_yet_come(&self) -> bool {
        self.loading.is_some()
    }
}

//! Jobs that come from the store while the server already serves.
//!
//! Until those of a function and priority are all there, what is submitted to it queues behind them; what could only be
//! answered knowing them waits: see `unread`.

use super::Core;
use super::change::Record;
use super::effect::Effects;
use super::event::StoredJob;
use super::job::{Draft, Job, JobId, Place};
use conveyor_common::{JobNumber, Millis, Priority};

impl Core {
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
            if !self.note_read(&record) {
                continue;
            }
            if let Some(id) = self.restore_job(now, record) {
                if spilled && let Some(job) = self.jobs.get_mut(id) {
                    job.spilled = true;
                }
                self.wake_for(now, id, fx);
            }
        }
        if let Some(loading) = &mut self.loading {
            loading.read += read;
        }
        self.end_counts_before(next);
        match next {
            Some(_) => self.release_freed(now, fx),
            None => self.end_loading(now, fx),
        }
    }

    /// Notes that a job has come. Whether it is to be taken in.
    fn note_read(&mut self, record: &Record) -> bool {
        let Some(loading) = &mut self.loading else { return true };
        loading.note_read(record.priority, record.number);
        if loading.take_cancelled(record.number) {
            return false;
        }
        self.count_read(record.priority, &record.function, !record.unique.is_empty());
        true
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
}

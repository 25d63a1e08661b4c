//! Rebuilding durable state from recorded changes, before the first event.

use super::Core;
use super::change::{Change, Record};
use super::job::{Job, Place, Standing};
use super::timers::Timer;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Millis};

/// Durable state as a value, for comparing two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Functions in the order of their creation, with their queue limits.
    pub functions: Vec<(Bytes, PerPriority<u32>)>,
    /// Background jobs that are not given up, by their FIFO order.
    pub jobs: Vec<Record>,
}

impl Core {
    /// Applies a change that another core appended. Tell the wall clock first, so that start times can be
    /// judged.
    pub fn restore(&mut self, change: Change) {
        match change {
            Change::NumbersReserved { through, orders } => {
                self.journal.reserved_before(through, orders);
                self.next_number = self.next_number.max(JobNumber(through.0.saturating_add(1)));
                self.next_order = self.next_order.max(orders);
            }
            Change::FunctionCreated { name } => {
                if self.functions.find(&name).is_none() {
                    self.functions.create(&name);
                }
            }
            Change::FunctionDropped { name } => {
                if let Some(id) = self.functions.find(&name) {
                    self.functions.remove(id);
                }
            }
            Change::QueueLimited { name, limits } => {
                let id = self.functions.find(&name);
                if let Some(function) = id.and_then(|id| self.functions.get_mut(id)) {
                    function.limits = limits;
                }
            }
            Change::Added(record) => drop(self.restore_job(Millis(0), record)),
            Change::Lost { number, retries, order, .. } => self.restore_loss(number, retries, order),
            Change::Removed { number, .. } => {
                self.take_back(number);
            }
        }
    }

    /// Takes a queued job out of everything.
    fn take_back(&mut self, number: JobNumber) -> Option<Job> {
        let id = self.jobs.by_number(number)?;
        let job = self.jobs.remove(id)?;
        if job.place == Place::Scheduled {
            self.timers.cancel(Timer::Start(id));
        }
        if let Some(function) = self.functions.get_mut(job.function) {
            let queued = function.queued.of_mut(job.priority);
            *queued = queued.saturating_sub(1);
            if job.place == Place::Ready {
                function.ready.remove(job.priority, job.order);
                function.ready.count_runnable(job.priority, false);
            }
        }
        self.functions.list_runnable(job.function, job.priority);
        Some(job)
    }

    fn restore_loss(&mut self, number: JobNumber, retries: u32, order: u64) {
        let Some(mut job) = self.take_back(number) else { return };
        job.retries = retries;
        job.order = order;
        self.next_order = self.next_order.max(order);
        let id = self.jobs.insert_anew(job);
        self.place_queued(id);
    }

    /// The durable state. Costs a pass over everything: for tests and inspection.
    #[must_use]
    pub fn durable(&self) -> Durable {
        let mut jobs: Vec<Record> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.background && job.standing == Standing::Wanted)
            .filter_map(|(id, _)| self.record(id))
            .collect();
        jobs.sort_unstable_by_key(|record| record.order);
        let functions = self.functions.iter().map(|(_, function)| (function.name.clone(), function.limits));
        Durable { functions: functions.collect(), jobs }
    }
}

//! The ready queues of one function: a FIFO a priority, and the jobs whose start time has come.
//!
//! Jobs that nobody wants any more stay in their queue until a look-up meets them, as in gearmand, where
//! `status` and `show jobs` count them until then. They are never runnable.

use super::job::JobId;
use conveyor_common::Priority;
use conveyor_common::priority::PerPriority;
use std::collections::{BTreeMap, VecDeque};

/// A queue with room for fewer is not worth shrinking.
const SMALL: usize = 4096;

/// Jobs by FIFO order.
type Queue = VecDeque<(u64, JobId)>;

/// Queues of one function.
#[derive(Debug, Default)]
pub(super) struct Ready {
    queues: PerPriority<Queue>,
    /// Jobs that had a start time, by FIFO order: they keep the place their submission gave them.
    due: BTreeMap<u64, JobId>,
    /// Jobs in `queues` and `due` that a worker may have.
    runnable: PerPriority<usize>,
}

impl Ready {
    pub(super) const fn runnable(&self, priority: Priority) -> usize {
        *self.runnable.of(priority)
    }

    pub(super) const fn runnable_total(&self) -> usize {
        self.runnable.high + self.runnable.normal + self.runnable.low
    }

    /// Counts a job of this priority as runnable, or no longer.
    pub(super) const fn count_runnable(&mut self, priority: Priority, runnable: bool) {
        let count = self.runnable.of_mut(priority);
        if runnable {
            *count += 1;
        } else {
            *count = count.saturating_sub(1);
        }
    }

    /// Puts a job at its place in its queue. That is the tail, except in replay, which may meet a job that
    /// became a background job late.
    pub(super) fn push(&mut self, priority: Priority, order: u64, id: JobId) {
        let queue = self.queues.of_mut(priority);
        if queue.back().is_none_or(|(last, _)| *last < order) {
            queue.push_back((order, id));
        } else {
            let at = queue.partition_point(|(other, _)| *other < order);
            queue.insert(at, (order, id));
        }
    }

    /// Puts a job whose start time has come at the place of its submission.
    pub(super) fn push_due(&mut self, order: u64, id: JobId) {
        self.due.insert(order, id);
    }

    /// The job at the head, without taking it.
    pub(super) fn first(&self, priority: Priority) -> Option<JobId> {
        let queued = self.queues.of(priority).front().copied();
        let due = match priority {
            Priority::Normal => self.due.first_key_value().map(|(order, id)| (*order, *id)),
            _ => None,
        };
        match (queued, due) {
            (Some(queued), Some(due)) => Some(if queued.0 < due.0 { queued.1 } else { due.1 }),
            (one, other) => one.or(other).map(|(_, id)| id),
        }
    }

    /// The first `most` of those that never had a start time.
    pub(super) fn head(&self, priority: Priority, most: usize) -> impl Iterator<Item = JobId> + '_ {
        self.queues.of(priority).iter().take(most).map(|(_, id)| *id)
    }

    /// Takes the job at the head.
    pub(super) fn pop(&mut self, priority: Priority) -> Option<JobId> {
        let id = self.first(priority)?;
        let queue = self.queues.of_mut(priority);
        if queue.front().is_some_and(|(_, front)| *front == id) {
            queue.pop_front();
            give_back(queue);
        } else {
            self.due.pop_first();
        }
        Some(id)
    }

    /// Every job of every queue, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        let queued = Priority::ALL.into_iter().flat_map(|priority| self.queues.of(priority));
        queued.map(|(_, id)| *id).chain(self.due.values().copied())
    }

    /// Takes a job out of the middle. Only replay needs this.
    pub(super) fn remove(&mut self, priority: Priority, order: u64) {
        let queue = self.queues.of_mut(priority);
        match queue.binary_search_by_key(&order, |(order, _)| *order) {
            Ok(at) => {
                queue.remove(at);
                give_back(queue);
            }
            Err(_) => {
                self.due.remove(&order);
            }
        }
    }

    /// Drops the jobs that `keep` refuses: what nobody wants, when there is too much of it.
    pub(super) fn retain(&mut self, keep: impl Fn(JobId) -> bool) {
        for priority in Priority::ALL {
            let queue = self.queues.of_mut(priority);
            queue.retain(|(_, id)| keep(*id));
            give_back(queue);
        }
        self.due.retain(|_, id| keep(*id));
    }
}

/// Gives memory back when seven eighths of it are unused. What is moved has been paid for by what left.
fn give_back(queue: &mut Queue) {
    if queue.capacity() > SMALL && queue.len() < queue.capacity() / 8 {
        queue.shrink_to(queue.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::{JobId, Priority, Queue, Ready, SMALL};

    fn backlog(jobs: u32) -> Ready {
        let mut ready = Ready::default();
        (0..jobs).for_each(|slot| {
            ready.push(Priority::Normal, u64::from(slot), JobId { slot, generation: slot });
        });
        ready
    }

    #[test]
    fn a_drained_queue_gives_memory_back_all_along() {
        let jobs = 300_000;
        let mut ready = backlog(jobs);
        for left in (0..jobs as usize).rev() {
            assert!(ready.pop(Priority::Normal).is_some());
            let queue: &Queue = ready.queues.of(Priority::Normal);
            assert!(queue.capacity() <= (left * 8 + 8).max(SMALL), "{left} left in {}", queue.capacity());
        }
        assert!(ready.pop(Priority::Normal).is_none());
    }

    #[test]
    fn a_swept_queue_gives_memory_back() {
        let mut ready = backlog(100_000);
        ready.retain(|id| id.slot % 1000 == 0);
        assert_eq!(ready.iter().count(), 100);
        assert!(ready.queues.of(Priority::Normal).capacity() <= SMALL);
    }
}

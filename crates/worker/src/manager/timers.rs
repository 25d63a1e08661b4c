//! Moments at which the manager has to do something by itself.

use super::event::{GroupId, Slot};
use conveyor_common::Millis;
use foldhash::fast::FixedState;
use priority_queue::PriorityQueue;
use std::cmp::Reverse;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    /// A performer was given time for something.
    Stage(Slot),
    /// A performer has lived long enough.
    Lifetime(Slot),
    /// A performer has lived long enough to be no crash loop.
    Healthy(Slot),
    /// A performer is asked whether it is still there.
    Ping(Slot),
    /// A group may start again.
    Retry(GroupId),
    /// A measurement is stale, or nothing could be measured for too long.
    Sensors,
    /// The next start is not too soon any more.
    Pace,
    /// A replacement has waited for long.
    Patience(GroupId),
}

/// All timers; equal moments fire in the order in which they were set.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    queue: PriorityQueue<Timer, Reverse<(Millis, u64)>, FixedState>,
    set: u64,
}

impl Timers {
    /// Sets a timer, or sets it anew.
    pub(super) fn set(&mut self, timer: Timer, at: Millis) {
        self.set += 1;
        self.queue.push(timer, Reverse((at, self.set)));
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        self.queue.remove(&timer);
    }

    /// Nothing is due for a performer any more.
    pub(super) fn forget(&mut self, slot: Slot) {
        for timer in [Timer::Stage(slot), Timer::Lifetime(slot), Timer::Healthy(slot), Timer::Ping(slot)] {
            self.cancel(timer);
        }
    }

    /// When the next timer fires.
    pub(super) fn next(&self) -> Option<Millis> {
        self.queue.peek().map(|(_, Reverse((at, _)))| *at)
    }

    /// Takes the next timer that is due.
    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop().map(|(timer, _)| timer)
    }

    pub(super) fn contains(&self, timer: Timer) -> bool {
        self.queue.get(&timer).is_some()
    }

    /// Every timer, in no meaningful but a reproducible order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Timer> + '_ {
        self.queue.iter().map(|(timer, _)| *timer)
    }
}

//! What waits for the store: answers that promise something, and the jobs they are about.
//!
//! Changes are counted from 1 as they are appended. A background job under [`Durability::Sync`] is *committing*
//! until its change is stored: it can be joined, counted and cancelled, but nobody may run it, and the answer to
//! its submission keeps its place in what is queued for the client.

use super::change::Change;
use super::effect::{Effects, Reply};
use super::job::{JobId, Place, Standing};
use super::jobs::DASH;
use super::{Core, Durability};
use conveyor_common::protocol::ErrorCode;
use conveyor_common::{ConnId, JobNumber, Millis};
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};

/// Handle numbers and places are reserved in blocks, so that a restart never gives one out again; the next block
/// when half of one is used, so that nobody has to wait for it.
const BLOCK: u64 = 10_000;

/// The same where numbers are told without waiting for that: more than are used while a block is stored.
const RELAXED_BLOCK: u64 = 200_000;

/// What a background submission is told when the store refuses, as by gearmand.
pub(super) const STORE_REFUSES: Reply = Reply::Error { code: ErrorCode::QueueError, text: "QUEUE_ERROR" };

/// An answer that has to wait.
#[derive(Debug)]
struct Promise {
    /// Until this change is stored.
    after: u64,
    conn: ConnId,
    ticket: u64,
    kept: Reply,
    broken: Reply,
}

/// How far the store is, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Journal {
    appended: u64,
    stored: u64,
    /// The store refused a change: none will be stored any more.
    failed: bool,
    /// The store cannot be reached for the moment.
    away: bool,
    tickets: u64,
    /// By the change they wait for.
    promises: VecDeque<Promise>,
    /// Jobs to look at when a change is stored, by that change.
    unstored: VecDeque<(u64, JobId)>,
    /// The change that stores a job, while it is not stored. Never iterated.
    change_of: HashMap<JobNumber, u64, FixedState>,
    /// Blocks of numbers that are not stored yet, and the last number that is.
    reserving: VecDeque<(u64, JobNumber)>,
    reserved_for_good: JobNumber,
    reserved: JobNumber,
    reserved_orders: u64,
}

impl Journal {
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) const fn is_away(&self) -> bool {
        self.away
    }

    pub(super) const fn set_away(&mut self, away: bool) {
        self.away = away;
    }

    /// The change that stores a job; none when it is stored, or never will be.
    pub(super) fn change_of(&self, number: JobNumber) -> Option<u64> {
        self.change_of.get(&number).copied()
    }

    pub(super) const fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// What another core reserved.
    pub(super) fn reserved_before(&mut self, through: JobNumber, orders: u64) {
        self.reserved = self.reserved.max(through);
        self.reserved_for_good = self.reserved_for_good.max(through);
        self.reserved_orders = self.reserved_orders.max(orders);
    }

    pub(super) fn unstored(&self) -> impl Iterator<Item = JobId> + '_ {
        self.unstored.iter().map(|(_, id)| *id)
    }
}

impl Core {
    pub(super) fn records(&self) -> bool {
        self.rules.durability != Durability::Memory
    }

    /// Records a change, and says which it is.
    pub(super) fn append(&mut self, change: Change, fx: &mut Effects) -> u64 {
        if self.records() {
            self.journal.appended += 1;
            fx.append(change);
        }
        self.journal.appended
    }

    /// Records that a background job exists.
    pub(super) fn append_job(&mut self, id: JobId, fx: &mut Effects) -> u64 {
        if !self.records() {
            return 0;
        }
        let Some(record) = self.record(id) else { return self.journal.appended };
        let number = record.number;
        let change = self.append(Change::Added(record), fx);
        self.journal.unstored.push_back((change, id));
        self.journal.change_of.insert(number, change);
        change
    }

    /// Answers `kept` once a change is stored, or `broken` when it cannot be.
    pub(super) fn promise(
        &mut self,
        conn: ConnId,
        after: u64,
        (kept, broken): (Reply, Reply),
        fx: &mut Effects,
    ) {
        if after <= self.journal.stored {
            return fx.send(conn, kept);
        }
        let ticket = self.journal.next_ticket();
        fx.hold(conn, ticket);
        let promise = Promise { after, conn, ticket, kept, broken };
        // Whoever joins a job waits for an older change than the newest.
        let at = self.journal.promises.partition_point(|other| other.after <= after);
        self.journal.promises.insert(at, promise);
    }

    /// The next handle number, and the change after which it may be told: 0 is at once.
    pub(super) fn take_number(&mut self, fx: &mut Effects) -> (JobNumber, u64) {
        let number = self.next_number;
        self.next_number = JobNumber(number.0.wrapping_add(1).max(1));
        self.reserve_ahead(fx);
        (number, self.told_after(number))
    }

    /// The change after which a number may be told: 0 is at once.
    pub(super) fn told_after(&self, number: JobNumber) -> u64 {
        if self.rules.durability != Durability::Sync || number <= self.journal.reserved_for_good {
            return 0;
        }
        let block = self.journal.reserving.iter().find(|(_, through)| number <= *through);
        block.map_or(0, |(change, _)| *change)
    }

    pub(super) fn take_order(&mut self, fx: &mut Effects) -> u64 {
        self.next_order += 1;
        self.reserve_ahead(fx);
        self.next_order
    }

    fn reserve_ahead(&mut self, fx: &mut Effects) {
        if !self.records() {
            return;
        }
        let journal = &self.journal;
        let relaxed = self.rules.durability == Durability::Relaxed;
        let block = if relaxed { RELAXED_BLOCK } else { BLOCK };
        let enough = |used: u64, reserved: u64| used.saturating_add(block / 2) < reserved;
        let numbers = enough(self.next_number.0, journal.reserved.0);
        if journal.failed || numbers && enough(self.next_order, journal.reserved_orders) {
            return;
        }
        let through = JobNumber(self.next_number.0.saturating_add(block));
        let orders = self.next_order.saturating_add(block);
        let change = self.append(Change::NumbersReserved { through, orders }, fx);
        self.journal.reserved = through;
        self.journal.reserved_orders = orders;
        self.journal.reserving.push_back((change, through));
    }

    /// Gives back what is reserved and was not used.
    pub(super) fn stopping(&mut self, fx: &mut Effects) {
        if !self.journal.failed {
            let through = JobNumber(self.next_number.0.saturating_sub(1));
            self.append(Change::NumbersReserved { through, orders: self.next_order }, fx);
        }
    }

    /// Changes are stored: what waited for them goes on.
    pub(super) fn stored(&mut self, now: Millis, through: u64, fx: &mut Effects) {
        self.journal.stored = self.journal.stored.max(through);
        while let Some((change, through_number)) = self.journal.reserving.front().copied()
            && change <= through
        {
            self.journal.reserving.pop_front();
            self.journal.reserved_for_good = through_number;
        }
        while self.journal.promises.front().is_some_and(|promise| promise.after <= through) {
            if let Some(promise) = self.journal.promises.pop_front() {
                self.answer(promise.conn, promise.ticket, promise.kept, fx);
            }
        }
        while let Some((change, id)) = self.journal.unstored.front().copied()
            && change <= through
        {
            self.journal.unstored.pop_front();
            let Some(job) = self.jobs.get(id) else { continue };
            let (number, committing) = (job.number, job.place == Place::Committing);
            self.journal.change_of.remove(&number);
            if committing {
                self.leave_commit(now, id, fx);
            }
            self.spill(id);
        }
    }

    /// A job is stored, or is not to be: it goes where its start time puts it.
    fn leave_commit(&mut self, now: Millis, id: JobId, fx: &mut Effects) {
        let Some(job) = self.jobs.get(id) else { return };
        let scheduled = job.standing == Standing::Wanted && self.is_future(now, job.when());
        if let Some(job) = self.jobs.get_mut(id) {
            job.place = if scheduled { Place::Scheduled } else { Place::Ready };
        }
        self.enter_queue(id);
        self.wake_for(now, id, fx);
    }

    /// Fills the place that was kept for an answer, if somebody still waits for it.
    pub(super) fn answer(&self, conn: ConnId, ticket: u64, reply: Reply, fx: &mut Effects) {
        if self.conns.get(conn).is_some_and(|conn| !conn.leaving) {
            fx.fill(conn, ticket, reply);
        }
    }

    /// Nothing will be stored any more.
    pub(super) fn store_failed(&mut self, now: Millis, fx: &mut Effects) {
        self.journal.failed = true;
        // Numbers are told all the same: nobody is to wait for ever.
        self.journal.reserving.clear();
        self.refused(now, u64::MAX, fx);
    }

    /// Background jobs up to a change are not stored. They are gone, unless a foreground client waits for them too.
    pub(super) fn refused(&mut self, now: Millis, through: u64, fx: &mut Effects) {
        while self.journal.promises.front().is_some_and(|promise| promise.after <= through) {
            if let Some(promise) = self.journal.promises.pop_front() {
                self.answer(promise.conn, promise.ticket, promise.broken, fx);
            }
        }
        while let Some((change, id)) = self.journal.unstored.front().copied()
            && change <= through
        {
            self.journal.unstored.pop_front();
            let Some(job) = self.jobs.get_mut(id) else { continue };
            self.journal.change_of.remove(&job.number);
            job.background = false;
            let (committing, wanted) = (job.place == Place::Committing, job.standing == Standing::Wanted);
            match (committing, job.watchers.is_empty()) {
                (true, true) => self.drop_committing(id),
                (true, false) => self.leave_commit(now, id, fx),
                (false, true) if wanted => self.give_up(id, Standing::Abandoned),
                (false, _) => {}
            }
        }
    }

    /// Removes a job that is nowhere but in the journal.
    fn drop_committing(&mut self, id: JobId) {
        let Some(job) = self.jobs.remove(id) else { return };
        if let Some(function) = self.functions.get_mut(job.function) {
            let queued = function.queued.of_mut(job.priority);
            *queued = queued.saturating_sub(1);
        }
    }

    /// Leaves the payload of a stored job to the store when memory is short.
    fn spill(&mut self, id: JobId) {
        if !self.rules.keeps.payloads || self.jobs.used_bytes() <= self.rules.queue_bytes {
            return;
        }
        let Some(job) = self.jobs.get(id) else { return };
        let waits = matches!(job.place, Place::Ready | Place::Scheduled | Place::Behind);
        // Jobs with a dash are told apart by their payload.
        if waits && job.background && job.standing == Standing::Wanted && job.unique() != DASH {
            self.jobs.spill(id);
        }
    }

    /// Whether a new job finds room. What can be left to the store needs room for its record only.
    pub(super) fn has_room(&self, background: bool) -> bool {
        let jobs = &self.jobs;
        let stored = background && self.records() && self.rules.keeps.payloads;
        let used = if stored { jobs.record_bytes() } else { jobs.used_bytes() };
        used.saturating_add(self.unread_bytes()) <= self.rules.queue_bytes
    }
}

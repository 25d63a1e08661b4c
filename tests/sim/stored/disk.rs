//! What the store of such a world does: it stores, refuses, fails, is read, and outlives the server.

use super::World;
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use conveyor_server::core::{Change, Core, Durability, Event, Record, Row, StoredJob};
use std::collections::{BTreeMap, BTreeSet};

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) jobs: BTreeMap<(Priority, JobNumber), Record>,
    pub(super) functions: BTreeSet<Bytes>,
    pub(super) reserved: (u64, u64),
}

impl Disk {
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::NumbersReserved { through, orders } => self.reserved = (through.0, orders),
            Change::FunctionCreated { name } => drop(self.functions.insert(name)),
            Change::FunctionDropped { name } => drop(self.functions.remove(&name)),
            Change::QueueLimited { .. } => {}
            Change::Added(record) => {
                self.functions.insert(record.function.clone());
                self.jobs.insert((record.priority, record.number), record);
            }
            Change::Lost { number, priority, retries, order } => {
                if let Some(record) = self.jobs.get_mut(&(priority, number)) {
                    record.retries = retries;
                    record.order = order;
                }
            }
            Change::Removed { number, priority, function, unique } => {
                if let Some(record) = self.jobs.remove(&(priority, number)) {
                    let known = (record.function, !record.unique.is_empty());
                    assert_eq!(known, (function, unique), "a store that counts is told the truth");
                }
            }
        }
    }
}

impl World {
    pub(super) fn commit(&mut self, most: usize) {
        if self.failed || self.waiting.is_empty() {
            return;
        }
        let count = 1 + self.rng.below(most.min(self.waiting.len()));
        for change in self.owed.drain(..).chain(self.waiting.drain(..count)) {
            self.disk.apply(change);
        }
        self.stored += count as u64;
        self.apply(Event::Stored { through: self.stored });
    }

    /// The store is away for a moment: jobs are refused, everything else is made up for.
    pub(super) fn refuse(&mut self, most: usize) {
        if self.failed || self.waiting.is_empty() {
            return;
        }
        let count = 1 + self.rng.below(most.min(self.waiting.len()));
        let kept = self.waiting.drain(..count).filter(|change| !matches!(change, Change::Added(_)));
        self.owed.extend(kept);
        self.counts.failures += 1;
        self.unsure = true;
        self.stored += count as u64;
        self.apply(Event::Refused { through: self.stored });
    }

    pub(super) fn fail_store(&mut self) {
        self.failed = true;
        self.apply(Event::StoreFailed);
    }

    pub(super) fn is_loading(&self) -> bool {
        self.loading.is_some() || !self.flight.is_empty()
    }

    /// The next jobs are read, or those that were read come.
    pub(super) fn load(&mut self, most: usize) {
        if self.loading.is_some() && (self.flight.is_empty() || self.rng.chance(50)) {
            self.read(most);
        }
        if self.rng.chance(60)
            && let Some(event) = self.flight.pop_front()
        {
            self.unread.note_loaded(&event);
            self.apply(event);
        }
    }

    fn read(&mut self, most: usize) {
        let Some((after, reserved)) = self.loading else { return };
        let count = 1 + self.rng.below(most);
        let earlier = |(_, number): &(Priority, JobNumber)| number.0 <= reserved;
        let rows: Vec<Record> = self
            .disk
            .jobs
            .iter()
            .filter(|(key, _)| **key > after && earlier(key))
            .take(count)
            .map(|(_, record)| record.clone())
            .collect();
        let next = rows.last().map(|record| (record.priority, record.number));
        self.loading = next.map(|next| (next, reserved));
        let jobs = rows
            .into_iter()
            .map(|mut record| {
                let spilled = &record.unique[..] != b"-" && self.rng.chance(50);
                if spilled {
                    record.payload = Bytes::new();
                }
                StoredJob { record, spilled }
            })
            .collect();
        self.flight.push_back(Event::Loaded { jobs, next: next.map(|(priority, _)| priority) });
    }

    /// Somebody's job is looked for.
    pub(super) fn find(&mut self) {
        if self.finds.is_empty() {
            return;
        }
        let at = self.rng.below(self.finds.len());
        let number = self.finds.swap_remove(at);
        self.counts.found += 1;
        let stored = self.disk.jobs.iter().find(|((_, other), _)| *other == number);
        let row = stored.map(|((priority, _), record)| Row {
            priority: *priority,
            function: record.function.clone(),
            unique: !record.unique.is_empty(),
        });
        self.apply(Event::Found { number, row });
    }

    pub(super) fn fetch(&mut self, may_fail: bool) {
        if self.fetches.is_empty() {
            return;
        }
        let at = self.rng.below(self.fetches.len());
        let (number, priority) = self.fetches.swap_remove(at);
        self.counts.fetched += 1;
        let stored = self.disk.jobs.get(&(priority, number)).map(|record| record.payload.clone());
        let payload = stored.filter(|_| !may_fail || self.rng.chance(95));
        self.apply(Event::Fetched { number, payload });
    }

    /// Kill -9, and the next life. What was being written may be there or not.
    pub(super) fn restart(&mut self) {
        let written = if self.failed { 0 } else { self.rng.below(self.waiting.len() + 1) };
        if written > 0 || self.rng.chance(50) {
            self.owed.drain(..).for_each(|change| self.disk.apply(change));
        }
        self.owed.clear();
        for change in self.waiting.drain(..written) {
            self.disk.apply(change);
        }
        let reserved = self.disk.reserved.0;
        if self.failed || self.unsure || self.rules.durability == Durability::Relaxed {
            // Nobody waited for the reservation of these.
            self.known.retain(|number, known| known.owed || number.0 <= reserved);
            self.ended.retain(|number| number.0 <= reserved);
        }
        self.life += 1;
        self.counts.lives += 1;
        self.waiting.clear();
        self.conns.clear();
        self.flight.clear();
        self.finds.clear();
        self.fetches.clear();
        self.held.clear();
        (self.stored, self.failed, self.unsure) = (0, false, false);
        if self.rules.durability == Durability::Sync {
            let on_disk: BTreeSet<JobNumber> = self.disk.jobs.keys().map(|(_, number)| *number).collect();
            let lost = self.known.iter().find(|(number, known)| known.owed && !on_disk.contains(number));
            assert!(lost.is_none(), "accepted and lost: {lost:?}");
        } else {
            let disk = &self.disk;
            self.known
                .retain(|number, known| !known.owed || disk.jobs.keys().any(|(_, other)| other == number));
        }
        self.core = Core::new(self.rules.clone());
        let (through, orders) = self.disk.reserved;
        self.core.restore(Change::NumbersReserved { through: JobNumber(through), orders });
        let wrong = self.rng.chance(20);
        self.start_unread(through, wrong);
        self.loading = Some(((Priority::High, JobNumber(0)), through));
    }
}

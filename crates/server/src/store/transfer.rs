//! Jobs of one store come into another.

use super::{Backend, DataDirectory, Loader, Opened, Store, StoreError};
use crate::core::{Change, Record};
use bytes::Bytes;
use conveyor_common::JobNumber;
use std::collections::HashSet;

/// What became of the jobs, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Jobs of the first store.
    pub jobs: u64,
    /// Of these now in the second one.
    pub copied: u64,
    /// The same function and unique were there already.
    pub known: u64,
    /// The second store has no place for them: their start time, or what the store itself refuses.
    pub refused: u64,
    /// Copied without their reducer.
    pub reducers_lost: u64,
    /// Copied without the number of times they were lost with a worker.
    pub attempts_lost: u64,
    /// Copied with another handle.
    pub handles_lost: u64,
}

/// How jobs are transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Only say what would happen; the second store is not even looked at.
    pub dry_run: bool,
    /// Take jobs out of the first store when they are in the second one.
    pub remove: bool,
}

/// The store that jobs come into.
struct Target {
    store: Box<dyn Store>,
    last: u64,
    last_order: u64,
    known: HashSet<(Bytes, Bytes)>,
    /// Held as long as it is written to.
    _guard: Option<DataDirectory>,
}

impl Target {
    fn open(backend: &Backend) -> Result<Self, StoreError> {
        let Opened { store, mut loader, head, guard, .. } = backend.open()?;
        let (mut last, mut last_order) = (0, 0);
        for change in head {
            if let Change::NumbersReserved { through, orders } = change {
                (last, last_order) = (through.0, orders);
            }
        }
        let mut known = HashSet::new();
        each_batch(&mut *loader, 0, |jobs| {
            for record in jobs {
                last = last.max(record.number.0);
                last_order = last_order.max(record.order);
                if let Some(key) = key_of(&record) {
                    known.insert(key);
                }
            }
            Ok(())
        })?;
        Ok(Self { store, last, last_order, known, _guard: guard })
    }

    /// Stores jobs under numbers of its own; returns how many it refuses.
    fn take(&mut self, mut records: Vec<Record>) -> Result<u64, StoreError> {
        for record in &mut records {
            self.last += 1;
            self.last_order += 1;
            record.number = JobNumber(self.last);
            record.order = self.last_order;
        }
        let reserved = Change::NumbersReserved { through: JobNumber(self.last), orders: self.last_order };
        let mut changes = vec![reserved];
        changes.extend(records.into_iter().map(Change::Added));
        match self.store.commit(&changes) {
            Ok(()) => return Ok(0),
            Err(StoreError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut refused = 0;
        for change in &changes {
            match self.store.commit(std::slice::from_ref(change)) {
                Ok(()) => {}
                Err(StoreError::Refused { .. }) => refused += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }
}

/// What makes two jobs the same.
fn key_of(record: &Record) -> Option<(Bytes, Bytes)> {
    let told_apart = matches!(&record.unique[..], b"" | b"-");
    (!told_apart).then(|| (record.function.clone(), record.unique.clone()))
}

fn end_of(record: &Record) -> Change {
    Change::Removed {
        number: record.number,
        priority: record.priority,
        function: record.function.clone(),
        unique: !record.unique.is_empty(),
    }
}

/// Hands every batch of a store to `take`; payloads come along while there is `room` for each batch.
fn each_batch(
    loader: &mut dyn Loader,
    room: usize,
    mut take: impl FnMut(Vec<Record>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    loop {
        let mut room = room;
        let (jobs, next) = loader.next_jobs(&mut room)?;
        take(jobs.into_iter().map(|job| job.record).collect())?;
        if next.is_none() {
            return Ok(());
        }
    }
}

impl Transfer {
    /// Copies, or moves, the jobs of `from` to `to`; `progress` is told how many have been looked at. Jobs keep
    /// their order and get new handles. When it fails, what was copied so far stays copied: jobs with a unique are not copied
    /// again when it is repeated.
    ///
    /// # Errors
    /// A store cannot be used; the error says what to do.
    pub fn run(
        self,
        from: &Backend,
        to: &Backend,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Transferred, StoreError> {
        if let Backend::Durable(config) = from {
            DataDirectory::existing_queue(&config.directory)?;
        }
        let Opened { store: mut source, mut loader, guard: _source_guard, .. } = from.open()?;
        let mut target = if self.dry_run { None } else { Some(Target::open(to)?) };
        let keeps_all = matches!(to, Backend::Durable(_));
        let start_times = to.keeps().start_times;
        let mut report = Transferred::default();
        each_batch(&mut *loader, usize::MAX, |records| {
            let ends: Vec<Change> = records.iter().map(end_of).collect();
            report.jobs += records.len() as u64;
            let (mut taken, mut taken_ends) = (Vec::new(), Vec::new());
            for (record, end) in records.into_iter().zip(ends) {
                let key = key_of(&record);
                let known = &mut target.as_mut().map(|target| &mut target.known);
                if let (Some(key), Some(known)) = (key, known)
                    && !known.insert(key)
                {
                    report.known += 1;
                } else if record.when > 0 && !start_times {
                    report.refused += 1;
                } else {
                    report.handles_lost += 1;
                    report.reducers_lost += u64::from(!keeps_all && record.reducer.is_some());
                    report.attempts_lost += u64::from(!keeps_all && record.retries > 0);
                    taken.push(record);
                    taken_ends.push(end);
                }
            }
            let count = taken.len() as u64;
            let refused = match &mut target {
                Some(target) => target.take(taken)?,
                None => 0,
            };
            report.refused += refused;
            report.copied += count - refused;
            // With a refused job among them nobody knows which: all of these stay.
            if self.remove && !self.dry_run && refused == 0 {
                source.commit(&taken_ends)?;
            }
            progress(report.jobs);
            Ok(())
        })?;
        source.close();
        if let Some(target) = target {
            target.store.close();
        }
        Ok(report)
    }
}

//! The core's changes become rows put and deleted; what a store that was away missed is made up for.

use super::names::Names;
use super::{Key, Op, Row, Table};
use crate::core::{Change, Record};
use crate::store::{Store, StoreError};
use conveyor_common::JobNumber;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Rows that are still to be deleted, at most. Those beyond come back at the next start.
const MOST_OWED: usize = 100_000;

/// Deletions in one write of what is owed.
const OWED_BATCH: usize = 1000;

/// Names in the log when rows cannot be deleted.
const MOST_LISTED: usize = 100;

/// First pause after a failed write; doubled up to [`LONGEST_PAUSE`] while it keeps failing.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Keeps rows in step with the jobs.
pub(super) struct Adapter {
    table: Box<dyn Table>,
    names: Names,
    /// Rows by the number of their job. Never iterated.
    keys: HashMap<JobNumber, Key>,
    /// Rows that must not be there: of ended jobs, and of refused ones that may have been written all the same.
    owed: HashSet<Key>,
    /// How long a write is tried again before it fails.
    patience: Duration,
    /// Since when it fails, if it does.
    trouble: Option<Trouble>,
}

/// A store that cannot be reached.
struct Trouble {
    what: String,
    pause: Duration,
    /// When it is next tried.
    next: Instant,
}

impl Adapter {
    pub(super) fn new(
        table: Box<dyn Table>,
        names: Names,
        keys: HashMap<JobNumber, Key>,
        patience: Duration,
    ) -> Self {
        Self { table, names, keys, owed: HashSet::new(), patience, trouble: None }
    }

    /// What is to be done. Keys of new rows are added to `new`.
    fn steps(
        &mut self,
        changes: &[Change],
        new: &mut HashMap<JobNumber, Key>,
    ) -> Result<Vec<Op>, StoreError> {
        let mut ops = Vec::new();
        for change in changes {
            match change {
                Change::Added(record) => {
                    let row = row_of(record, &mut self.names);
                    self.table.accepts(&row)?;
                    new.insert(record.number, row.key.clone());
                    ops.push(Op::Put(row));
                }
                Change::Removed { number, .. } => {
                    let key = new.get(number).or_else(|| self.keys.get(number));
                    ops.extend(key.map(|key| Op::Delete(key.clone())));
                }
                // gearmand's rows have no place for these.
                Change::Lost { .. }
                | Change::NumbersReserved { .. }
                | Change::FunctionCreated { .. }
                | Change::FunctionDropped { .. }
                | Change::QueueLimited { .. } => {}
            }
        }
        Ok(ops)
    }

    /// Writes, and tries again for as long as that is wanted.
    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        let end = Instant::now() + self.patience;
        loop {
            let Err(error) = self.write_once(ops) else { return Ok(()) };
            let next = self.trouble.as_ref().map(|trouble| trouble.next).filter(|next| *next <= end);
            match (&error, next) {
                (StoreError::Away { .. }, Some(next)) => {
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                _ => return Err(error),
            }
        }
    }

    /// Writes what is owed, and more. Fails at once while the store rests.
    fn write_once(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        if let Some(trouble) = self.trouble.as_ref().filter(|trouble| Instant::now() < trouble.next) {
            return Err(StoreError::Away { what: trouble.what.clone() });
        }
        self.pay().map_err(|error| self.note_trouble(&error))?;
        match self.table.write(ops) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the store can be reached again");
                }
                Ok(())
            }
            Err(error @ StoreError::Refused { .. }) => Err(error),
            Err(error) => Err(self.note_trouble(&error)),
        }
    }

    /// Deletes what must not be there.
    fn pay(&mut self) -> Result<(), StoreError> {
        while !self.owed.is_empty() {
            let batch: Vec<Key> = self.owed.iter().take(OWED_BATCH).cloned().collect();
            let ops: Vec<Op> = batch.iter().cloned().map(Op::Delete).collect();
            self.table.write(&ops)?;
            for key in &batch {
                self.owed.remove(key);
            }
        }
        Ok(())
    }

    fn note_trouble(&mut self, error: &StoreError) -> StoreError {
        let what = error.to_string();
        let pause = match &self.trouble {
            Some(trouble) => (trouble.pause * 2).min(LONGEST_PAUSE),
            None => {
                tracing::error!(error = what, "background jobs are refused until the store can be reached");
                FIRST_PAUSE
            }
        };
        self.trouble = Some(Trouble { what: what.clone(), pause, next: Instant::now() + pause });
        StoreError::Away { what }
    }

    fn owe(&mut self, key: &Key) {
        if self.owed.len() < MOST_OWED {
            self.owed.insert(key.clone());
        } else {
            note_left(std::iter::once(key));
        }
    }

    /// After a failed write: what it was to delete is deleted later, and so is what it was to put.
    fn note_failed(&mut self, changes: &[Change], ops: &[Op], error: &StoreError) {
        // Each of several refused changes is tried again.
        let again = matches!(error, StoreError::Refused { .. }) && changes.len() > 1;
        for op in ops {
            match op {
                Op::Put(Row { key, .. }) => self.owe(key),
                Op::Delete(key) if !again => self.owe(key),
                Op::Delete(_) => {}
            }
        }
        if !again {
            self.forget(changes);
        }
    }

    /// Jobs that are over need no key any more.
    fn forget(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Removed { number, .. } = change {
                self.keys.remove(number);
            }
        }
    }
}

/// A job as gearmand keeps it.
pub(super) fn row_of(record: &Record, names: &mut Names) -> Row {
    let key = Key { function: record.function.clone(), unique: names.name(&record.unique) };
    Row { key, priority: record.priority, when: record.when, payload: record.payload.clone() }
}

/// Rows of jobs that are over.
fn note_left<'a>(keys: impl Iterator<Item = &'a Key>) {
    for Key { function, unique } in keys.take(MOST_LISTED) {
        let (function, unique) = (String::from_utf8_lossy(function), String::from_utf8_lossy(unique));
        tracing::warn!(%function, %unique, "this job is over, but may run again after the next start");
    }
}

impl Store for Adapter {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut new = HashMap::new();
        let ops = self.steps(changes, &mut new)?;
        if !ops.is_empty()
            && let Err(error) = self.write(&ops)
        {
            self.note_failed(changes, &ops, &error);
            return Err(error);
        }
        self.keys.extend(new);
        self.forget(changes);
        Ok(())
    }

    fn catch_up(&mut self) -> Option<Duration> {
        if self.owed.is_empty() && self.trouble.is_none() {
            return None;
        }
        // What is wrong is noted; it is tried again.
        let _ = self.write_once(&[]);
        let trouble = self.trouble.as_ref()?;
        Some(trouble.next.saturating_duration_since(Instant::now()))
    }

    fn close(mut self: Box<Self>) {
        if let Err(error) = self.pay() {
            tracing::error!(%error, "the store cannot be reached");
            note_left(self.owed.iter());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use conveyor_common::Priority;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// Rows in memory, and a switch.
    #[derive(Clone, Default)]
    struct Rows {
        rows: Arc<Mutex<BTreeMap<Key, Row>>>,
        away: Arc<Mutex<bool>>,
    }

    impl Rows {
        fn set_away(&self, away: bool) {
            *self.away.lock().unwrap() = away;
        }

        fn payloads(&self) -> Vec<Bytes> {
            self.rows.lock().unwrap().values().map(|row| row.payload.clone()).collect()
        }
    }

    impl Table for Rows {
        fn accepts(&self, row: &Row) -> Result<(), StoreError> {
            let what = "a test".to_owned();
            if row.payload == "bad" { Err(StoreError::Refused { what }) } else { Ok(()) }
        }

        /// A store that is away writes, and the answer is lost.
        fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
            let mut rows = self.rows.lock().unwrap();
            for op in ops {
                match op {
                    Op::Put(row) => drop(rows.insert(row.key.clone(), row.clone())),
                    Op::Delete(key) if !*self.away.lock().unwrap() => drop(rows.remove(key)),
                    Op::Delete(_) => {}
                }
            }
            let failed = StoreError::Failed { doing: "write", what: "a test".to_owned() };
            if *self.away.lock().unwrap() { Err(failed) } else { Ok(()) }
        }

        fn load(&mut self) -> Result<Vec<Row>, StoreError> {
            Ok(Vec::new())
        }
    }

    fn added(number: u64, unique: &'static str, payload: &'static str) -> Change {
        Change::Added(Record {
            number: JobNumber(number),
            order: number,
            function: Bytes::from_static(b"f"),
            unique: Bytes::from_static(unique.as_bytes()),
            priority: Priority::Normal,
            reducer: None,
            when: 0,
            retries: 0,
            payload: Bytes::from_static(payload.as_bytes()),
        })
    }

    fn removed(number: u64) -> Change {
        Change::Removed {
            number: JobNumber(number),
            priority: Priority::Normal,
            function: Bytes::from_static(b"f"),
            unique: true,
        }
    }

    fn adapter(patience: Duration) -> (Adapter, Rows) {
        let rows = Rows::default();
        (Adapter::new(Box::new(rows.clone()), Names::new(), HashMap::new(), patience), rows)
    }

    /// Tries until the store is back.
    fn catch_up(adapter: &mut Adapter) {
        while let Some(pause) = adapter.catch_up() {
            std::thread::park_timeout(pause);
        }
    }

    #[test]
    fn nothing_of_a_refused_batch_stays_and_ends_of_jobs_are_made_up_for() {
        let (mut adapter, rows) = adapter(Duration::ZERO);
        adapter.commit(&[added(1, "u1", "one"), added(2, "", "two")]).unwrap();
        rows.set_away(true);
        let batch = [removed(1), added(3, "u3", "three"), added(4, "", "four")];
        assert!(matches!(adapter.commit(&batch), Err(StoreError::Away { .. })));
        assert_eq!(rows.payloads().len(), 4, "the store wrote, and nobody knows");
        rows.set_away(false);
        catch_up(&mut adapter);
        assert_eq!(rows.payloads(), ["two"]);
        adapter.commit(&[added(5, "u3", "again")]).unwrap();
        assert_eq!(rows.payloads(), ["two", "again"]);
    }

    #[test]
    fn a_unique_that_was_refused_can_be_stored_before_anybody_has_cleaned_up() {
        let (mut adapter, rows) = adapter(Duration::from_secs(20));
        rows.set_away(true);
        adapter.patience = Duration::ZERO;
        assert!(adapter.commit(&[added(1, "u", "refused")]).is_err());
        rows.set_away(false);
        // With patience it waits for the end of the pause.
        adapter.patience = Duration::from_secs(20);
        adapter.commit(&[added(2, "u", "accepted")]).unwrap();
        assert_eq!(rows.payloads(), ["accepted"]);
    }

    #[test]
    fn a_row_without_a_place_is_refused_and_leaves_the_rest_as_it_was() {
        let (mut adapter, rows) = adapter(Duration::ZERO);
        adapter.commit(&[added(1, "u1", "one")]).unwrap();
        let batch = [removed(1), added(2, "u2", "bad")];
        assert!(matches!(adapter.commit(&batch), Err(StoreError::Refused { .. })));
        assert_eq!(rows.payloads(), ["one"]);
        adapter.commit(&batch[..1]).unwrap();
        assert!(rows.payloads().is_empty() && adapter.catch_up().is_none());
    }
}

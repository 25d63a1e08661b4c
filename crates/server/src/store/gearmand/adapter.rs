//! The core's changes become rows put and deleted.

use super::names::Names;
use super::{Key, Op, Row, Table};
use crate::core::{Change, Record};
use crate::store::{Store, StoreError};
use conveyor_common::JobNumber;
use std::collections::HashMap;

/// Keeps rows in step with the jobs.
pub(super) struct Adapter {
    table: Box<dyn Table>,
    names: Names,
    /// Rows by the number of their job. Never iterated.
    keys: HashMap<JobNumber, Key>,
}

impl Adapter {
    pub(super) fn new(table: Box<dyn Table>, names: Names, keys: HashMap<JobNumber, Key>) -> Self {
        Self { table, names, keys }
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
}

/// A job as gearmand keeps it.
pub(super) fn row_of(record: &Record, names: &mut Names) -> Row {
    let key = Key { function: record.function.clone(), unique: names.name(&record.unique) };
    Row { key, priority: record.priority, when: record.when, payload: record.payload.clone() }
}

impl Store for Adapter {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut new = HashMap::new();
        let ops = self.steps(changes, &mut new)?;
        if !ops.is_empty() {
            self.table.write(&ops)?;
        }
        self.keys.extend(new);
        for change in changes {
            if let Change::Removed { number, .. } = change {
                self.keys.remove(number);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) {}
}

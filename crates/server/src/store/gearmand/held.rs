//! `--store-queue-on-shutdown`: nothing is written while the server runs. When it stops in order all background jobs are,
//! running ones too; when it starts they are taken out. A crash loses them, as in gearmand.

use super::adapter::row_of;
use super::names::Names;
use super::{Key, Op, Table};
use crate::core::{Change, Record};
use crate::store::{Store, StoreError};
use conveyor_common::JobNumber;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Jobs that are written at the end.
pub(super) struct Held {
    table: Box<dyn Table>,
    jobs: BTreeMap<JobNumber, Record>,
}

impl Held {
    /// Takes the rows out that were read.
    pub(super) fn new(
        mut table: Box<dyn Table>,
        keys: HashMap<JobNumber, Key>,
        records: &VecDeque<Record>,
    ) -> Result<Self, StoreError> {
        let ops: Vec<Op> = keys.into_values().map(Op::Delete).collect();
        if !ops.is_empty() {
            table.write(&ops)?;
        }
        let jobs = records.iter().map(|record| (record.number, record.clone())).collect();
        Ok(Self { table, jobs })
    }
}

impl Store for Held {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Added(record) => drop(self.jobs.insert(record.number, record.clone())),
                Change::Removed { number, .. } => drop(self.jobs.remove(number)),
                Change::Lost { number, order, .. } => {
                    if let Some(record) = self.jobs.get_mut(number) {
                        record.order = *order;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) {
        let Self { mut table, jobs } = *self;
        let mut records: Vec<Record> = jobs.into_values().collect();
        records.sort_unstable_by_key(|record| record.order);
        let mut names = Names::new();
        let ops: Vec<Op> = records.iter().map(|record| Op::Put(row_of(record, &mut names))).collect();
        if ops.is_empty() {
            return;
        }
        match table.write(&ops) {
            Ok(()) => tracing::info!(jobs = ops.len(), "background jobs are stored for the next start"),
            Err(error) => tracing::error!(%error, jobs = ops.len(), "background jobs are lost"),
        }
    }
}

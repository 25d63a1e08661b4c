//! Changes become rows.

use super::counts::{Doubt, Tally};
use super::schema::VERSION;
use super::{NUMBERS, ORDERS, StoreError, explain, id_of};
use crate::core::{Change, Record};
use crate::store::Store;
use bytes::Bytes;
use conveyor_common::JobNumber;
use conveyor_common::priority::PerPriority;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const INSERT: &str =
    "INSERT OR IGNORE INTO jobs (id, place, function, retries, start, uniq, reducer, payload)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const DELETE: &str = "DELETE FROM jobs WHERE id = ?1";
const REPLACED: &str = "DELETE FROM jobs WHERE id = ?1 RETURNING function, length(uniq) > 0";
const LOST: &str = "UPDATE jobs SET place = ?2, retries = ?3 WHERE id = ?1";
const META: &str = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
const FUNCTION: &str = "INSERT INTO functions (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
const LIMITS: &str = "UPDATE functions SET high = ?2, normal = ?3, low = ?4 WHERE name = ?1";
const DROP: &str = "DELETE FROM functions WHERE name = ?1";
const DROP_COUNTS: &str = "DELETE FROM counts WHERE jobs = 0 AND uniques = 0
    AND function = (SELECT id FROM functions WHERE name = ?1)";

/// Statements kept prepared: all of the above.
const STATEMENTS: usize = 16;

/// The connection that writes.
#[derive(Debug)]
pub(super) struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    /// Ids of functions by name.
    functions: HashMap<Bytes, i64>,
    /// The one last asked for: most ask for the same.
    last: Option<(Bytes, i64)>,
    tally: Tally,
    doubt: Doubt,
}

impl SqliteStore {
    pub(super) fn new(connection: Connection, path: &Path, doubt: Doubt) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let (path, functions, tally) = (path.to_owned(), HashMap::new(), Tally::default());
        Self { connection, path, functions, last: None, tally, doubt }
    }

    fn apply(&mut self, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::Added(record) => self.add(record),
            Change::Removed { number, priority, function, unique } => {
                let gone = self.run(DELETE, [id_of(*number, *priority)])? > 0;
                if gone && let Some(function) = self.listed_function(function)? {
                    self.tally.note(function, *priority, *unique, false);
                }
                Ok(())
            }
            Change::Lost { number, priority, retries, order } => {
                self.run(LOST, params![id_of(*number, *priority), order.cast_signed(), retries]).map(drop)
            }
            Change::NumbersReserved { through, orders } => {
                let JobNumber(through) = through;
                self.run(META, params![NUMBERS, through.cast_signed()])?;
                self.run(META, params![ORDERS, orders.cast_signed()]).map(drop)
            }
            Change::FunctionCreated { name } => self.function(name).map(drop),
            Change::FunctionDropped { name } => {
                self.functions.remove(name);
                self.last = None;
                self.tally.write(&self.connection)?;
                self.run(DROP_COUNTS, params![&name[..]])?;
                self.run(DROP, params![&name[..]]).map(drop)
            }
            Change::QueueLimited { name, limits } => {
                self.function(name)?;
                let PerPriority { high, normal, low } = limits;
                self.run(LIMITS, params![&name[..], high, normal, low]).map(drop)
            }
        }
    }

    /// How many rows it changed.
    fn run(&self, statement: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(statement)?.execute(values)
    }

    fn add(&mut self, record: &Record) -> rusqlite::Result<()> {
        let function = self.function(&record.function)?;
        if !self.insert(record, function)? {
            // One that is there already is not counted twice.
            let mut delete = self.connection.prepare_cached(REPLACED)?;
            let found = delete
                .query_row([id_of(record.number, record.priority)], |row| Ok((row.get(0)?, row.get(1)?)));
            let (former, unique) = found?;
            self.tally.note(former, record.priority, unique, false);
            drop(delete);
            self.insert(record, function)?;
        }
        self.tally.note(function, record.priority, !record.unique.is_empty(), true);
        Ok(())
    }

    /// Whether there was no job of that number and priority.
    fn insert(&self, record: &Record, function: i64) -> rusqlite::Result<bool> {
        let added = self.run(
            INSERT,
            params![
                id_of(record.number, record.priority),
                record.order.cast_signed(),
                function,
                record.retries,
                record.when,
                &record.unique[..],
                record.reducer.as_deref(),
                &record.payload[..],
            ],
        )?;
        Ok(added > 0)
    }

    /// The id of a function, made if need be.
    fn function(&mut self, name: &Bytes) -> rusqlite::Result<i64> {
        if let Some(id) = self.listed_function(name)? {
            return Ok(id);
        }
        self.run(FUNCTION, params![&name[..]])?;
        self.listed_function(name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// The id of a function.
    fn listed_function(&mut self, name: &Bytes) -> rusqlite::Result<Option<i64>> {
        if let Some((last, id)) = &self.last
            && last == name
        {
            return Ok(Some(*id));
        }
        if let Some((name, id)) = self.functions.get_key_value(name) {
            self.last = Some((name.clone(), *id));
            return Ok(Some(*id));
        }
        let mut find = self.connection.prepare_cached("SELECT id FROM functions WHERE name = ?1")?;
        let id = find.query_row(params![&name[..]], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            // Names from a peer are small but many: the map is of the same size as the core's.
            self.functions.insert(Bytes::copy_from_slice(name), id);
        }
        Ok(id)
    }

    fn commit_all(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let applied = changes.iter().try_for_each(|change| self.apply(change));
        let ended = applied
            .and_then(|()| self.tally.write(&self.connection))
            .and_then(|()| self.doubt.write(&self.connection))
            .and_then(|()| self.connection.execute_batch("COMMIT"));
        if ended.is_err() {
            self.tally.forget();
            // Ids of functions made in it are none any more.
            self.functions.clear();
            self.last = None;
            if !self.connection.is_autocommit() {
                // That it fails changes nothing: the store is not used again.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            self.bury();
        }
        ended
    }

    /// Writes over what a failed commit left behind the end of the log. A sync that fails comes after the writes: the
    /// whole commit may stand there, and whoever opens the file next would take it for a good one.
    fn bury(&self) {
        // The page with the version is written even though it stays the same. Nothing is promised by it, so it
        // need not be synced, which would fail again.
        let over = "PRAGMA synchronous = OFF; BEGIN IMMEDIATE;";
        let written = self.connection.execute_batch(over).and_then(|()| {
            self.connection.pragma_update(None, "user_version", VERSION)?;
            self.connection.execute_batch("COMMIT")
        });
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        // What is written back to the file at the end is synced.
        let _ = self.connection.pragma_update(None, "synchronous", "FULL");
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.path.display(), "background jobs that were refused last may run after the next start");
        }
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.commit_all(changes).map_err(|error| explain(&self.path, "store jobs", &error))
    }

    fn close(self: Box<Self>) {
        // The last connection writes the log back and removes it.
        let Self { connection, path, doubt, .. } = *self;
        if let Err(error) = doubt.write(&connection) {
            tracing::debug!(%error, path = %path.display(), "the counts are not taken anew");
        }
        if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!(%error, path = %path.display(), "the log is written back at the next start");
        }
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, path = %path.display(), "the stored queue did not close in order");
        }
    }
}

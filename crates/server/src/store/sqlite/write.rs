//! Changes become rows.

use super::schema::VERSION;
use super::{NUMBERS, ORDERS, StoreError, explain, id_of};
use crate::core::{Change, Record};
use crate::store::Store;
use bytes::Bytes;
use conveyor_common::JobNumber;
use conveyor_common::priority::PerPriority;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const INSERT: &str =
    "INSERT OR REPLACE INTO jobs (id, place, function, retries, start, uniq, reducer, payload)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const DELETE: &str = "DELETE FROM jobs WHERE id = ?1";
const LOST: &str = "UPDATE jobs SET place = ?2, retries = ?3 WHERE id = ?1";
const META: &str = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
const FUNCTION: &str = "INSERT INTO functions (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
const LIMITS: &str = "UPDATE functions SET high = ?2, normal = ?3, low = ?4 WHERE name = ?1";
const DROP: &str = "DELETE FROM functions WHERE name = ?1";

/// Statements kept prepared: all of the above.
const STATEMENTS: usize = 16;

/// The connection that writes.
#[derive(Debug)]
pub(super) struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    /// Ids of functions by name.
    functions: HashMap<Bytes, i64>,
}

impl SqliteStore {
    pub(super) fn new(connection: Connection, path: &Path) -> rusqlite::Result<Self> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self { connection, path: path.to_owned(), functions: HashMap::new() })
    }

    fn apply(&mut self, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::Added(record) => self.add(record),
            Change::Removed { number, priority } => self.run(DELETE, params![id_of(*number, *priority)]),
            Change::Lost { number, priority, retries, order } => {
                self.run(LOST, params![id_of(*number, *priority), order.cast_signed(), retries])
            }
            Change::NumbersReserved { through, orders } => {
                let JobNumber(through) = through;
                self.run(META, params![NUMBERS, through.cast_signed()])?;
                self.run(META, params![ORDERS, orders.cast_signed()])
            }
            Change::FunctionCreated { name } => self.function(name).map(drop),
            Change::FunctionDropped { name } => {
                self.functions.remove(name);
                self.run(DROP, params![&name[..]])
            }
            Change::QueueLimited { name, limits } => {
                self.function(name)?;
                let PerPriority { high, normal, low } = limits;
                self.run(LIMITS, params![&name[..], high, normal, low])
            }
        }
    }

    fn run(&self, statement: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute(values).map(drop)
    }

    fn add(&mut self, record: &Record) -> rusqlite::Result<()> {
        let function = self.function(&record.function)?;
        self.run(
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
        )
    }

    /// The id of a function, made if need be.
    fn function(&mut self, name: &Bytes) -> rusqlite::Result<i64> {
        if let Some(id) = self.functions.get(name) {
            return Ok(*id);
        }
        self.run(FUNCTION, params![&name[..]])?;
        let find = "SELECT id FROM functions WHERE name = ?1";
        let id = self.connection.query_row(find, params![&name[..]], |row| row.get(0))?;
        // Names from a peer are small but many: the map is of the same size as the core's.
        self.functions.insert(Bytes::copy_from_slice(name), id);
        Ok(id)
    }

    fn commit_all(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let applied = changes.iter().try_for_each(|change| self.apply(change));
        let ended = applied.and_then(|()| self.connection.execute_batch("COMMIT"));
        if ended.is_err() {
            // Ids of functions made in it are none any more.
            self.functions.clear();
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
        let Self { connection, path, .. } = *self;
        if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!(%error, path = %path.display(), "the log is written back at the next start");
        }
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, path = %path.display(), "the stored queue did not close in order");
        }
    }
}

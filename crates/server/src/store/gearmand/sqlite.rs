//! gearmand's table in an SQLite file.

use super::{Key, Op, Row, StoreError, Table, priority_of};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another program may keep the file locked, as in gearmand.
const BUSY: Duration = Duration::from_secs(6);

/// The column that tables of old gearmands lack.
const WHEN: &str = "when_to_run";

/// The connection to the file.
#[derive(Debug)]
pub(super) struct SqliteTable {
    connection: Connection,
    file: PathBuf,
    /// Name of the table, in quotes.
    table: String,
}

impl SqliteTable {
    /// Opens the file, and makes the table if need be.
    pub(super) fn open(file: &Path, table: &str) -> Result<Self, StoreError> {
        let doing = "open the queue of --libsqlite3-db";
        let explain = |error| explain(file, doing, &error);
        let connection = Connection::open(file).map_err(explain)?;
        let opened = Self { connection, file: file.to_owned(), table: quote(table) };
        opened.prepare().map_err(explain)?;
        Ok(opened)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY)?;
        let Self { table, .. } = self;
        // Text, names and types are gearmand's own, so that either program can go on with the file of the other.
        self.connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {table} ( unique_key TEXT, function_name TEXT, priority INTEGER, \
             data BLOB, when_to_run INTEGER, PRIMARY KEY (unique_key, function_name))"
        ))?;
        let columns = self.connection.prepare(&format!("SELECT * FROM {table} LIMIT 0"))?;
        if !columns.column_names().contains(&WHEN) {
            let add = format!("ALTER TABLE {table} ADD COLUMN {WHEN} INTEGER");
            self.connection.execute_batch(&add)?;
        }
        Ok(())
    }

    fn write_all(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        let Self { connection, table, .. } = self;
        // An unfinished transaction is taken back when it is dropped.
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for op in ops {
            match op {
                Op::Put(Row { key, priority, when, payload }) => {
                    // Names may be any bytes, and gearmand reads them as text only.
                    let mut put = transaction.prepare_cached(&format!(
                        "INSERT OR REPLACE INTO {table} (priority, unique_key, function_name, data, when_to_run) \
                         VALUES (?1, CAST(?2 AS TEXT), CAST(?3 AS TEXT), ?4, ?5)"
                    ))?;
                    let number = *priority as u8;
                    put.execute(params![number, &key.unique[..], &key.function[..], &payload[..], when])?;
                }
                Op::Delete(Key { function, unique }) => {
                    let mut delete = transaction.prepare_cached(&format!(
                        "DELETE FROM {table} WHERE unique_key = CAST(?1 AS TEXT) \
                         AND function_name = CAST(?2 AS TEXT)"
                    ))?;
                    delete.execute(params![&unique[..], &function[..]])?;
                }
            }
        }
        transaction.commit()
    }

    fn load_all(&self) -> rusqlite::Result<Vec<Row>> {
        let mut select = self.connection.prepare(&format!(
            "SELECT unique_key, function_name, priority, data, when_to_run FROM {} ORDER BY rowid",
            self.table
        ))?;
        let mut rows = select.query([])?;
        let mut loaded = Vec::new();
        while let Some(row) = rows.next()? {
            // gearmand stores an empty payload as NULL; its old tables have no start times.
            let bytes = |column| -> rusqlite::Result<Bytes> {
                Ok(match row.get_ref(column)? {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Bytes::copy_from_slice(bytes),
                    _ => Bytes::new(),
                })
            };
            let key = Key { unique: bytes(0)?, function: bytes(1)? };
            let priority = priority_of(row.get::<_, Option<i64>>(2)?);
            let when = row.get::<_, Option<i64>>(4)?.unwrap_or(0);
            loaded.push(Row { key, priority, when, payload: bytes(3)? });
        }
        Ok(loaded)
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table for SqliteTable {
    fn accepts(&self, _row: &Row) -> Result<(), StoreError> {
        Ok(())
    }

    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        self.write_all(ops).map_err(|error| explain(&self.file, "store jobs", &error))
    }

    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        self.load_all().map_err(|error| explain(&self.file, "read stored jobs", &error))
    }
}

fn explain(file: &Path, doing: &'static str, error: &rusqlite::Error) -> StoreError {
    StoreError::Failed { doing, what: format!("{}: {error}", file.display()) }
}

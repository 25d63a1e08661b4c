//! Looking into a queue, beside a running server too: through a connection that cannot write.

use super::{NUMBERS, ORDERS, StoreError, connect_to_read, explain, id_of, job_of};
use crate::store::DataDirectory;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A job in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number in its handle.
    pub number: JobNumber,
    /// Priority.
    pub priority: Priority,
    /// Function; a made-up name when that of the file is gone.
    pub function: Bytes,
    /// Unique; empty for none.
    pub unique: Bytes,
    /// Reducer of a reduce job.
    pub reducer: Option<Bytes>,
    /// Place in the order of the queue.
    pub place: u64,
    /// Not to start before this, in seconds since 1970-01-01 UTC; 0 is at once.
    pub start: i64,
    /// How often it was lost with its worker.
    pub retries: u32,
    /// Bytes of the payload.
    pub size: u64,
    /// The payload, if it was asked for.
    pub payload: Option<Bytes>,
}

/// Which jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this function.
    pub function: Option<Bytes>,
    /// Of this priority.
    pub priority: Option<Priority>,
    /// With this unique.
    pub unique: Option<Bytes>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Jobs of one function and priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The function.
    pub function: Bytes,
    /// The priority.
    pub priority: Priority,
    /// How many.
    pub jobs: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// How many may not start yet.
    pub scheduled: u64,
    /// When the first of those may, in seconds since 1970-01-01 UTC.
    pub next_start: Option<i64>,
}

/// What is reserved and how the file is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Version of the layout.
    pub format: i64,
    /// No handle number up to this is given out again.
    pub numbers: u64,
    /// The same for places in the order of the queue.
    pub orders: u64,
}

/// The name that stands for a function whose own is gone.
pub(super) fn placeholder(function: i64) -> Bytes {
    Bytes::from(format!("lost-function-{function}"))
}

/// A queue that is looked into.
#[derive(Debug)]
pub struct Inspector {
    connection: Connection,
    path: PathBuf,
}

const COLUMNS: &str = "jobs.id, place, name, jobs.function, retries, start, uniq, reducer, length(payload)";

impl Inspector {
    /// Opens the queue of a data directory. Whatever is asked is answered from the state of this moment.
    ///
    /// # Errors
    /// There is none, or it cannot be read; the error says what to do.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_file(&DataDirectory::existing_queue(directory)?)
    }

    /// The same for a file.
    ///
    /// # Errors
    /// As [`Inspector::open`].
    pub fn open_file(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let connection = connect_to_read(path)?;
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = open().map_err(|error| explain(path, "open the stored queue", &error))?;
        super::schema::examine(&connection, path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    fn explain(&self, error: &rusqlite::Error) -> StoreError {
        explain(&self.path, "read the stored queue", error)
    }

    /// Reserved numbers and the version.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&self) -> Result<Head, StoreError> {
        read_numbers(&self.connection).map_err(|error| self.explain(&error))
    }

    /// Jobs by function and priority, in the order in which the functions came into being.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn groups(&self, now: i64) -> Result<Vec<Group>, StoreError> {
        let text = "SELECT name, function, id, count(*), total(length(payload)), total(start > ?1),
                min(CASE WHEN start > ?1 THEN start END)
            FROM (SELECT function, jobs.id >> 61 AS rank, jobs.id AS id, start, payload, name
                FROM jobs LEFT JOIN functions ON functions.id = jobs.function)
            GROUP BY function, rank ORDER BY function, rank";
        let read = || {
            let mut statement = self.connection.prepare(text)?;
            let rows = statement.query_map([now], |row| {
                Ok(Group {
                    function: function_name(row, 0, 1)?,
                    priority: job_of(row.get(2)?).1,
                    jobs: row.get::<_, i64>(3)?.cast_unsigned(),
                    bytes: row.get::<_, f64>(4)? as u64,
                    scheduled: row.get::<_, f64>(5)? as u64,
                    next_start: row.get(6)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.explain(&error))
    }

    /// Functions whose queues are limited, and how.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn limits(&self) -> Result<Vec<(Bytes, PerPriority<u32>)>, StoreError> {
        let text = "SELECT name, high, normal, low FROM functions WHERE high OR normal OR low ORDER BY id";
        let read = || {
            let mut statement = self.connection.prepare(text)?;
            let rows = statement.query_map([], |row| {
                let limits = PerPriority { high: row.get(1)?, normal: row.get(2)?, low: row.get(3)? };
                Ok((Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?), limits))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.explain(&error))
    }

    /// How many jobs there are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn count(&self) -> Result<u64, StoreError> {
        let count = self.connection.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0));
        count.map(i64::cast_unsigned).map_err(|error| self.explain(&error))
    }

    /// Every job that is meant, one at a time: by priority, then by number.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn jobs(
        &self,
        filter: &Filter,
        with_payload: bool,
        mut each: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let payload = if with_payload { "payload" } else { "NULL" };
        let text = format!(
            "SELECT {COLUMNS}, {payload} FROM jobs LEFT JOIN functions ON functions.id = jobs.function
             WHERE jobs.id >= ?1 AND jobs.id <= ?2 AND (?3 IS NULL OR name = ?3) AND (?4 IS NULL OR uniq = ?4)
             ORDER BY jobs.id LIMIT ?5"
        );
        let last = JobNumber(u64::MAX);
        let (low, high) = match filter.priority {
            Some(priority) => (id_of(JobNumber(0), priority), id_of(last, priority)),
            None => (i64::MIN, i64::MAX),
        };
        let limit = filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let mut read = || {
            let mut statement = self.connection.prepare(&text)?;
            let values = params![low, high, filter.function.as_deref(), filter.unique.as_deref(), limit];
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                if each(entry(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|error| self.explain(&error))
    }

    /// The job with a number, and its payload.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn job(&self, number: JobNumber) -> Result<Option<Entry>, StoreError> {
        let text = format!(
            "SELECT {COLUMNS}, payload FROM jobs LEFT JOIN functions ON functions.id = jobs.function
             WHERE jobs.id IN (?1, ?2, ?3)"
        );
        let ids = Priority::ALL.map(|priority| id_of(number, priority));
        let found = self.connection.query_row(&text, ids, entry).optional();
        found.map_err(|error| self.explain(&error))
    }
}

fn function_name(row: &Row<'_>, name: usize, id: usize) -> rusqlite::Result<Bytes> {
    match row.get_ref(name)?.as_blob_or_null()? {
        Some(name) => Ok(Bytes::copy_from_slice(name)),
        None => Ok(placeholder(row.get(id)?)),
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let (number, priority) = job_of(row.get(0)?);
    let bytes = |column| -> rusqlite::Result<Option<Bytes>> {
        Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
    };
    Ok(Entry {
        number,
        priority,
        place: row.get::<_, i64>(1)?.cast_unsigned(),
        function: function_name(row, 2, 3)?,
        retries: row.get(4)?,
        start: row.get(5)?,
        unique: bytes(6)?.unwrap_or_default(),
        reducer: bytes(7)?,
        size: row.get::<_, i64>(8)?.cast_unsigned(),
        payload: bytes(9)?,
    })
}

/// Reserved numbers and the version.
pub(super) fn read_numbers(connection: &Connection) -> rusqlite::Result<Head> {
    let format = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut head = Head { format, ..Head::default() };
    let mut meta = connection.prepare("SELECT key, value FROM meta")?;
    let mut rows = meta.query([])?;
    while let Some(row) = rows.next()? {
        let value = row.get::<_, i64>(1)?.cast_unsigned();
        match row.get_ref(0)?.as_str()? {
            NUMBERS => head.numbers = value,
            ORDERS => head.orders = value,
            _ => {}
        }
    }
    Ok(head)
}

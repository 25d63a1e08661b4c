//! Jobs of another queue come into this one: all of them or none.

use super::check::broken_rules;
use super::inspect::{Entry, Head, read_numbers};
use super::{NUMBERS, ORDERS, StoreError, counts, explain, id_of, schema};
use crate::store::{DataDirectory, Flush};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The largest number that has a key.
const LAST_NUMBER: u64 = (1 << super::NUMBER_BITS) - 1;

/// Why jobs do not come in.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// A job with this number is there already.
    Taken(JobNumber),
    /// No job can have this number.
    Impossible(JobNumber),
    /// What would be wrong with the queue.
    Disorder(Vec<String>),
    /// The store cannot be used.
    Store(StoreError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(number) => write!(f, "a job with the number {} is there already", number.0),
            Self::Impossible(number) => write!(f, "no job has the number {}", number.0),
            Self::Disorder(problems) => {
                write!(f, "the queue would not be in order then: {}", problems.join("; "))
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// An import that has begun. Dropped before [`Import::finish`] it leaves everything as it was.
#[derive(Debug)]
pub struct Import {
    into: Filling,
    dry_run: bool,
    _guard: Option<DataDirectory>,
}

impl Import {
    /// Takes the data directory, which is made if need be; a dry run makes nothing.
    ///
    /// # Errors
    /// A server has it, or it cannot be used.
    pub fn begin(directory: &Path, dry_run: bool) -> Result<Self, StoreError> {
        let there = DataDirectory::existing_queue(directory).is_ok();
        let guard = if there || !dry_run { Some(DataDirectory::open(directory)?) } else { None };
        let path = guard.as_ref().map_or_else(PathBuf::new, DataDirectory::queue);
        let failed = |error| explain(&path, "open the stored queue", &error);
        // A file without a name is one of SQLite's own, gone when it is closed.
        let connection = Connection::open(&path).map_err(failed)?;
        schema::prepare(&connection, &path, Flush::Each)?;
        Ok(Self { into: Filling::begin(connection, &path)?, dry_run, _guard: guard })
    }

    /// No number and place up to these will be given out.
    pub fn reserve(&mut self, head: &Head) {
        self.into.reserve(head);
    }

    /// Limits the queue of a function.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn limit(&mut self, name: &Bytes, limits: PerPriority<u32>) -> Result<(), ImportError> {
        Ok(self.into.limit(name, limits)?)
    }

    /// Takes a job in; without a place it comes behind all others.
    ///
    /// # Errors
    /// Its number is taken or impossible, or the store cannot be written.
    pub fn add(&mut self, job: &Entry) -> Result<(), ImportError> {
        let number = job.number;
        if number.0 == 0 || number.0 > LAST_NUMBER {
            return Err(ImportError::Impossible(number));
        }
        if self.into.has(number)? || !self.into.add(job)? {
            return Err(ImportError::Taken(number));
        }
        Ok(())
    }

    /// Makes it so; a dry run says whether that would go well.
    ///
    /// # Errors
    /// The queue would not be in order, or cannot be written.
    pub fn finish(self) -> Result<u64, ImportError> {
        let Self { into, dry_run, _guard } = self;
        let added = into.added;
        into.write_numbers()?;
        into.count()?;
        let problems = broken_rules(&into.connection).map_err(|error| into.explain(&error))?;
        if !problems.is_empty() {
            return Err(ImportError::Disorder(problems));
        }
        if !dry_run {
            into.commit()?;
        }
        Ok(added)
    }
}

/// A store that is being filled, in a transaction.
#[derive(Debug)]
pub(super) struct Filling {
    connection: Connection,
    path: PathBuf,
    functions: HashMap<Bytes, i64>,
    head: Head,
    /// Jobs added so far.
    pub(super) added: u64,
}

impl Filling {
    pub(super) fn begin(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let begin = || {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            read_numbers(&connection)
        };
        let head = begin().map_err(|error| explain(path, "write the stored queue", &error))?;
        Ok(Self { connection, path: path.to_owned(), functions: HashMap::new(), head, added: 0 })
    }

    fn explain(&self, error: &rusqlite::Error) -> StoreError {
        explain(&self.path, "write the stored queue", error)
    }

    fn run(&self, statement: &str, values: impl rusqlite::Params) -> Result<usize, StoreError> {
        let ran = self.connection.prepare_cached(statement).and_then(|mut prepared| prepared.execute(values));
        ran.map_err(|error| self.explain(&error))
    }

    pub(super) fn reserve(&mut self, head: &Head) {
        self.head.numbers = self.head.numbers.max(head.numbers.min(LAST_NUMBER));
        self.head.orders = self.head.orders.max(head.orders);
    }

    pub(super) fn limit(&mut self, name: &Bytes, limits: PerPriority<u32>) -> Result<(), StoreError> {
        let id = self.function(name)?;
        let PerPriority { high, normal, low } = limits;
        let text = "UPDATE functions SET high = ?2, normal = ?3, low = ?4 WHERE id = ?1";
        self.run(text, params![id, high, normal, low]).map(drop)
    }

    pub(super) fn function(&mut self, name: &Bytes) -> Result<i64, StoreError> {
        if let Some(id) = self.functions.get(name) {
            return Ok(*id);
        }
        self.run("INSERT INTO functions (name) VALUES (?1) ON CONFLICT (name) DO NOTHING", [&name[..]])?;
        let find = "SELECT id FROM functions WHERE name = ?1";
        let id = self.connection.query_row(find, [&name[..]], |row| row.get(0));
        let id = id.map_err(|error| self.explain(&error))?;
        self.functions.insert(name.clone(), id);
        Ok(id)
    }

    /// Whether a job has this number, of whatever priority.
    pub(super) fn has(&self, number: JobNumber) -> Result<bool, StoreError> {
        let ids = Priority::ALL.map(|priority| id_of(number, priority));
        let find = self.connection.prepare_cached("SELECT 1 FROM jobs WHERE id IN (?1, ?2, ?3)");
        find.and_then(|mut find| find.exists(ids)).map_err(|error| self.explain(&error))
    }

    /// Whether a job has a key between these, ends excluded.
    pub(super) fn has_between(&self, above: i64, below: i64) -> Result<bool, StoreError> {
        let find = self.connection.prepare_cached("SELECT 1 FROM jobs WHERE id > ?1 AND id < ?2 LIMIT 1");
        find.and_then(|mut find| find.exists([above, below])).map_err(|error| self.explain(&error))
    }

    /// Adds a job, unless there is one of its number and priority.
    pub(super) fn add(&mut self, job: &Entry) -> Result<bool, StoreError> {
        let function = self.function(&job.function)?;
        let place = if job.place == 0 { self.head.orders.saturating_add(1) } else { job.place };
        let head = Head { numbers: job.number.0, orders: place, ..self.head };
        let text = "INSERT INTO jobs (id, place, function, retries, start, uniq, reducer, payload)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";
        let values = params![
            id_of(job.number, job.priority),
            place.cast_signed(),
            function,
            job.retries,
            job.start,
            &job.unique[..],
            job.reducer.as_deref(),
            job.payload.as_deref().unwrap_or_default(),
        ];
        let added = self.run(text, values)? > 0;
        self.reserve(&head);
        self.added += u64::from(added);
        Ok(added)
    }

    /// Writes what is reserved.
    pub(super) fn write_numbers(&self) -> Result<(), StoreError> {
        let text = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
        self.run(text, params![NUMBERS, self.head.numbers.cast_signed()])?;
        self.run(text, params![ORDERS, self.head.orders.cast_signed()]).map(drop)
    }

    /// Counts all jobs.
    pub(super) fn count(&self) -> Result<(), StoreError> {
        counts::take_anew(&self.connection, &self.path)
    }

    pub(super) const fn numbers(&self) -> u64 {
        self.head.numbers
    }

    /// Ends the transaction, and brings all of it into the file itself.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        let ended = self
            .connection
            .execute_batch("COMMIT")
            .and_then(|()| self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
        ended.map_err(|error| self.explain(&error))
    }
}

//! The stores of gearmand, in its formats: an existing queue carries over, and back.
//!
//! | file | what |
//! |---|---|
//! | `adapter` | the core's changes become rows put and deleted, whatever keeps the rows |
//! | `names` | what a row is called whose job has no unique of its own |
//! | `sqlite`, ... | one file for each kind of store: a `Table` |
//!
//! Rows are found by unique and function and hold neither handles nor losses nor reducers. What that means for
//! users is in docs/gearmand-stores.md. All rows are read before the server serves, as gearmand does, and
//! payloads stay in memory.

mod adapter;
mod held;
#[cfg(feature = "memcached")]
mod memcached;
#[cfg(feature = "mysql")]
mod mysql;
mod names;
#[cfg(any(feature = "redis", feature = "memcached"))]
mod placing;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "libsqlite3")]
mod sqlite;

use super::{Loader, Opened, StoreError};
use crate::core::{Change, Record, StoredJob, Unread};
use adapter::Adapter;
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use held::Held;
use names::Names;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which of gearmand's stores, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GearmandStore {
    /// Where the rows are.
    pub place: Place,
    /// Rows are written when the server stops, and taken out when it starts (`--store-queue-on-shutdown`).
    pub on_shutdown: bool,
    /// How long a submission waits for a store that cannot be reached before it is refused.
    pub patience: Duration,
}

/// Where rows are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A table of an SQLite file.
    Sqlite {
        /// The file; made when it is not there.
        file: PathBuf,
        /// The table; made when it is not there.
        table: String,
    },
    /// Keys of a redis server.
    Redis {
        /// Name or address of the server.
        server: String,
        /// Its port.
        port: u16,
        /// What it wants to hear first.
        password: Option<String>,
        /// What the keys begin with.
        prefix: String,
    },
    /// A table of a PostgreSQL database.
    Postgres {
        /// How to connect, as libpq writes it.
        conninfo: String,
        /// The table; made when it is not there.
        table: String,
    },
    /// A table of a MySQL or MariaDB database.
    Mysql {
        /// How to connect.
        login: MysqlLogin,
        /// The table; made when it is not there.
        table: String,
    },
    /// Keys of a memcached server.
    Memcached {
        /// `HOST` or `HOST:PORT`.
        server: String,
        /// What the keys begin with.
        prefix: String,
    },
}

/// How to reach a MySQL or MariaDB server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlLogin {
    /// Name or address; `localhost` is the local socket, if there is one.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are.
    pub user: Option<String>,
    /// How we prove it.
    pub password: Option<String>,
    /// The database.
    pub database: Option<String>,
}

impl Place {
    /// Whether jobs with a start time can be kept.
    #[must_use]
    pub const fn keeps_start_times(&self) -> bool {
        match self {
            Self::Sqlite { .. } | Self::Postgres { .. } | Self::Mysql { .. } => true,
            Self::Redis { .. } | Self::Memcached { .. } => false,
        }
    }
}

/// In words, without passwords.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { file, table } => write!(f, "table {table} of {}", file.display()),
            Self::Redis { server, port, prefix, .. } => {
                write!(f, "keys {prefix}-* of redis at {server}:{port}")
            }
            Self::Mysql { login, table } => write!(f, "table {table} of MySQL at {}", login.host),
            Self::Postgres { table, .. } => write!(f, "table {table} of PostgreSQL"),
            Self::Memcached { server, prefix } => write!(f, "keys {prefix}* of memcached at {server}"),
        }
    }
}

/// What finds a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    function: Bytes,
    /// As it is stored: see [`names`].
    unique: Bytes,
}

/// One job as gearmand keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    key: Key,
    priority: Priority,
    /// Seconds since 1970-01-01 UTC; 0 is at once.
    when: i64,
    payload: Bytes,
}

/// One step of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    Put(Row),
    Delete(Key),
}

/// gearmand's numbers are 0, 1 and 2.
#[cfg(any(
    feature = "libsqlite3",
    feature = "memcached",
    feature = "mysql",
    feature = "postgres",
    feature = "redis"
))]
fn priority_of(number: Option<i64>) -> Priority {
    match number {
        Some(0) => Priority::High,
        Some(2) => Priority::Low,
        _ => Priority::Normal,
    }
}

/// What keeps rows. Every call may block.
trait Table: Send {
    /// Whether the row can be kept at all.
    ///
    /// # Errors
    /// Why it cannot.
    fn accepts(&self, row: &Row) -> Result<(), StoreError>;

    /// Does all steps, in order; where the store can, all or none of them. Putting what is there replaces it, and
    /// deleting what is not there is no error.
    ///
    /// # Errors
    /// Steps were not done, or nobody knows.
    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError>;

    /// All rows, in the order of storage.
    ///
    /// # Errors
    /// The store cannot be read.
    fn load(&mut self) -> Result<Vec<Row>, StoreError>;
}

/// Whether a row has a place in columns of text with so many characters.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn accepts_text(
    who: &str,
    row: &Row,
    unique: usize,
    function: usize,
    payload: usize,
) -> Result<(), StoreError> {
    let fits = |name: &Bytes, most: usize| {
        std::str::from_utf8(name).is_ok_and(|text| !text.contains('\0') && text.chars().count() <= most)
    };
    let what = if !fits(&row.key.unique, unique) || !fits(&row.key.function, function) {
        format!("{who} takes functions of {function} and uniques of {unique} characters of UTF-8 without NUL")
    } else if row.payload.len() > payload {
        format!("{who} takes payloads of up to {payload} bytes")
    } else if i32::try_from(row.when).is_err() {
        format!("{who} takes start times before 2038")
    } else {
        return Ok(());
    };
    Err(StoreError::Refused { what })
}

/// Opens the store and reads all of it.
///
/// # Errors
/// It cannot be used; the error says what to do.
pub fn open(config: &GearmandStore) -> Result<Opened, StoreError> {
    // Some clients bring a runtime of their own, which cannot be used from within another.
    let opened = std::thread::scope(|scope| {
        scope.spawn(|| open_table(&config.place).and_then(|table| take_over(table, config))).join()
    });
    opened.unwrap_or_else(|_| {
        Err(StoreError::Failed { doing: "open the store", what: "a client of it panicked".to_owned() })
    })
}

fn open_table(place: &Place) -> Result<Box<dyn Table>, StoreError> {
    match place {
        #[cfg(feature = "libsqlite3")]
        Place::Sqlite { file, table } => Ok(Box::new(sqlite::SqliteTable::open(file, table)?)),
        #[cfg(feature = "redis")]
        Place::Redis { server, port, password, prefix } => {
            Ok(Box::new(redis::RedisTable::open(server, *port, password.as_deref(), prefix)?))
        }
        #[cfg(feature = "mysql")]
        Place::Mysql { login, table } => Ok(Box::new(mysql::MysqlTable::open(login, table)?)),
        #[cfg(not(feature = "mysql"))]
        Place::Mysql { .. } => Err(StoreError::NotBuilt { feature: "mysql" }),
        #[cfg(feature = "postgres")]
        Place::Postgres { conninfo, table } => Ok(Box::new(postgres::PostgresTable::open(conninfo, table)?)),
        #[cfg(not(feature = "postgres"))]
        Place::Postgres { .. } => Err(StoreError::NotBuilt { feature: "postgres" }),
        #[cfg(feature = "memcached")]
        Place::Memcached { server, prefix } => Ok(Box::new(memcached::MemcachedTable::open(server, prefix)?)),
        #[cfg(not(feature = "memcached"))]
        Place::Memcached { .. } => Err(StoreError::NotBuilt { feature: "memcached" }),
        #[cfg(not(feature = "redis"))]
        Place::Redis { .. } => Err(StoreError::NotBuilt { feature: "redis" }),
        #[cfg(not(feature = "libsqlite3"))]
        Place::Sqlite { .. } => Err(StoreError::NotBuilt { feature: "libsqlite3" }),
    }
}

/// Rows become jobs with the first numbers, as in gearmand; new jobs get those behind.
fn take_over(mut table: Box<dyn Table>, config: &GearmandStore) -> Result<Opened, StoreError> {
    let mut rows = table.load()?;
    // Stable: within a priority they stay in the order of storage.
    rows.sort_by_key(|row| row.priority);
    let last = rows.len() as u64;
    let mut keys = HashMap::new();
    let mut unread: BTreeMap<Bytes, Unread> = BTreeMap::new();
    let mut records = VecDeque::new();
    for (number, row) in (1..).zip(rows) {
        let Row { key, priority, when, payload } = row;
        let unique = names::unique_of(&key.unique);
        let counted = unread.entry(key.function.clone()).or_default();
        counted.function = key.function.clone();
        counted.counts.of_mut(priority).add(&unique);
        records.push_back(Record {
            number: JobNumber(number),
            order: number,
            function: key.function.clone(),
            unique,
            priority,
            reducer: None,
            when,
            retries: 0,
            payload,
        });
        keys.insert(JobNumber(number), key);
    }
    let store: Box<dyn super::Store> = if config.on_shutdown {
        Box::new(Held::new(table, keys, &records)?)
    } else {
        Box::new(Adapter::new(table, Names::new(), keys, config.patience))
    };
    Ok(Opened {
        store,
        loader: Box::new(LoadRows(records)),
        load_first: true,
        fetcher: None,
        head: vec![Change::NumbersReserved { through: JobNumber(last), orders: last }],
        unread: unread.into_values().collect(),
        guard: None,
    })
}

/// Jobs of one batch: taking them in keeps the server for less than a millisecond.
const BATCH: usize = 500;

/// Rows that were read.
#[derive(Debug)]
struct LoadRows(VecDeque<Record>);

impl Loader for LoadRows {
    fn next_jobs(&mut self, _room: &mut usize) -> Result<(Vec<StoredJob>, Option<Priority>), StoreError> {
        let batch = self.0.drain(..BATCH.min(self.0.len()));
        let jobs = batch.map(|record| StoredJob { record, spilled: false }).collect();
        Ok((jobs, self.0.front().map(|record| record.priority)))
    }
}

//! The default store: one SQLite file that any operator can look into.
//!
//! | table | what |
//! |---|---|
//! | `jobs` | unfinished background jobs; `id` is the priority (0 high, 1 normal, 2 low) times 2⁶¹ plus the handle's number, so that the table itself is in the order of reading |
//! | `functions` | names, and limits set by `maxqueue` |
//! | `meta` | reserved numbers and places |
//! | `counts` | how many jobs a function has of each priority, and how many of them have a unique |
//! | `queue` | a view for people: handle number, function, priority, unique, start time, size |
//!
//! `user_version` is the version of this layout. A changed layout gets a new one and reads the old.

mod check;
mod copied;
mod counts;
mod import;
mod inspect;
mod pages;
mod read;
mod repair;
mod salvage;
mod schema;
mod write;

pub use check::{check, check_file};
pub use import::{Import, ImportError};
pub use inspect::{Entry, Filter, Group, Head, Inspector};
pub use repair::{Repaired, repair};
pub use salvage::Lost;

use super::{DataDirectory, Flush, Opened, StoreConfig, StoreError};
use crate::core::Change;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};
use counts::Doubt;
use read::{Expected, FetchPayloads, LoadJobs};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use write::SqliteStore;

/// How long another program may keep the file locked.
const BUSY: Duration = Duration::from_secs(6);

/// Bits of an id below the priority.
const NUMBER_BITS: u32 = 61;

/// Key of the last reserved number in `meta`.
const NUMBERS: &str = "numbers";

/// Key of the last reserved place in `meta`.
const ORDERS: &str = "orders";

/// The key of a job.
const fn id_of(number: JobNumber, priority: Priority) -> i64 {
    let rank = match priority {
        Priority::High => 0_i64,
        Priority::Normal => 1,
        Priority::Low => 2,
    };
    (rank << NUMBER_BITS) | (number.0.cast_signed() & ((1 << NUMBER_BITS) - 1))
}

/// The job with a key.
const fn job_of(id: i64) -> (JobNumber, Priority) {
    let priority = match id >> NUMBER_BITS {
        0 => Priority::High,
        1 => Priority::Normal,
        _ => Priority::Low,
    };
    (JobNumber((id & ((1 << NUMBER_BITS) - 1)).cast_unsigned()), priority)
}

/// Opens the queue of a data directory, and makes it if need be.
///
/// # Errors
/// The directory or the file cannot be used; the error says what to do.
pub fn open(config: &StoreConfig) -> Result<Opened, StoreError> {
    let directory = DataDirectory::open(&config.directory)?;
    let mut opened = open_file(&directory.queue(), config.flush)?;
    opened.guard = Some(directory);
    Ok(opened)
}

/// Opens one file, without a lock on its directory.
///
/// # Errors
/// The file cannot be used; the error says what to do.
pub fn open_file(path: &Path, flush: Flush) -> Result<Opened, StoreError> {
    let explain = |error| explain(path, "open the stored queue", &error);
    let connection = Connection::open(path).map_err(explain)?;
    schema::prepare(&connection, path, flush)?;
    let (head, functions, reserved) = read_head(&connection).map_err(explain)?;
    let counts = counts::read(&connection).map_err(explain)?;
    let unread = counts::by_name(&functions, counts.clone());
    let reading = connect_to_read(path).map_err(explain)?;
    let fetching = connect_to_read(path).map_err(explain)?;
    let doubt = Doubt::default();
    Ok(Opened {
        store: Box::new(SqliteStore::new(connection, path, doubt.clone())),
        loader: Box::new(LoadJobs::new(reading, path, reserved, Expected::new(counts, doubt))),
        load_first: false,
        fetcher: Some(Box::new(FetchPayloads::new(fetching, path))),
        head,
        unread,
        guard: None,
    })
}

fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Functions by id.
type Functions = Vec<(i64, Bytes)>;

/// What to restore first, the functions with their ids, and the last number an earlier process may have used.
fn read_head(connection: &Connection) -> rusqlite::Result<(Vec<Change>, Functions, JobNumber)> {
    let (mut through, mut orders) = (JobNumber(0), 0);
    let mut meta = connection.prepare("SELECT key, value FROM meta")?;
    let mut rows = meta.query([])?;
    while let Some(row) = rows.next()? {
        let value: i64 = row.get(1)?;
        match row.get_ref(0)?.as_str()? {
            NUMBERS => through = JobNumber(value.cast_unsigned()),
            ORDERS => orders = value.cast_unsigned(),
            _ => {}
        }
    }
    let mut head = vec![Change::NumbersReserved { through, orders }];
    let mut functions = Vec::new();
    let mut names = connection.prepare("SELECT name, high, normal, low, id FROM functions ORDER BY id")?;
    let mut rows = names.query([])?;
    while let Some(row) = rows.next()? {
        let name = Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?);
        let limits = PerPriority { high: row.get(1)?, normal: row.get(2)?, low: row.get(3)? };
        head.push(Change::FunctionCreated { name: name.clone() });
        if limits != PerPriority::default() {
            head.push(Change::QueueLimited { name: name.clone(), limits });
        }
        functions.push((row.get(4)?, name));
    }
    Ok((head, functions, through))
}

/// Says in our words what SQLite found.
fn explain(path: &Path, doing: &'static str, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path: path.to_owned(), what: error.to_string() }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::Directory { path: path.to_owned(), source: std::io::Error::other(error.to_string()) }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Failed {
            doing,
            what: format!("another program keeps {} locked, close it ({error})", path.display()),
        },
        Some(ErrorCode::DiskFull) => StoreError::Failed {
            doing,
            what: format!("no room is left for {}, make some ({error})", path.display()),
        },
        _ => StoreError::Failed { doing, what: format!("{}: {error}", path.display()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_reading() {
        let jobs =
            [(1, Priority::High), (1 << 60, Priority::High), (1, Priority::Normal), (7, Priority::Low)];
        let ids = jobs.map(|(number, priority)| id_of(JobNumber(number), priority));
        assert!(ids.is_sorted() && ids.iter().all(|id| *id > 0));
        assert_eq!(ids.map(job_of), jobs.map(|(number, priority)| (JobNumber(number), priority)));
    }
}

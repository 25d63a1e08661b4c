//! The layout of the file, and how it is opened.

use super::{BUSY, StoreError, counts, explain};
use crate::store::Flush;
use rusqlite::Connection;
use std::path::Path;

/// Says that a file is ours: `Cnvy`.
const APPLICATION_ID: i64 = 0x436e_7679;

/// Version of the layout.
pub(super) const VERSION: i64 = 2;

/// The first one with counts.
const WITH_COUNTS: i64 = 2;

/// Pages of the log that are written back at once: 64 MiB.
const CHECKPOINT_PAGES: i64 = 16_384;

/// Page cache in KiB.
const CACHE_KIB: i64 = 32_768;

const LAYOUT: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE functions (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    high INTEGER NOT NULL DEFAULT 0,
    normal INTEGER NOT NULL DEFAULT 0,
    low INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    function INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    start INTEGER NOT NULL,
    uniq BLOB NOT NULL,
    reducer BLOB,
    payload BLOB NOT NULL
) STRICT;
CREATE VIEW queue AS
SELECT jobs.id & 0x1fffffffffffffff AS number,
    CAST(functions.name AS TEXT) AS function,
    CASE jobs.id >> 61 WHEN 0 THEN 'high' WHEN 1 THEN 'normal' ELSE 'low' END AS priority,
    CAST(jobs.uniq AS TEXT) AS uniq,
    CASE jobs.start WHEN 0 THEN NULL ELSE datetime(jobs.start, 'unixepoch') END AS start,
    jobs.retries AS retries,
    length(jobs.payload) AS bytes
FROM jobs JOIN functions ON functions.id = jobs.function;
";

/// Brings a connection into the state in which jobs are stored, and the file into the present layout.
pub(super) fn prepare(connection: &Connection, path: &Path, flush: Flush) -> Result<(), StoreError> {
    let explain = |error| explain(path, "open the stored queue", &error);
    connection.busy_timeout(BUSY).map_err(explain)?;
    let version = version_of(connection, path)?;
    tune(connection, flush).map_err(explain)?;
    if version == 0 {
        let layout = format!(
            "BEGIN IMMEDIATE;\n{LAYOUT}\n{}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {VERSION};\nCOMMIT;",
            counts::TABLE
        );
        connection.execute_batch(&layout).map_err(explain)?;
    } else if version < WITH_COUNTS || counts::are_unsure(connection).map_err(explain)? {
        let counted = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(explain)
            .and_then(|()| bring_up_to_date(connection, path, version));
        if counted.is_err() && !connection.is_autocommit() {
            // The error that led here says more than one of going back.
            let _ = connection.execute_batch("ROLLBACK");
        }
        counted?;
    }
    Ok(())
}

/// An older layout, or one whose counts are not to be relied on, becomes the present one.
fn bring_up_to_date(connection: &Connection, path: &Path, version: i64) -> Result<(), StoreError> {
    let explain = |error| explain(path, "bring the stored queue up to date", &error);
    if version < WITH_COUNTS {
        connection.execute_batch(counts::TABLE).map_err(explain)?;
    }
    counts::take_anew(connection, path)?;
    connection.pragma_update(None, "user_version", VERSION).map_err(explain)?;
    connection.execute_batch("COMMIT").map_err(explain)
}

/// Makes sure that a file which nobody may write to is ours and in the present layout.
pub(super) fn examine(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    if version_of(connection, path)? == 0 {
        let what = "it holds no queue".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), what });
    }
    Ok(())
}

/// The version of the layout; 0 for a new file.
fn version_of(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let explain = |error| explain(path, "open the stored queue", &error);
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(explain)?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(explain)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explain)?;
    if application != APPLICATION_ID && (tables > 0 || application != 0) {
        let what = "it is a database of another program".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), what });
    }
    must_not_be_newer(version, path)?;
    Ok(version)
}

/// Whether the layout has a table of counts.
pub(super) fn has_counts(connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version >= WITH_COUNTS)
}

/// What a newer version wrote is not for us to touch.
pub(super) fn must_not_be_newer(version: i64, path: &Path) -> Result<(), StoreError> {
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), version });
    }
    Ok(())
}

fn tune(connection: &Connection, flush: Flush) -> rusqlite::Result<()> {
    // The log is what is synced at each commit; the file itself only when the log is written back.
    let synchronous = match flush {
        Flush::Each | Flush::Every(_) => "FULL",
        Flush::Never => "OFF",
    };
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // A drained queue gives its room back to the disk when the file is next opened and small enough.
    connection.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4096)?;
    Ok(())
}

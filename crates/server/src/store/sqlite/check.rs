//! Is a queue as it should be? Works on files that a server refuses.

use super::{StoreError, connect_to_read, counts, explain, schema};
use crate::store::DataDirectory;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;

/// Most lines SQLite gives about one file.
const LINES: u32 = 20;

/// What must be zero in every queue, and how to say that it is not.
const RULES: [(&str, &str); 7] = [
    (
        "jobs with an impossible number or priority",
        "SELECT count(*) FROM jobs WHERE id < 1 OR id >> 61 > 2 OR id & 0x1fffffffffffffff = 0",
    ),
    (
        "jobs of functions that are not listed",
        "SELECT count(*) FROM jobs WHERE function NOT IN (SELECT id FROM functions)",
    ),
    (
        "jobs with a number that was not reserved",
        "SELECT count(*) FROM jobs WHERE id & 0x1fffffffffffffff >
            ifnull((SELECT value FROM meta WHERE key = 'numbers'), 0)",
    ),
    (
        "jobs with a place that was not reserved",
        "SELECT count(*) FROM jobs WHERE place > ifnull((SELECT value FROM meta WHERE key = 'orders'), 0)",
    ),
    (
        "jobs with an impossible count of attempts",
        "SELECT count(*) FROM jobs WHERE retries NOT BETWEEN 0 AND 4294967295",
    ),
    (
        "numbers that more than one job has",
        "SELECT count(*) FROM (SELECT 1 FROM jobs GROUP BY id & 0x1fffffffffffffff HAVING count(*) > 1)",
    ),
    // Under the unique `-` a job is what its payload is.
    (
        "uniques that more than one job of a function has",
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE uniq <> x''
            GROUP BY function, uniq, CASE uniq WHEN x'2d' THEN payload END HAVING count(*) > 1)",
    ),
];

/// What is wrong with the queue of a data directory, a line each; nothing when all is well.
///
/// # Errors
/// It cannot be looked at: it is not there, of a newer version, or locked.
pub fn check(directory: &Path) -> Result<Vec<String>, StoreError> {
    check_file(&DataDirectory::existing_queue(directory)?)
}

/// The same for a file.
///
/// # Errors
/// As [`check`].
pub fn check_file(path: &Path) -> Result<Vec<String>, StoreError> {
    let opened = connect_to_read(path).and_then(|connection| {
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.execute_batch("BEGIN")?;
        Ok(connection)
    });
    let examined = opened
        .map_err(|error| explain(path, "open the stored queue", &error))
        .and_then(|connection| schema::examine(&connection, path).map(|()| connection));
    let connection = match examined {
        Ok(connection) => connection,
        Err(StoreError::Damaged { what, .. }) => return Ok(vec![what]),
        Err(error) => return Err(error),
    };
    inspect(&connection).map_err(|error| explain(path, "check the stored queue", &error))
}

fn inspect(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = sqlites_word(connection, "quick_check")?;
    if problems.is_empty() {
        problems = sqlites_word(connection, "integrity_check")?;
    }
    problems.extend(broken_rules(connection)?);
    Ok(problems)
}

/// Rules of ours that a queue breaks.
pub(super) fn broken_rules(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (what, query) in RULES {
        match connection.query_row(query, [], |row| row.get::<_, i64>(0)) {
            Ok(0) => {}
            Ok(count) => problems.push(format!("{what}: {count}")),
            Err(error) if is_damage(&error) => problems.push(format!("{what}: cannot be counted ({error})")),
            Err(error) => return Err(error),
        }
    }
    if schema::has_counts(connection)? {
        match counts::differences(connection) {
            Ok(lines) => problems.extend(lines),
            Err(error) if is_damage(&error) => problems.push(format!("counts: cannot be compared ({error})")),
            Err(error) => return Err(error),
        }
    }
    Ok(problems)
}

/// What one of SQLite's own checks finds.
fn sqlites_word(connection: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let lines = connection.prepare(&format!("PRAGMA {check}({LINES})")).and_then(|mut statement| {
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    });
    match lines {
        // One row can hold several lines.
        Ok(rows) => Ok(rows
            .iter()
            .flat_map(|row| row.lines())
            .filter(|line| *line != "ok")
            .map(str::to_owned)
            .collect()),
        Err(error) if is_damage(&error) => Ok(vec![format!("{check}: {error}")]),
        Err(error) => Err(error),
    }
}

/// Whether it is the file that is wrong, and not what was asked of it just now.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::Unknown
        )
    )
}

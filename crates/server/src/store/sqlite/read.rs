//! Rows become jobs.

use super::counts::Doubt;
use super::{StoreError, explain, id_of, job_of};
use crate::core::{Count, Record, StoredJob};
use crate::store::{Fetcher, Loader};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Jobs of one batch: taking them in keeps the server for less than a millisecond.
const BATCH: usize = 500;

/// What a job takes in memory beside its payload and unique, about.
const RECORD_BYTES: usize = 160;

/// Jobs whose payload is never left in the store: they are told apart by it.
const DASH: &[u8] = b"-";

const WITH_PAYLOAD: &str =
    "SELECT jobs.id, place, name, retries, start, uniq, reducer, payload, jobs.function
    FROM jobs LEFT JOIN functions ON functions.id = jobs.function
    WHERE jobs.id > ?1 AND jobs.id <= ?2 ORDER BY jobs.id LIMIT ?3";
const WITHOUT_PAYLOAD: &str = "SELECT jobs.id, place, name, retries, start, uniq, reducer,
    CASE uniq WHEN x'2d' THEN payload END, jobs.function
    FROM jobs LEFT JOIN functions ON functions.id = jobs.function
    WHERE jobs.id > ?1 AND jobs.id <= ?2 ORDER BY jobs.id LIMIT ?3";
const ROW: &str = "SELECT jobs.id, name, length(uniq) > 0
    FROM jobs LEFT JOIN functions ON functions.id = jobs.function
    WHERE jobs.id IN (?1, ?2, ?3) ORDER BY jobs.id LIMIT 1";
const PAYLOAD: &str = "SELECT payload FROM jobs WHERE id = ?1";

/// Compares what is read with what the counts say.
#[derive(Debug)]
pub(super) struct Expected {
    /// Jobs that are still to come, by function. What comes without being expected makes it negative.
    left: HashMap<i64, PerPriority<(i64, i64)>>,
    doubt: Doubt,
}

impl Expected {
    pub(super) fn new(counts: HashMap<i64, PerPriority<Count>>, doubt: Doubt) -> Self {
        let signed = |count: Count| (count.jobs.cast_signed(), count.uniques.cast_signed());
        let left = counts.into_iter().map(|(function, PerPriority { high, normal, low })| {
            (function, PerPriority { high: signed(high), normal: signed(normal), low: signed(low) })
        });
        Self { left: left.collect(), doubt }
    }

    fn take(&mut self, function: i64, priority: Priority, unique: &[u8]) {
        let left = self.left.entry(function).or_default().of_mut(priority);
        *left = (left.0 - 1, left.1 - i64::from(!unique.is_empty()));
    }

    /// All jobs were read. A job that was cancelled before it was read is missed too: counting anew does no harm.
    fn end(&mut self, path: &Path) {
        let wrong = self.left.values().any(|left| *left != PerPriority::default());
        if wrong {
            let path = path.display();
            tracing::info!(%path, "the counts of stored jobs may be wrong: they are taken anew at the next start");
            self.doubt.raise();
        }
        self.left.clear();
    }
}

/// Reads the jobs of an earlier process. Later ones have higher numbers and are not met.
#[derive(Debug)]
pub(super) struct LoadJobs {
    connection: Connection,
    path: PathBuf,
    /// The last number of an earlier process.
    reserved: JobNumber,
    priority: Priority,
    after: i64,
    expected: Expected,
}

impl LoadJobs {
    pub(super) fn new(connection: Connection, path: &Path, reserved: JobNumber, expected: Expected) -> Self {
        let after = id_of(JobNumber(0), Priority::High) - 1;
        Self { connection, path: path.to_owned(), reserved, priority: Priority::High, after, expected }
    }

    fn batch(&mut self, room: &mut usize) -> rusqlite::Result<Vec<StoredJob>> {
        let text = if *room > 0 { WITH_PAYLOAD } else { WITHOUT_PAYLOAD };
        let last = id_of(self.reserved, self.priority);
        let mut statement = self.connection.prepare_cached(text)?;
        let mut rows = statement.query(params![self.after, last, BATCH as i64])?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            self.after = row.get(0)?;
            let job = read(row)?;
            self.expected.take(row.get(8)?, self.priority, &job.record.unique);
            *room = room.saturating_sub(job.record.payload.len() + job.record.unique.len() + RECORD_BYTES);
            jobs.push(job);
            if *room == 0 && text == WITH_PAYLOAD {
                break;
            }
        }
        Ok(jobs)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredJob> {
    let (number, priority) = job_of(row.get(0)?);
    let bytes = |column| -> rusqlite::Result<Option<Bytes>> {
        Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
    };
    let place: i64 = row.get(1)?;
    let payload = bytes(7)?;
    let record = Record {
        number,
        order: place.cast_unsigned(),
        function: bytes(2)?.unwrap_or_default(),
        unique: bytes(5)?.unwrap_or_default(),
        priority,
        reducer: bytes(6)?,
        when: row.get(4)?,
        retries: row.get(3)?,
        payload: payload.clone().unwrap_or_default(),
    };
    debug_assert!(payload.is_some() || record.unique != DASH, "that one was to be read along");
    Ok(StoredJob { record, spilled: payload.is_none() })
}

impl Loader for LoadJobs {
    fn next_jobs(&mut self, room: &mut usize) -> Result<(Vec<StoredJob>, Option<Priority>), StoreError> {
        loop {
            let jobs = self.batch(room).map_err(|error| explain(&self.path, "read stored jobs", &error))?;
            if !jobs.is_empty() {
                return Ok((jobs, Some(self.priority)));
            }
            self.priority = match self.priority {
                Priority::High => Priority::Normal,
                Priority::Normal => Priority::Low,
                Priority::Low => {
                    self.expected.end(&self.path);
                    return Ok((jobs, None));
                }
            };
            self.after = id_of(JobNumber(0), self.priority);
        }
    }
}

/// Reads payloads.
#[derive(Debug)]
pub(super) struct FetchPayloads {
    connection: Connection,
    path: PathBuf,
}

impl FetchPayloads {
    pub(super) fn new(connection: Connection, path: &Path) -> Self {
        Self { connection, path: path.to_owned() }
    }
}

impl Fetcher for FetchPayloads {
    fn fetch(&mut self, number: JobNumber, priority: Priority) -> Result<Option<Bytes>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(PAYLOAD)?;
            let payload = statement.query_row([id_of(number, priority)], |row| {
                Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?))
            });
            payload.optional()
        };
        read().map_err(|error| explain(&self.path, "read a payload", &error))
    }

    fn find(&mut self, number: JobNumber) -> Result<Option<crate::core::Row>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(ROW)?;
            let ids = Priority::ALL.map(|priority| id_of(number, priority));
            let row = statement.query_row(ids, |row| {
                let (_, priority) = job_of(row.get(0)?);
                let function = row.get_ref(1)?.as_blob_or_null()?.map(Bytes::copy_from_slice);
                let function = function.unwrap_or_default();
                Ok(crate::core::Row { priority, function, unique: row.get(2)? })
            });
            row.optional()
        };
        read().map_err(|error| explain(&self.path, "look for a stored job", &error))
    }
}

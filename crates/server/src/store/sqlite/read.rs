//! Rows become jobs.

use super::{StoreError, explain, id_of, job_of};
use crate::core::{Record, StoredJob};
use crate::store::{Fetcher, Loader};
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};

/// Jobs of one batch: taking them in keeps the server for less than a millisecond.
const BATCH: usize = 500;

/// What a job takes in memory beside its payload and unique, about.
const RECORD_BYTES: usize = 160;

/// Jobs whose payload is never left in the store: they are told apart by it.
const DASH: &[u8] = b"-";

const WITH_PAYLOAD: &str = "SELECT jobs.id, place, name, retries, start, uniq, reducer, payload
    FROM jobs LEFT JOIN functions ON functions.id = jobs.function
    WHERE jobs.id > ?1 AND jobs.id <= ?2 ORDER BY jobs.id LIMIT ?3";
const WITHOUT_PAYLOAD: &str = "SELECT jobs.id, place, name, retries, start, uniq, reducer,
    CASE uniq WHEN x'2d' THEN payload END
    FROM jobs LEFT JOIN functions ON functions.id = jobs.function
    WHERE jobs.id > ?1 AND jobs.id <= ?2 ORDER BY jobs.id LIMIT ?3";
const PAYLOAD: &str = "SELECT payload FROM jobs WHERE id = ?1";

/// Reads the jobs of an earlier process. Later ones have higher numbers and are not met.
#[derive(Debug)]
pub(super) struct LoadJobs {
    connection: Connection,
    path: PathBuf,
    /// The last number of an earlier process.
    reserved: JobNumber,
    priority: Priority,
    after: i64,
}

impl LoadJobs {
    pub(super) fn new(connection: Connection, path: &Path, reserved: JobNumber) -> Self {
        let after = id_of(JobNumber(0), Priority::High) - 1;
        Self { connection, path: path.to_owned(), reserved, priority: Priority::High, after }
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
                Priority::Low => return Ok((jobs, None)),
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
}

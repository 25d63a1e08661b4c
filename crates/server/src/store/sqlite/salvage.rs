//! Reads what can be read of a damaged queue.
//!
//! SQLite finds rows through a tree of pages. A bad page makes a range of keys unreachable, and reading stops there in
//! either direction; so we come from both ends, and then look for islands in what is left, the widest gap first.

use super::inspect::{Entry, Head, placeholder, read_numbers};
use super::{StoreError, connect_to_read, explain, id_of, job_of, schema};
use crate::store::Flush;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};
use rusqlite::{Connection, Row};
use std::collections::{BinaryHeap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Reads that may fail before the rest is given up: some seconds.
const FAILURES: u32 = 100_000;

/// Bytes of a page; those of our files are of SQLite's default.
const PAGE: usize = 4096;

/// Where the first page says how many there are.
const PAGES_FIELD: std::ops::Range<usize> = 28..32;

const UP: &str = "SELECT id, place, function, retries, start, uniq, reducer, payload FROM jobs NOT INDEXED
    WHERE id >= ?1 AND id <= ?2 ORDER BY id";
const DOWN: &str = "SELECT id, place, function, retries, start, uniq, reducer, payload FROM jobs NOT INDEXED
    WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC";

/// Keys that could not be read, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    low: i64,
    high: i64,
}

/// Numbers of one priority that jobs may have been lost of, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Their priority.
    pub priority: Priority,
    /// The first number.
    pub from: JobNumber,
    /// The last number.
    pub to: JobNumber,
}

/// A damaged queue.
#[derive(Debug)]
pub(super) struct Salvage {
    connection: Connection,
    /// Names of functions that were read, and limits of their queues.
    pub(super) functions: HashMap<i64, (Bytes, PerPriority<u32>)>,
    /// What was reserved, if that could be read.
    pub(super) head: Option<Head>,
    /// Whether the first page was not usable, and a fresh one took its place.
    pub(super) without_head: bool,
    failures: u32,
    /// A copy to read from, gone with this.
    _copy: Option<Copied>,
}

impl Salvage {
    /// Opens a queue, or a copy of it beside `beside` when its first page is not usable.
    ///
    /// # Errors
    /// Nothing at all can be read, or no copy made.
    pub(super) fn open(path: &Path, beside: &Path) -> Result<Self, StoreError> {
        let failed = |error| explain(path, "read the damaged queue", &error);
        let (connection, copy) = match connect(path) {
            Ok(connection) => (connection, None),
            Err(_) => {
                let copy = Copied::with_a_fresh_first_page(path, beside)?;
                (connect(&copy.path).map_err(failed)?, Some(copy))
            }
        };
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        schema::must_not_be_newer(version, path)?;
        let functions = read_functions(&connection);
        let head = read_numbers(&connection).ok().filter(|head| head.numbers > 0);
        Ok(Self { connection, functions, head, without_head: copy.is_some(), failures: 0, _copy: copy })
    }

    /// Gives every job that can be read to `each`, and says what could not be.
    ///
    /// # Errors
    /// Those of `each`.
    pub(super) fn jobs(
        &mut self,
        mut each: impl FnMut(Entry) -> Result<(), StoreError>,
    ) -> Result<Vec<Lost>, StoreError> {
        let mut lost = Vec::new();
        for priority in Priority::ALL {
            // Numbers beyond what was reserved are damage themselves.
            let last = JobNumber(self.head.map_or(u64::MAX, |head| head.numbers));
            let whole = Gap { low: id_of(JobNumber(1), priority), high: id_of(last, priority) };
            for gap in self.priority(whole, &mut each)? {
                lost.push(Lost { priority, from: job_of(gap.low).0, to: job_of(gap.high).0 });
            }
        }
        Ok(lost)
    }

    fn priority(
        &mut self,
        whole: Gap,
        each: &mut dyn FnMut(Entry) -> Result<(), StoreError>,
    ) -> Result<Vec<Gap>, StoreError> {
        let mut gaps = BinaryHeap::new();
        let mut lost = Vec::new();
        let upward = self.read(UP, whole, each)?;
        let rest = upward.map(|low| Gap { low, ..whole });
        // From here on, what is in `gaps` can be read from neither of its ends.
        if let Some(rest) = rest
            && let Some(high) = self.read(DOWN, rest, each)?
        {
            gaps.push((high - rest.low, rest.low));
        }
        while let Some((width, low)) = gaps.pop() {
            let high = low + width;
            if width == 0 || self.failures >= FAILURES {
                lost.push(Gap { low, high });
                continue;
            }
            let middle = low + (width + 1) / 2;
            if let Some(low) = self.read(UP, Gap { low: middle, high }, each)? {
                gaps.push((high - low, low));
            }
            if let Some(high) = self.read(DOWN, Gap { low, high: middle - 1 }, each)? {
                gaps.push((high - low, low));
            }
        }
        Ok(joined(lost))
    }

    /// Reads a range until its end, which gives nothing, or until a key that cannot be read.
    fn read(
        &mut self,
        text: &str,
        range: Gap,
        each: &mut dyn FnMut(Entry) -> Result<(), StoreError>,
    ) -> Result<Option<i64>, StoreError> {
        let upward = text == UP;
        let mut next = if upward { range.low } else { range.high };
        let mut refused = None;
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(text)?;
            let mut rows = statement.query([range.low, range.high])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                // Keys of a broken tree may come in any order.
                if if upward { id < next } else { id > next } {
                    return Err(rusqlite::Error::InvalidQuery);
                }
                let job = job(row, &self.functions)?;
                next = if upward { id.saturating_add(1) } else { id.saturating_sub(1) };
                if let Err(error) = each(job) {
                    refused = Some(error);
                    break;
                }
            }
            Ok(())
        };
        let ended = read();
        if let Some(error) = refused {
            return Err(error);
        }
        if ended.is_ok() || next < range.low || next > range.high {
            return Ok(None);
        }
        self.failures += 1;
        Ok(Some(next))
    }
}

/// Opens a queue that may be shorter than it says, and makes sure that its tables can be found.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect_to_read(path)?;
    connection.pragma_update(None, "writable_schema", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    for table in ["jobs", "functions", "meta"] {
        connection.prepare(&format!("SELECT * FROM {table}"))?;
    }
    Ok(connection)
}

fn job(row: &Row<'_>, functions: &HashMap<i64, (Bytes, PerPriority<u32>)>) -> rusqlite::Result<Entry> {
    let bytes = |column| -> rusqlite::Result<Option<Bytes>> {
        Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
    };
    let whole = |column| bytes(column)?.ok_or(rusqlite::Error::InvalidQuery);
    let (number, priority) = job_of(row.get(0)?);
    let function: i64 = row.get(2)?;
    let payload = whole(7)?;
    Ok(Entry {
        number,
        priority,
        place: row.get::<_, i64>(1)?.cast_unsigned(),
        function: functions.get(&function).map_or_else(|| placeholder(function), |(name, _)| name.clone()),
        retries: row.get(3)?,
        start: row.get(4)?,
        unique: whole(5)?,
        reducer: bytes(6)?,
        size: payload.len() as u64,
        payload: Some(payload),
    })
}

/// All functions that can be read, from both ends.
fn read_functions(connection: &Connection) -> HashMap<i64, (Bytes, PerPriority<u32>)> {
    let mut functions = HashMap::new();
    for order in ["", "DESC"] {
        let text = format!("SELECT id, name, high, normal, low FROM functions NOT INDEXED ORDER BY id {order}");
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = connection.prepare(&text)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let name = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
                let limits = PerPriority { high: row.get(2)?, normal: row.get(3)?, low: row.get(4)? };
                functions.insert(row.get(0)?, (name, limits));
            }
            Ok(())
        };
        if read().is_ok() {
            break;
        }
    }
    functions
}

/// Gaps that touch become one.
fn joined(mut gaps: Vec<Gap>) -> Vec<Gap> {
    gaps.sort_unstable_by_key(|gap| gap.low);
    let mut joined: Vec<Gap> = Vec::new();
    for gap in gaps {
        match joined.last_mut() {
            Some(last) if last.high + 1 == gap.low => last.high = gap.high,
            _ => joined.push(gap),
        }
    }
    joined
}

/// A copy of a queue whose first page is not usable.
#[derive(Debug)]
struct Copied {
    path: PathBuf,
}

impl Copied {
    /// The tables of every queue begin at the same pages: the first page of an empty one fits.
    fn with_a_fresh_first_page(damaged: &Path, beside: &Path) -> Result<Self, StoreError> {
        let failed = |source: io::Error| StoreError::Directory { path: beside.to_owned(), source };
        let layout = Self { path: with_suffix(beside, ".layout") };
        let explain = |error| explain(&layout.path, "make a new queue", &error);
        let fresh = Connection::open(&layout.path).map_err(explain)?;
        schema::prepare(&fresh, &layout.path, Flush::Never)?;
        fresh.close().map_err(|(_, error)| explain(error))?;
        let mut page = [0; PAGE];
        File::open(&layout.path).and_then(|mut file| file.read_exact(&mut page)).map_err(failed)?;
        // How many pages there are is what the file has.
        if let Some(pages) = page.get_mut(PAGES_FIELD) {
            pages.fill(0);
        }
        let copy = Self { path: with_suffix(beside, ".reading") };
        fs::copy(damaged, &copy.path).map_err(failed)?;
        let log = with_suffix(damaged, "-wal");
        if log.exists() {
            fs::copy(&log, with_suffix(&copy.path, "-wal")).map_err(failed)?;
        }
        let mut file = File::options().write(true).open(&copy.path).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&page)).map_err(failed)?;
        Ok(copy)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // Some of them are not there.
            let _ = fs::remove_file(with_suffix(&self.path, suffix));
        }
    }
}

/// A path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

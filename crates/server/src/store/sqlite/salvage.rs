//! Reads what can be read of a damaged queue.
//!
//! SQLite finds rows through a tree of pages. A bad page makes a range of keys unreachable, and reading stops there in
//! either direction; so we come from both ends, and then look for islands in what is left, the widest gap first. What the
//! tree does not lead to any more may still be in the file: see `pages`.

use super::copied::{Copied, with_suffix};
use super::inspect::{Entry, Head, placeholder, read_numbers};
use super::pages::Pages;
use super::{StoreError, connect_to_read, explain, id_of, job_of, schema};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};
use rusqlite::{Connection, Row};
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};

/// Reads that may fail before the rest is given up: some seconds.
const FAILURES: u32 = 100_000;

const UP: &str = "SELECT id, place, function, retries, start, uniq, reducer, payload FROM jobs NOT INDEXED
    WHERE id >= ?1 ORDER BY id";
const DOWN: &str = "SELECT id, place, function, retries, start, uniq, reducer, payload FROM jobs NOT INDEXED
    WHERE id <= ?1 ORDER BY id DESC";

/// Who takes the jobs that are found.
pub(super) trait Rescue {
    /// Whether a job with this number was taken.
    fn has(&self, number: JobNumber) -> Result<bool, StoreError>;

    /// Whether a job with a key between these, ends excluded, was taken.
    fn has_between(&self, above: i64, below: i64) -> Result<bool, StoreError>;

    /// Takes a job.
    fn take(&mut self, job: Entry) -> Result<(), StoreError>;
}

/// Keys that could not be read, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) low: i64,
    pub(super) high: i64,
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
    /// The last number that jobs may have.
    last: JobNumber,
    path: PathBuf,
    beside: PathBuf,
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
        let version =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        schema::must_not_be_newer(version, path)?;
        let functions = read_functions(&connection);
        let head = read_numbers(&connection).ok().filter(|head| head.numbers > 0);
        Ok(Self {
            connection,
            functions,
            last: JobNumber(head.map_or(u64::MAX, |head| head.numbers)),
            head,
            without_head: copy.is_some(),
            failures: 0,
            path: path.to_owned(),
            beside: beside.to_owned(),
            _copy: copy,
        })
    }

    /// Gives every job that can be read to `rescue`, and says what could not be.
    ///
    /// # Errors
    /// Those of `rescue`.
    pub(super) fn jobs(&mut self, rescue: &mut dyn Rescue) -> Result<Vec<Lost>, StoreError> {
        let mut gaps = Vec::new();
        for priority in Priority::ALL {
            gaps.extend(self.priority(priority, rescue)?);
        }
        // Without the first page nobody knows which pages are free, and their jobs are over.
        if !self.without_head {
            gaps = self.search(&gaps, rescue)?;
        }
        let lost = joined(gaps);
        let lost = lost.iter().map(|gap| {
            let ((from, priority), (to, _)) = (job_of(gap.low), job_of(gap.high));
            Lost { priority, from, to }
        });
        Ok(lost.collect())
    }

    /// Looks into the pages of the file: a damaged tree may also leave jobs out without a word.
    fn search(&self, gaps: &[Gap], rescue: &mut dyn Rescue) -> Result<Vec<Gap>, StoreError> {
        // What is in the log only has to be in the pages too.
        let log = with_suffix(&self.path, "-wal");
        let logged = log.metadata().is_ok_and(|log| log.len() > 0);
        let copy = if logged { Some(Copied::with_its_log(&self.path, &self.beside)?) } else { None };
        let file = copy.as_ref().map_or(&self.path, |copy| &copy.path);
        let Ok(pages) = Pages::open(file) else { return Ok(gaps.to_vec()) };
        pages.search(gaps, |function| name(&self.functions, function), rescue)
    }

    fn priority(&mut self, priority: Priority, rescue: &mut dyn Rescue) -> Result<Vec<Gap>, StoreError> {
        let mut gaps = BinaryHeap::new();
        let mut lost = Vec::new();
        let whole = Gap { low: id_of(JobNumber(1), priority), high: id_of(JobNumber(u64::MAX), priority) };
        let upward = self.read(UP, whole, rescue)?;
        let rest = upward.map(|low| Gap { low, ..whole });
        // From here on, what is in `gaps` can be read from neither of its ends. No job is beyond what was reserved.
        if let Some(rest) = rest
            && let Some(high) = self.read(DOWN, rest, rescue)?
        {
            let high = high.min(id_of(self.last, priority));
            if high >= rest.low {
                gaps.push((high - rest.low, rest.low));
            }
        }
        while let Some((width, low)) = gaps.pop() {
            let high = low + width;
            if width == 0 || self.failures >= FAILURES {
                lost.push(Gap { low, high });
                continue;
            }
            let middle = low + (width + 1) / 2;
            if let Some(low) = self.read(UP, Gap { low: middle, high }, rescue)? {
                gaps.push((high - low, low));
            }
            if let Some(high) = self.read(DOWN, Gap { low, high: middle - 1 }, rescue)? {
                gaps.push((high - low, low));
            }
        }
        Ok(joined(lost))
    }

    /// Reads a range until its end, which gives nothing, or until a key that cannot be read.
    fn read(&mut self, text: &str, range: Gap, rescue: &mut dyn Rescue) -> Result<Option<i64>, StoreError> {
        let upward = text == UP;
        let mut next = if upward { range.low } else { range.high };
        let mut refused = None;
        // What was read beyond the range must come next; otherwise the tree has led astray.
        let mut beyond = if upward { i64::MAX } else { i64::MIN };
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(text)?;
            let mut rows = statement.query([next])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                // Keys of a broken tree may come in any order.
                if if upward { id < next } else { id > next } {
                    return Err(rusqlite::Error::InvalidQuery);
                }
                if id < range.low || id > range.high {
                    beyond = id;
                    break;
                }
                let job = job(row, &self.functions)?;
                next = if upward { id.saturating_add(1) } else { id.saturating_sub(1) };
                if let Err(error) = rescue.take(job) {
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
        if next < range.low || next > range.high {
            return Ok(None);
        }
        let (above, below) = if upward { (range.high, beyond) } else { (beyond, range.low) };
        if ended.is_ok() && !rescue.has_between(above, below)? {
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
        function: name(functions, function),
        retries: row.get(3)?,
        start: row.get(4)?,
        unique: whole(5)?,
        reducer: bytes(6)?,
        size: payload.len() as u64,
        payload: Some(payload),
    })
}

fn name(functions: &HashMap<i64, (Bytes, PerPriority<u32>)>, function: i64) -> Bytes {
    functions.get(&function).map_or_else(|| placeholder(function), |(name, _)| name.clone())
}

/// All functions that can be read, from both ends.
fn read_functions(connection: &Connection) -> HashMap<i64, (Bytes, PerPriority<u32>)> {
    let mut functions = HashMap::new();
    for order in ["", "DESC"] {
        let text =
            format!("SELECT id, name, high, normal, low FROM functions NOT INDEXED ORDER BY id {order}");
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

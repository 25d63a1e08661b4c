//! How many jobs there are, kept beside them: known at the start before any job is read.
//!
//! Every commit adds its differences, so the table is exact after a crash. A count that is wrong all the same, by rows written
//! from outside, is noticed when all jobs have been read, and all are counted anew at the next start.

use super::{StoreError, explain, job_of};
use crate::core::{Count, Unread};
use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::priority::PerPriority;
use foldhash::fast::FixedState;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The table. Made last, so that the others begin at the same pages in a file without it.
pub(super) const TABLE: &str = "
CREATE TABLE counts (
    function INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    jobs INTEGER NOT NULL,
    uniques INTEGER NOT NULL,
    PRIMARY KEY (function, priority)
) STRICT, WITHOUT ROWID;
";

/// Key in `meta` of what is not 0 when the counts are not to be relied on.
const UNSURE: &str = "unsure";

/// Differences that are named one by one.
const LINES: usize = 20;

const UPDATE: &str =
    "UPDATE counts SET jobs = jobs + ?3, uniques = uniques + ?4 WHERE function = ?1 AND priority = ?2";
const INSERT: &str = "INSERT INTO counts (function, priority, jobs, uniques) VALUES (?1, ?2, ?3, ?4)";
const COUNTED: &str =
    "SELECT function, id >> 61 AS priority, count(*) AS jobs, sum(length(uniq) > 0) AS uniques
    FROM jobs GROUP BY 1, 2";

/// What a commit adds to the counts, and takes from them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The function and priority of the last one noted: most have the same.
    last: (i64, i64),
    at_last: (i64, i64),
    /// By function and priority: jobs, and those with a unique. The ids are our own: no peer can aim at a hash chain.
    differences: HashMap<(i64, i64), (i64, i64), FixedState>,
}

impl Tally {
    /// A job of a function came, or went.
    pub(super) fn note(&mut self, function: i64, priority: Priority, unique: bool, came: bool) {
        let one = if came { 1 } else { -1 };
        let key = (function, priority.index() as i64);
        if key != self.last {
            self.put_last();
            self.last = key;
        }
        self.at_last.0 += one;
        self.at_last.1 += one * i64::from(unique);
    }

    fn put_last(&mut self) {
        let (jobs, uniques) = std::mem::take(&mut self.at_last);
        if (jobs, uniques) != (0, 0) {
            let difference = self.differences.entry(self.last).or_default();
            *difference = (difference.0 + jobs, difference.1 + uniques);
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Writes the differences.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.put_last();
        if self.differences.is_empty() {
            return Ok(());
        }
        let mut update = connection.prepare_cached(UPDATE)?;
        for ((function, priority), (jobs, uniques)) in self.differences.drain() {
            if (jobs, uniques) == (0, 0) {
                continue;
            }
            if update.execute(params![function, priority, jobs, uniques])? == 0 {
                connection.prepare_cached(INSERT)?.execute(params![function, priority, jobs, uniques])?;
            }
        }
        Ok(())
    }
}

/// Says that counts turned out to be wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Writes it down, once, for the next start.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.0.swap(false, Ordering::Relaxed) {
            connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, 1)", [UNSURE])?;
        }
        Ok(())
    }
}

/// Whether counts are to be taken anew.
pub(super) fn are_unsure(connection: &Connection) -> rusqlite::Result<bool> {
    let find = "SELECT value FROM meta WHERE key = ?1";
    let unsure: Option<i64> = connection.query_row(find, [UNSURE], |row| row.get(0)).optional()?;
    Ok(unsure.unwrap_or_default() != 0)
}

/// Counts all jobs, within a transaction.
pub(super) fn take_anew(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let start = Instant::now();
    let count = || {
        connection.execute("DELETE FROM counts", [])?;
        connection
            .execute(&format!("INSERT INTO counts (function, priority, jobs, uniques) {COUNTED}"), [])?;
        connection.execute("DELETE FROM meta WHERE key = ?1", [UNSURE])?;
        connection.query_row("SELECT ifnull(sum(jobs), 0) FROM counts", [], |row| row.get::<_, i64>(0))
    };
    let jobs = count().map_err(|error| explain(path, "count the stored jobs", &error))?;
    let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(jobs, took_ms, "stored jobs are counted");
    Ok(())
}

/// What the counts say, by the id of the function.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<HashMap<i64, PerPriority<Count>>> {
    let mut counts: HashMap<i64, PerPriority<Count>> = HashMap::new();
    let mut statement = connection.prepare("SELECT function, priority, jobs, uniques FROM counts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // Less than none is as wrong as too many.
        let number = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or_default());
        let count = Count { jobs: number(2)?, uniques: number(3)? };
        if count != Count::default() {
            let (_, priority) = job_of(row.get::<_, i64>(1)? << super::NUMBER_BITS);
            *counts.entry(row.get(0)?).or_default().of_mut(priority) = count;
        }
    }
    Ok(counts)
}

/// The same by name. Jobs of a function that is not listed are read as those of one without a name.
pub(super) fn by_name(
    functions: &[(i64, Bytes)],
    mut counts: HashMap<i64, PerPriority<Count>>,
) -> Vec<Unread> {
    let named = functions
        .iter()
        .filter_map(|(id, name)| counts.remove(id).map(|counts| Unread { function: name.clone(), counts }));
    let mut list: Vec<Unread> = named.collect();
    let mut nameless = Unread::default();
    for counts in counts.into_values() {
        for priority in Priority::ALL {
            let (sum, count) = (nameless.counts.of_mut(priority), counts.of(priority));
            *sum = Count { jobs: sum.jobs + count.jobs, uniques: sum.uniques + count.uniques };
        }
    }
    if nameless != Unread::default() {
        list.push(nameless);
    }
    list
}

/// Where the counts say something else than the jobs, in words.
pub(super) fn differences(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let text = format!(
        "SELECT CAST(ifnull(name, 'function ' || function) AS TEXT), priority, sum(j), sum(u), sum(cj), sum(cu)
         FROM (SELECT function, priority, jobs AS j, uniques AS u, 0 AS cj, 0 AS cu FROM ({COUNTED})
            UNION ALL SELECT function, priority, 0, 0, jobs, uniques FROM counts)
         LEFT JOIN functions ON functions.id = function
         GROUP BY function, priority HAVING sum(j) <> sum(cj) OR sum(u) <> sum(cu) ORDER BY function, priority"
    );
    let mut statement = connection.prepare(&text)?;
    let mut rows = statement.query([])?;
    let (mut lines, mut more) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if lines.len() == LINES {
            more += 1;
            continue;
        }
        let name = String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned();
        let priority = match row.get::<_, i64>(1)? {
            0 => "high",
            1 => "normal",
            _ => "low",
        };
        let number = |column| row.get::<_, i64>(column);
        let (jobs, uniques, counted, counted_uniques) = (number(2)?, number(3)?, number(4)?, number(5)?);
        lines.push(format!(
            "counts of {name}, priority {priority}: {counted} jobs, {counted_uniques} with a unique; there are {jobs}, {uniques} with one"
        ));
    }
    if more > 0 {
        lines.push(format!("more wrong counts: {more}"));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Change, Record};
    use crate::store::{Flush, Opened};
    use conveyor_common::JobNumber;
    use proptest::prelude::*;

    fn record(number: u64, function: u8, priority: Priority, unique: bool) -> Record {
        Record {
            number: JobNumber(number),
            order: number,
            function: Bytes::from(format!("f{function}")),
            unique: if unique { Bytes::from(format!("u{number}")) } else { Bytes::new() },
            priority,
            reducer: None,
            when: 0,
            retries: 0,
            payload: Bytes::new(),
        }
    }

    fn open(path: &Path) -> Opened {
        super::super::open_file(path, Flush::Never).unwrap()
    }

    fn looked_into(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    fn total(unread: &[Unread]) -> u64 {
        unread.iter().flat_map(|one| Priority::ALL.map(|priority| one.counts.of(priority).jobs)).sum()
    }

    /// A file with so many jobs with a unique.
    fn filled(directory: &tempfile::TempDir, jobs: u64) -> std::path::PathBuf {
        let path = directory.path().join("queue.db");
        let mut store = open(&path).store;
        let mut changes = vec![Change::NumbersReserved { through: JobNumber(100), orders: 100 }];
        changes.extend((1..=jobs).map(|number| Change::Added(record(number, 1, Priority::Normal, true))));
        store.commit(&changes).unwrap();
        store.close();
        path
    }

    fn read_all(opened: &mut Opened) -> usize {
        let (mut room, mut read) = (usize::MAX, 0);
        loop {
            let (jobs, next) = opened.loader.next_jobs(&mut room).unwrap();
            read += jobs.len();
            if next.is_none() {
                return read;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Rows that replace others, ends of jobs that are not there, several of a kind in one commit.
        #[test]
        fn counts_are_what_counting_gives(
            commits in prop::collection::vec(
                prop::collection::vec((0..3_u8, 1..12_u64, 0..3_u8, 0..3_usize, any::<bool>()), 0..12),
                1..12,
            )
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("queue.db");
            let mut store = open(&path).store;
            let mut there: HashMap<(Priority, u64), Record> = HashMap::new();
            for commit in commits {
                let mut changes = Vec::new();
                for (what, number, function, priority, unique) in commit {
                    let new = record(number, function, Priority::ALL[priority], unique);
                    let key = (new.priority, number);
                    if what < 2 {
                        there.insert(key, new.clone());
                        changes.push(Change::Added(new));
                    } else {
                        let old = there.remove(&key).unwrap_or(new);
                        changes.push(Change::Removed {
                            number: old.number,
                            priority: old.priority,
                            unique: !old.unique.is_empty(),
                            function: old.function,
                        });
                    }
                }
                store.commit(&changes).unwrap();
                prop_assert_eq!(differences(&looked_into(&path)).unwrap(), Vec::<String>::new());
            }
            prop_assert_eq!(total(&open(&path).unread), there.len() as u64);
        }
    }

    #[test]
    fn a_file_without_counts_gets_them_when_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = filled(&directory, 7);
        looked_into(&path).execute_batch("DROP TABLE counts; PRAGMA user_version = 1").unwrap();
        assert_eq!(
            super::super::check_file(&path).unwrap(),
            Vec::<String>::new(),
            "an old file is as it should be"
        );
        assert_eq!(total(&open(&path).unread), 7);
        let version: i64 =
            looked_into(&path).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, super::super::schema::VERSION);
    }

    #[test]
    fn wrong_counts_are_named_and_right_again_after_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = filled(&directory, 7);
        looked_into(&path).execute_batch("DELETE FROM jobs WHERE id & 0xff > 4").unwrap();
        let expected = "counts of f1, priority normal: 7 jobs, 7 with a unique; there are 4, 4 with one";
        assert_eq!(super::super::check_file(&path).unwrap(), [expected]);
        let mut opened = open(&path);
        assert_eq!((total(&opened.unread), read_all(&mut opened)), (7, 4));
        opened.store.close();
        assert_eq!(total(&open(&path).unread), 4);
        assert_eq!(super::super::check_file(&path).unwrap(), Vec::<String>::new());
    }
}

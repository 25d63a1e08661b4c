//! A new queue of what can be read of a damaged one, which stays as it is.

use super::copied::with_suffix;
use super::import::Filling;
use super::inspect::{Entry, Head};
use super::salvage::{Lost, Rescue, Salvage};
use super::{StoreError, explain, schema};
use crate::store::{DataDirectory, Flush};
use bytes::Bytes;
use conveyor_common::JobNumber;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What is reserved on top when nobody knows any more which numbers were given out.
const MARGIN: u64 = 1_000_000;

/// What became of a damaged queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Jobs in the new queue.
    pub jobs: u64,
    /// The new queue.
    pub file: PathBuf,
    /// Where the damaged one is now; nothing when it was left in its place.
    pub damaged: Option<PathBuf>,
    /// Numbers of jobs that could not be read, if there were jobs with them.
    pub lost: Vec<Lost>,
    /// Jobs by function whose name could not be read, under the name they have now.
    pub unnamed: BTreeMap<String, u64>,
    /// The reserved numbers could not be read: those given out from now on begin a good deal higher.
    pub numbers_guessed: bool,
    /// The first page was not usable.
    pub without_head: bool,
}

/// Makes a new queue in the place of a damaged one, or in `output`, of all that can be read.
///
/// # Errors
/// A server has the directory, nothing can be read, or nothing written; then everything is as it was.
pub fn repair(directory: &Path, output: Option<&Path>) -> Result<Repaired, StoreError> {
    DataDirectory::existing_queue(directory)?;
    let held = DataDirectory::open(directory)?;
    let queue = held.queue();
    let new = output.map_or_else(|| with_suffix(&queue, ".repaired"), Path::to_owned);
    if output.is_some() && new.exists() {
        let what = format!("{} is there already: choose another name", new.display());
        return Err(StoreError::Failed { doing: "make a new queue", what });
    }
    if output.is_none() {
        remove(&new);
    }
    let filled = fill(&queue, &new).and_then(|mut repaired| {
        let failed = |source| StoreError::Directory { path: directory.to_owned(), source };
        File::open(&new).and_then(|file| file.sync_all()).map_err(failed)?;
        if output.is_none() {
            repaired.damaged = Some(exchange(&queue, &new).map_err(failed)?);
            repaired.file = queue.clone();
        }
        Ok(repaired)
    });
    if filled.is_err() {
        remove(&new);
    }
    filled
}

fn fill(queue: &Path, new: &Path) -> Result<Repaired, StoreError> {
    let mut salvage = Salvage::open(queue, new)?;
    let failed = |error| explain(new, "make a new queue", &error);
    let connection = Connection::open(new).map_err(failed)?;
    schema::prepare(&connection, new, Flush::Never)?;
    let mut filling = Filling::begin(connection, new)?;
    let mut functions: Vec<_> =
        salvage.functions.iter().map(|(id, function)| (*id, function.clone())).collect();
    functions.sort_unstable_by_key(|(id, _)| *id);
    for (_, (name, limits)) in functions {
        filling.limit(&name, limits)?;
    }
    if let Some(head) = &salvage.head {
        filling.reserve(head);
    }
    let named = salvage.functions.values().map(|(name, _)| name.clone()).collect();
    let mut rescued = Rescued { filling, named, unnamed: BTreeMap::new() };
    let lost = salvage.jobs(&mut rescued)?;
    let Rescued { mut filling, unnamed, .. } = rescued;
    let numbers_guessed = salvage.head.is_none();
    if numbers_guessed {
        let numbers = filling.numbers().saturating_add(MARGIN);
        filling.reserve(&Head { numbers, ..Head::default() });
    }
    let jobs = filling.added;
    filling.write_numbers()?;
    filling.count()?;
    filling.commit()?;
    let (file, without_head) = (new.to_owned(), salvage.without_head);
    Ok(Repaired { jobs, file, damaged: None, lost, unnamed, numbers_guessed, without_head })
}

/// Jobs that go into the new queue.
struct Rescued {
    filling: Filling,
    /// Functions whose names are known.
    named: HashSet<Bytes>,
    /// Jobs of the others.
    unnamed: BTreeMap<String, u64>,
}

impl Rescue for Rescued {
    fn has(&self, number: JobNumber) -> Result<bool, StoreError> {
        self.filling.has(number)
    }

    fn has_between(&self, above: i64, below: i64) -> Result<bool, StoreError> {
        self.filling.has_between(above, below)
    }

    fn take(&mut self, job: Entry) -> Result<(), StoreError> {
        // The same job twice is damage too.
        if !self.filling.has(job.number)? && self.filling.add(&job)? && !self.named.contains(&job.function) {
            let name = String::from_utf8_lossy(&job.function).into_owned();
            *self.unnamed.entry(name).or_default() += 1;
        }
        Ok(())
    }
}

/// Puts the new queue into the place of the damaged one, which keeps its log under a name of its own. The damaged one is
/// complete at every moment.
fn exchange(queue: &Path, new: &Path) -> io::Result<PathBuf> {
    let kept = (1_u32..)
        .map(|n| with_suffix(queue, &format!(".damaged-{n}")))
        .find(|path| !path.exists() && !with_suffix(path, "-wal").exists())
        .ok_or_else(|| io::Error::other("no name is left for the damaged queue"))?;
    fs::hard_link(queue, &kept).or_else(|_| fs::copy(queue, &kept).map(drop))?;
    let log = with_suffix(queue, "-wal");
    if log.metadata().is_ok_and(|log| log.len() == 0) {
        fs::remove_file(&log)?;
    }
    if log.exists() {
        fs::rename(&log, with_suffix(&kept, "-wal"))?;
    }
    let index = with_suffix(queue, "-shm");
    if index.exists() {
        fs::remove_file(index)?;
    }
    fs::rename(new, queue)?;
    if let Some(directory) = queue.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(kept)
}

/// Removes an unfinished queue.
fn remove(new: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        // Some of them are not there.
        let _ = fs::remove_file(with_suffix(new, suffix));
    }
}

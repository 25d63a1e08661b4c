//! The journal of a run: a file of lines of JSON, from which a killed run goes on.
//!
//! First a line about the run, then one for each task, then what happened as it happened. Lines reach the kernel before
//! what they announce leaves the process, so a client that is killed has done nothing that its journal does not say. They
//! are synced to the disk once a second, when a run is aborted, and when it is over: with the machine, a second may be lost.

use super::ledger::Ledger;
use super::record::{Header, Record, TaskRecord};
use super::runner::RunSpec;
use super::saved::{self, Saved};
use super::task::RunTask;
use conveyor_common::Millis;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Time between two syncs, while there is something new.
const SYNC: Duration = Duration::from_secs(1);

/// Bytes of tasks that are collected before they are written.
const CHUNK_BYTES: usize = 1 << 18;

/// Why a journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// It cannot be read or cut.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it open: that run is alive.
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A line is none of a journal.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The client was killed before its list of tasks was written: nothing was submitted.
    Incomplete {
        /// The file.
        path: PathBuf,
    },
}

impl JournalError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Busy { path } => {
                write!(f, "{}: another client is at work on this run", path.display())
            }
            Self::Damaged { path, line, what } => {
                write!(f, "{}, line {line}, is damaged: {what}", path.display())
            }
            Self::Incomplete { path } => {
                let why = "its list of tasks is not complete, so nothing was submitted: remove it and start the run anew";
                write!(f, "{}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for JournalError {}

/// The open journal of a run. Nobody else can open it for writing as long as this one lives.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    /// Lines that the kernel has not got yet.
    buffer: Vec<u8>,
    keep_results: bool,
    /// The kernel has lines that are not synced.
    dirty: bool,
    next_sync: Option<Instant>,
    syncing: Option<JoinHandle<io::Result<()>>>,
    header: Header,
    pub(super) tasks: Arc<Vec<RunTask>>,
    /// Of a run to go on with.
    past: Option<Ledger>,
    resumes: bool,
    /// How often a client went on with it before.
    pub(super) resumed: u32,
    /// When the last line was written.
    pub(super) last: Millis,
}

impl Journal {
    /// Creates the journal of the run `spec`, which begins at `now` in milliseconds since 1970, and syncs it.
    ///
    /// # Errors
    /// The file is there already, or cannot be written; the id of the run is none; the body of a task is no PHP value that can
    /// be written.
    pub fn create(path: impl AsRef<Path>, spec: &RunSpec, now: Millis) -> io::Result<Self> {
        spec.check().map_err(|what| io::Error::new(io::ErrorKind::InvalidInput, what))?;
        let path = path.as_ref();
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        let header = Header::of(spec, now.0);
        let mut journal = Self::of(file, header.clone(), Arc::clone(&spec.tasks), now);
        journal.line(&Record::Run(header))?;
        for (index, task) in spec.tasks.iter().enumerate() {
            journal.line(&Record::Task(TaskRecord::of(index, task)))?;
            if journal.buffer.len() >= CHUNK_BYTES {
                journal.flush()?;
            }
        }
        journal.flush()?;
        journal.file.sync_all()?;
        // The name of a new file is the matter of its directory.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        journal.dirty = false;
        Ok(journal)
    }

    /// Opens the journal of a run to go on with it. A last line that was being written when its client was killed is cut off.
    ///
    /// # Errors
    /// It cannot be read, is none, is damaged, or its run is alive.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Saved), JournalError> {
        let path = path.as_ref();
        let io = |error| JournalError::io(path, error);
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Busy { path: path.to_owned() },
            TryLockError::Error(error) => JournalError::io(path, error),
        })?;
        let saved::Read { saved, header, whole_bytes } =
            saved::read(path, BufReader::with_capacity(1 << 16, &file))?;
        file.set_len(whole_bytes).map_err(io)?;
        (&file).seek(SeekFrom::End(0)).map_err(io)?;
        let mut journal = Self::of(file, header, Arc::clone(&saved.tasks), saved.last);
        journal.past = Some(saved.ledger.clone());
        journal.resumes = true;
        journal.resumed = saved.resumed;
        Ok((journal, saved))
    }

    /// Whether the results of tasks that are done are kept (no): the journal grows by them.
    #[must_use]
    pub const fn keep_results(mut self, keep: bool) -> Self {
        self.keep_results = keep;
        self
    }

    fn of(file: File, header: Header, tasks: Arc<Vec<RunTask>>, last: Millis) -> Self {
        Self {
            file: Arc::new(file),
            buffer: Vec::new(),
            keep_results: false,
            dirty: false,
            next_sync: None,
            syncing: None,
            header,
            tasks,
            past: None,
            resumes: false,
            resumed: 0,
            last,
        }
    }

    /// When the run began.
    pub(super) const fn started(&self) -> Millis {
        Millis(self.header.at)
    }

    /// What a client is to go on with; once.
    pub(super) const fn take_past(&mut self) -> Option<Ledger> {
        self.past.take()
    }

    /// Whether it was there before this client.
    pub(super) const fn is_resumed(&self) -> bool {
        self.resumes
    }

    pub(super) const fn keeps_results(&self) -> bool {
        self.keep_results
    }

    /// What `spec` says otherwise than the journal, in words.
    pub(super) fn disagrees(&self, spec: &RunSpec) -> Option<&'static str> {
        let Header { name, run, function, codec, priority, manager, .. } = &self.header;
        let same_manager = spec.manager.as_ref().map(|manager| &manager.function) == manager.as_ref();
        let same_tasks = Arc::ptr_eq(&self.tasks, &spec.tasks) || self.tasks == spec.tasks;
        [
            (spec.name == *name, "name"),
            (spec.run == *run, "run id"),
            (spec.function == *function, "function"),
            (spec.codec == *codec, "codec"),
            (spec.priority == (*priority).into(), "priority"),
            (same_manager, "manager"),
            (same_tasks, "list of tasks"),
        ]
        .into_iter()
        .find_map(|(same, what)| (!same).then_some(what))
    }

    /// Adds a line, which is written by the next [`Self::flush`].
    pub(super) fn line(&mut self, record: &Record) -> io::Result<()> {
        let before = self.buffer.len();
        if let Err(error) = serde_json::to_writer(&mut self.buffer, record) {
            self.buffer.truncate(before);
            return Err(error.into());
        }
        self.buffer.push(b'\n');
        Ok(())
    }

    /// Gives all lines to the kernel.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        (&*self.file).write_all(&self.buffer)?;
        self.buffer.clear();
        self.dirty = true;
        Ok(())
    }

    /// Syncs once a second while there is something new, and otherwise waits for ever. May be dropped and called again.
    pub(super) async fn keep_synced(&mut self) -> io::Result<()> {
        loop {
            if let Some(syncing) = &mut self.syncing {
                let synced = syncing.await;
                self.syncing = None;
                synced.map_err(io::Error::other)??;
            }
            if !self.dirty {
                std::future::pending::<()>().await;
            }
            sleep_until(*self.next_sync.get_or_insert_with(|| Instant::now() + SYNC)).await;
            self.start_sync();
        }
    }

    fn start_sync(&mut self) {
        self.dirty = false;
        self.next_sync = None;
        let file = Arc::clone(&self.file);
        self.syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
    }

    /// Writes and syncs everything now.
    pub(super) async fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        while self.dirty || self.syncing.is_some() {
            if self.syncing.is_none() {
                self.start_sync();
            }
            if let Some(syncing) = &mut self.syncing {
                let synced = syncing.await;
                self.syncing = None;
                synced.map_err(io::Error::other)??;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/journal.rs"]
mod tests;

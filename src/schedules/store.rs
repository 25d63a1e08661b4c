//! Where the states of schedules are: a small file for each, read and replaced under a lock, so that processes that are
//! configured alike decide one after another.
//!
//! `NAME.json` is the state, `NAME.lock` is locked while it is read and replaced, `NAME.DUE.run` is locked for as long as
//! that run is being started or goes on: by whoever starts it, and by its process, which inherits the lock. The kernel gives a
//! lock back when its holders are gone, however they ended.

use conveyor_client::schedule::State;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The directory with the states.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// The right to change the state of one schedule.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    folder: &'a Folder,
    name: &'a str,
    _lock: File,
}

/// A run of this process: alive as long as somebody has it open.
#[derive(Debug)]
pub(crate) struct RunLock(pub(crate) File);

impl Folder {
    /// The folder `schedules` of the state directory `given`, or of the default one; made when it is not there.
    ///
    /// # Errors
    /// There is no place for it, or it cannot be made; says what to do.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, String> {
        let folder = Self::at(given)?;
        crate::state::make(&folder.0)
            .map_err(|error| format!("{error}: give another directory with --state-dir"))?;
        Ok(folder)
    }

    /// The same, for those who only look.
    ///
    /// # Errors
    /// There is no place for it.
    pub(crate) fn at(given: Option<&Path>) -> Result<Self, String> {
        let directory = crate::storage::directory(given).map_err(|_| {
            "there is no place for what is known about schedules: give one with --state-dir".to_owned()
        })?;
        Ok(Self(directory.join("schedules")))
    }

    /// The state directory that it is in.
    pub(super) fn directory(&self) -> &Path {
        self.0.parent().unwrap_or(&self.0)
    }

    /// Waits until nobody else changes this state.
    pub(super) fn lock<'a>(&'a self, name: &'a str) -> Result<Locked<'a>, String> {
        let path = self.0.join(format!("{name}.lock"));
        let lock =
            open(&path).and_then(|file| file.lock().map(|()| file)).map_err(|error| failed(&path, &error))?;
        Ok(Locked { folder: self, name, _lock: lock })
    }

    /// What is known, if anything.
    ///
    /// # Errors
    /// The file cannot be read, or is none of ours; says what to do.
    pub(crate) fn read(&self, name: &str) -> Result<Option<State>, String> {
        let path = self.state(name);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, &error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            format!(
                "{}: {error}: this is not the state of a schedule; remove it to begin anew",
                path.display()
            )
        })
    }

    /// Whether whoever starts or does this run is alive.
    pub(crate) fn is_alive(&self, name: &str, due: i64) -> bool {
        // A file that cannot be opened was never made, or is gone with the run.
        let Ok(file) = File::open(self.run(name, due)) else { return false };
        matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
    }

    fn state(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    fn run(&self, name: &str, due: i64) -> PathBuf {
        self.0.join(format!("{name}.{due}.run"))
    }
}

impl Locked<'_> {
    pub(super) fn read(&self) -> Result<Option<State>, String> {
        self.folder.read(self.name)
    }

    /// Replaces the state; when this returns it is on the disk.
    pub(super) fn write(&self, state: &State) -> Result<(), String> {
        let path = self.folder.state(self.name);
        let new = self.folder.0.join(format!("{}.new", self.name));
        let replace = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(state)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.folder.0)?.sync_all()
        };
        replace().map_err(|error| failed(&path, &error))
    }

    /// Takes the lock of a run that is about to be started.
    pub(super) fn claim(&self, due: i64) -> Result<RunLock, String> {
        let path = self.folder.run(self.name, due);
        open(&path)
            .and_then(|file| file.lock().map(|()| RunLock(file)))
            .map_err(|error| failed(&path, &error))
    }

    /// Removes what was there of a run that is over. Only with the lock of the schedule, so that nobody is about to lock it.
    pub(super) fn forget(&self, due: i64) {
        // It may never have been made.
        let _ = std::fs::remove_file(self.folder.run(self.name, due));
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}: make room, or give another directory with --state-dir", path.display())
}

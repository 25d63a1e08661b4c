//! The data directory: one server at a time.

use super::StoreError;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Holds the lock. Its owner stands in it.
const LOCK: &str = "lock";

/// The queue.
const QUEUE: &str = "queue.db";

/// Makes a directory, and those above it that are not there. What holds a new one is synced: the power must not take the
/// queue along with its directory.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make(above)?;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            // Some file systems cannot sync directories; the queue is not refused for that.
            let _ = File::open(above).and_then(|above| above.sync_all());
            Ok(())
        }
    }
}

/// A directory that nobody else uses for as long as this lives. The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    lock: File,
}

/// A process that is just being started may still hold a copy of the descriptor: closing it would not be enough.
impl Drop for DataDirectory {
    fn drop(&mut self) {
        // The lock goes with the descriptor at the latest.
        let _ = self.lock.unlock();
    }
}

/// Who has a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its process, if it said so.
    pub pid: Option<u32>,
}

impl DataDirectory {
    /// Makes the directory if need be, and takes it.
    ///
    /// # Errors
    /// It cannot be written to, or another server has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source: io::Error| StoreError::Directory { path: path.to_owned(), source };
        // Payloads are nobody else's business.
        make(path).map_err(failed)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let owner = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StoreError::InUse { path: path.to_owned(), owner });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let named = lock
            .set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", std::process::id()));
        named.map_err(failed)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Who has a directory; nobody when it is free or not there.
    #[must_use]
    pub fn owner(path: &Path) -> Option<Owner> {
        let mut lock = File::open(path.join(LOCK)).ok()?;
        // Held for the moment until this returns, and only beside others that look too.
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                Some(Owner {
                    pid: lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok()),
                })
            }
            _ => None,
        }
    }

    /// The file of the queue in a directory that nobody takes.
    ///
    /// # Errors
    /// There is none.
    pub fn existing_queue(path: &Path) -> Result<PathBuf, StoreError> {
        let queue = path.join(QUEUE);
        match queue.metadata() {
            Ok(_) => Ok(queue),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Missing { path: path.to_owned() })
            }
            Err(source) => Err(StoreError::Directory { path: path.to_owned(), source }),
        }
    }

    /// The file of the queue.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.path.join(QUEUE)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

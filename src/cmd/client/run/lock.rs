//! One run of a name at a time on a host: a lock of the kernel, which ends with the process, however that ends.

use jiff::Timestamp;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Most bytes that are read of who holds a lock.
const HOLDER_BYTES: u64 = 1000;

/// A lock that is held. No child inherits it: files are closed where a program starts.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub(super) enum NoLock {
    /// Who has it, in words.
    Held(String),
    Io(io::Error),
}

impl Lock {
    /// Takes it, and writes down who has it. The file stays: removing it would let two processes lock two files.
    pub(super) fn take(path: &Path, run: &str) -> Result<Self, NoLock> {
        let mut lock = Self { file: Self::open(path)? };
        lock.note(run).map_err(NoLock::Io)?;
        Ok(lock)
    }

    /// Writes down who has it, and for which run.
    pub(super) fn note(&mut self, run: &str) -> io::Result<()> {
        let holder = format!(
            "pid {}, since {}, run {run}, host {}\n",
            std::process::id(),
            Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC"),
            host()
        );
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(holder.as_bytes())
    }

    /// Whether it could be taken.
    pub(super) fn probe(path: &Path) -> Result<(), NoLock> {
        Self::open(path).map(drop)
    }

    fn open(path: &Path) -> Result<File, NoLock> {
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = open.map_err(NoLock::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::Error(error)) => Err(NoLock::Io(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without a word it is held all the same.
                let _ = Read::by_ref(&mut file).take(HOLDER_BYTES).read_to_string(&mut holder);
                Err(NoLock::Held(holder.trim().to_owned()))
            }
        }
    }
}

/// The name of this host.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_has_it_and_is_free_when_they_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client-a.lock");
        let held = Lock::take(&path, "r1").unwrap();
        let NoLock::Held(holder) = Lock::take(&path, "r2").unwrap_err() else { panic!("it is held") };
        assert!(holder.starts_with(&format!("pid {}, since 20", std::process::id())), "{holder}");
        assert!(holder.contains("run r1, host "), "{holder}");
        assert!(matches!(Lock::probe(&path), Err(NoLock::Held(_))));
        drop(held);
        Lock::probe(&path).unwrap();
        Lock::take(&path, "r2").unwrap();
    }
}

//! Addresses for the manager of a run and its performers: sockets in a directory that nobody else has.

use crate::config::Endpoints as Wanted;
use crate::state;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket, in bytes.
const PATH_BYTES: usize = 107;

/// Who has a directory has this file in it locked.
const LOCK: &str = "lock";

/// The sockets, and the keys under which a manager is told of them.
const SOCKETS: [(&str, &str); 4] = [
    ("publisher_pm", "publisher-pm.sock"),
    ("request_pulsar", "request-pulsar.sock"),
    ("publisher_pulsar", "publisher-pulsar.sock"),
    ("push_pulsar", "push-pulsar.sock"),
];

/// Addresses of a run, by key.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) addresses: Vec<(&'static str, String)>,
    _directory: Option<Directory>,
}

/// The directory of a run that is alive. It goes with the run; when that is killed, the next run takes it away.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The next run looks again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Endpoints {
    /// Addresses for the run `run`. Directories of killed runs below `alive` and below the short directory are removed.
    ///
    /// # Errors
    /// There is no place for the sockets.
    pub(super) fn allot(wanted: &Wanted, alive: &Path, run: &str) -> io::Result<Self> {
        let Wanted::Fixed(fixed) = wanted else {
            let directory = Directory::make(alive, run)?;
            let address = |(key, file)| (key, format!("ipc://{}", directory.path.join(file).display()));
            return Ok(Self { addresses: SOCKETS.map(address).into(), _directory: Some(directory) });
        };
        let keys = SOCKETS.iter().map(|(key, _)| *key);
        Ok(Self { addresses: keys.zip(fixed.iter().cloned()).collect(), _directory: None })
    }
}

impl Directory {
    fn make(alive: &Path, run: &str) -> io::Result<Self> {
        let longest = SOCKETS.iter().map(|(_, file)| file.len()).max().unwrap_or_default();
        // Relative paths would mean something else to a manager.
        let alive = std::path::absolute(alive)?;
        let fits = alive.as_os_str().len() + run.len() + longest + 2 <= PATH_BYTES;
        let base = if fits { alive.clone() } else { short()? };
        // Nobody removes what another process has made and not yet locked.
        let making = open(&base.join(".lock"))?;
        making.lock()?;
        sweep(&base);
        let path = base.join(run);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(error.kind(), format!("run {run} is alive")),
            _ => error,
        })?;
        let lock = open(&path.join(LOCK)).and_then(|lock| match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(error) => Err(error.into()),
        });
        match lock {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }
}

/// A directory with a short path that is ours alone.
fn short() -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let path = match runtime {
        Some(runtime) if runtime.as_os_str().len() <= 30 => runtime.join("conveyor"),
        _ => PathBuf::from(format!("/tmp/conveyor-{user}")),
    };
    state::make(&path)?;
    // Anybody can make one in a directory of all.
    let found = fs::symlink_metadata(&path)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        let why = format!("{} is not a directory of ours alone: remove it", path.display());
        return Err(io::Error::other(why));
    }
    Ok(path)
}

/// Removes directories of runs that are dead. What cannot be removed stays for the next run.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let path = entry.path();
        let dead = match open(&path.join(LOCK)) {
            Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if dead {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_runs_alone_and_goes_with_it() {
        let base = tempfile::tempdir().unwrap();
        let first = Endpoints::allot(&Wanted::Dynamic, base.path(), "r1").unwrap();
        let second = Endpoints::allot(&Wanted::Dynamic, base.path(), "r2").unwrap();
        let ipc = format!("ipc://{}/r1/publisher-pm.sock", base.path().display());
        assert_eq!(first.addresses[0], ("publisher_pm", ipc));
        let mode = fs::metadata(base.path().join("r1")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        let twice = Endpoints::allot(&Wanted::Dynamic, base.path(), "r1").unwrap_err();
        assert_eq!(twice.to_string(), "run r1 is alive");
        drop(first);
        assert!(!base.path().join("r1").exists() && base.path().join("r2").exists());
        drop(second);
    }

    #[test]
    fn directories_of_the_dead_are_swept_and_long_paths_are_made_short() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("dead")).unwrap();
        fs::write(base.path().join("dead/lock"), "").unwrap();
        let _run = Endpoints::allot(&Wanted::Dynamic, base.path(), "r1").unwrap();
        assert!(!base.path().join("dead").exists());
        let long = base.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        let run = super::super::id::new();
        let short = Endpoints::allot(&Wanted::Dynamic, &long, &run).unwrap();
        let path = short.addresses[2].1.strip_prefix("ipc://").unwrap();
        assert!(path.len() <= PATH_BYTES && Path::new(path).parent().unwrap().exists(), "{path}");
    }

    #[test]
    fn fixed_addresses_are_given_in_order() {
        let fixed = Wanted::Fixed(vec!["tcp://127.0.0.1:6267".to_owned(), "ipc://b".to_owned()]);
        let endpoints = Endpoints::allot(&fixed, Path::new("nowhere"), "r").unwrap();
        let expected =
            [("publisher_pm", "tcp://127.0.0.1:6267".to_owned()), ("request_pulsar", "ipc://b".to_owned())];
        assert_eq!(endpoints.addresses, expected);
    }
}

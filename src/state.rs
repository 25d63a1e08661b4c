//! The state directory of clients: locks, journals and sockets of runs.
//!
//! `locks/client-NAME.lock`, `runs/NAME/RUN.jsonl`, `run/RUN/`. Made for its owner alone: journals hold what tasks hold.

use crate::storage;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Variable with the directory.
pub(crate) const STATE_VARIABLE: &str = "CONVEYOR_STATE_DIR";

/// Longest name of a client, in bytes: it is a file name, too.
const NAME_BYTES: usize = 100;

/// How the last line of a journal begins when its run is over.
const FINISHED: &[u8] = b"{\"what\":\"finished\"";

/// What it says when there is something to go on with.
const STILL_OPEN: &[u8] = b"\"open\":true";

/// Journals of a client that are kept because they can be gone on with.
const OPEN: usize = 100;

/// More bytes than that line has.
const LAST_LINE_BYTES: u64 = 512;

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct State {
    root: PathBuf,
}

impl State {
    /// The directory that is given, or where state belongs on this system.
    ///
    /// # Errors
    /// There is no place for it; says what to do.
    pub(crate) fn new(given: Option<&Path>) -> Result<Self, String> {
        let root = match given {
            Some(given) => given.to_owned(),
            None => storage::state_directory()?.ok_or(
                "there is no home directory for journals and locks: give a directory with --state-dir",
            )?,
        };
        Ok(Self { root })
    }

    /// The lock of the runs of a client; its directory is made.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn lock(&self, name: &str) -> io::Result<PathBuf> {
        let locks = self.root.join("locks");
        make(&locks)?;
        Ok(locks.join(format!("client-{name}.lock")))
    }

    /// The directory of runs that are alive; it is made.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn alive(&self) -> io::Result<PathBuf> {
        let alive = self.root.join("run");
        make(&alive)?;
        Ok(alive)
    }

    /// The journal of a run; its directory is made.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn journal(&self, name: &str, run: &str) -> io::Result<PathBuf> {
        let runs = self.runs().join(name);
        make(&runs)?;
        Ok(runs.join(format!("{run}.jsonl")))
    }

    /// Where the journals of all clients are.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The journals of a client, or of all of them; those that were written to last come first.
    ///
    /// # Errors
    /// A directory cannot be read. One that is not there holds none.
    pub(crate) fn journals(&self, name: Option<&str>) -> io::Result<Vec<PathBuf>> {
        let directories = match name {
            Some(name) => vec![self.runs().join(name)],
            None => entries(&self.runs())?,
        };
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        for directory in directories {
            for path in entries(&directory)? {
                let is_journal = path.extension().is_some_and(|extension| extension == "jsonl");
                // One may be gone by now.
                if let (true, Ok(modified)) =
                    (is_journal, fs::metadata(&path).and_then(|data| data.modified()))
                {
                    found.push((modified, path));
                }
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Removes journals of runs that are over, all but the newest `keep`. Those of runs that can be gone on with, because they
    /// were killed or ended early, stay: the newest [`OPEN`] of them.
    ///
    /// # Errors
    /// They cannot be read or removed.
    pub(crate) fn prune(&self, name: &str, keep: usize) -> io::Result<()> {
        let (mut finished, mut open) = (0, 0);
        for path in self.journals(Some(name))? {
            let removed = is_over(&path).and_then(|over| {
                let (count, most) = if over { (&mut finished, keep) } else { (&mut open, OPEN) };
                *count += 1;
                if *count <= most { Ok(()) } else { fs::remove_file(&path) }
            });
            match removed {
                // Another run has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }
}

/// Whether a client can be called so: it is part of file names and of the name of a function.
///
/// # Errors
/// It cannot; says what can be.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES || name.starts_with('.') || !name.chars().all(good) {
        return Err(format!(
            "a client cannot be called {name:?}: write 1 to {NAME_BYTES} letters, digits, `-`, `_` and `.`, no `.` first"
        ));
    }
    Ok(())
}

/// Makes a directory for its owner alone, and those above it.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Whether the last line says that nothing is left to do: journals can be large.
fn is_over(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_LINE_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let lines = tail.strip_suffix(b"\n").unwrap_or(&tail);
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(last.starts_with(FINISHED) && !last.windows(STILL_OPEN.len()).any(|part| part == STILL_OPEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_finished_journals_are_kept_and_all_unfinished_ones() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::new(Some(directory.path())).unwrap();
        let write = |run: &str, last: &str, seconds: u64| {
            let path = state.journal("a", run).unwrap();
            fs::write(&path, format!("{{\"what\":\"run\"}}\n{last}\n")).unwrap();
            let when = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            File::open(&path).unwrap().set_modified(when).unwrap();
        };
        for run in 1..=4 {
            write(&format!("r{run}"), "{\"what\":\"finished\",\"at\":1}", run);
        }
        write("stopped", "{\"what\":\"finished\",\"at\":1,\"open\":true}", 0);
        write("killed", "{\"what\":\"ended\",\"message\":\"{\\\"what\\\":\\\"finished\\\"}\"}", 0);
        state.prune("a", 2).unwrap();
        let names = |paths: Vec<PathBuf>| -> Vec<String> {
            paths.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(state.journals(Some("a")).unwrap()), ["r4", "r3", "stopped", "killed"]);
        assert_eq!(names(state.journals(None).unwrap()), ["r4", "r3", "stopped", "killed"]);
        assert_eq!(state.journals(Some("b")).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_name_is_a_file_name() {
        for good in ["nightly", "resize-all", "a.b_c", "7"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for wrong in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(101)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}

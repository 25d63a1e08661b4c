//! Finds the run that is gone on with.

use super::outcome::Failure;
use crate::state::State;
use conveyor_client::run::{Journal, JournalError, RunOutcome, Saved};
use std::path::{Path, PathBuf};

/// A run that was not ended.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) journal: Journal,
    pub(super) saved: Saved,
    pub(super) path: PathBuf,
}

/// Opens the journal of a run: of the one that is named by id or file, or of the newest that was not ended.
///
/// # Errors
/// There is none, it is one of another client, or somebody is at work on it.
pub(super) fn open(state: &State, name: &str, which: Option<&str>) -> Result<Past, Failure> {
    let path = match which {
        Some(which) => named(state, name, which)?,
        None => newest(state, name)?,
    };
    let (journal, saved) = Journal::open(&path)?;
    if saved.name != name {
        let (path, of) = (path.display(), &saved.name);
        return Err(Failure::Usage(format!("{path} is the journal of client {of}, not of {name}")));
    }
    if !is_open(&saved) {
        return Err(Failure::Usage(format!(
            "run {} is over, all its tasks have ended: `conveyor inspect {}` says how",
            saved.run,
            path.display()
        )));
    }
    Ok(Past { journal, saved, path })
}

fn named(state: &State, name: &str, which: &str) -> Result<PathBuf, Failure> {
    let by_id = state.runs().join(name).join(format!("{}.jsonl", super::id::safe(which)));
    let path = if which.contains('/') || !by_id.exists() { Path::new(which).to_owned() } else { by_id };
    if path.is_file() {
        return Ok(path);
    }
    let runs = state.runs().join(name);
    Err(Failure::Usage(format!(
        "there is no run {which:?} of {name}: its journals are in {}",
        runs.display()
    )))
}

fn newest(state: &State, name: &str) -> Result<PathBuf, Failure> {
    let runs = state.runs().join(name);
    let journals = state.journals(Some(name));
    let journals = journals.map_err(|error| Failure::Other(format!("{}: {error}", runs.display())))?;
    for path in journals {
        match Saved::read(&path) {
            Ok(saved) if is_open(&saved) => return Ok(path),
            // Nothing was submitted of it, or it is gone.
            Ok(_) | Err(JournalError::Incomplete { .. } | JournalError::Io { .. }) => {}
            // An older one is not what is meant.
            Err(error) => {
                return Err(Failure::Usage(format!(
                    "{error}; to go on with another run, name it: --resume RUN"
                )));
            }
        }
    }
    Err(Failure::Usage(format!(
        "there is no run of {name} to go on with in {}: leave --resume out to start one",
        runs.display()
    )))
}

/// Whether there is something left to do.
fn is_open(saved: &Saved) -> bool {
    matches!(saved.report(super::now()).outcome, RunOutcome::Unfinished | RunOutcome::Aborted { .. })
}

//! What goes wrong with a store, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a store cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory cannot be made or written to.
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another server uses it.
    InUse {
        /// Which.
        path: PathBuf,
        /// The other one, if it said so.
        owner: Option<u32>,
    },
    /// There is no queue.
    Missing {
        /// In this directory.
        path: PathBuf,
    },
    /// It is of a newer version than this program.
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// It is something else, or damaged.
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It has no place for this, whatever else it keeps.
    Refused {
        /// Why.
        what: String,
    },
    /// It cannot be reached now, and is tried again.
    Away {
        /// What was found.
        what: String,
    },
    /// This program was built without it.
    NotBuilt {
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// It cannot be read or written now.
    Failed {
        /// What was to be done.
        doing: &'static str,
        /// What was found.
        what: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, source } => write!(
                f,
                "cannot use the data directory {}: {source}\nChoose another with --data-dir, or keep everything in \
                 memory with --queue-type builtin.",
                path.display()
            ),
            Self::InUse { path, owner } => {
                let owner = owner.map_or_else(String::new, |pid| format!(" (process {pid})"));
                write!(
                    f,
                    "the data directory {} is in use by another server{owner}\nStop that one, or choose another \
                     directory with --data-dir.",
                    path.display()
                )
            }
            Self::Missing { path } => write!(
                f,
                "there is no queue in {}\nName the directory of the server with --data-dir; it says at its start \
                 which that is.",
                path.display()
            ),
            Self::Newer { path, version } => write!(
                f,
                "{} was written by a newer version of conveyor (format {version})\nUse that version, or another \
                 directory with --data-dir.",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                f,
                "the stored queue {} cannot be read: {what}\n`conveyor store check` says what is wrong with it, \
                 `conveyor store repair` makes a new one of all that can be read.",
                path.display()
            ),
            Self::Refused { what } => write!(f, "the store refuses this job: {what}"),
            Self::Away { what } => write!(f, "the store cannot be reached: {what}"),
            Self::NotBuilt { feature } => write!(
                f,
                "this program was built without the queue type {feature}\nBuild it with --features {feature}, or \
                 choose another --queue-type."
            ),
            Self::Failed { doing, what } => write!(f, "cannot {doing}: {what}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { source, .. } => Some(source),
            _ => None,
        }
    }
}

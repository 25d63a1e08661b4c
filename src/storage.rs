//! Options about the queue: where it is kept, when a job counts as stored, how much memory it may take.

use crate::queues::{Kind, QueueArgs};
use conveyor_server::core::Durability;
use conveyor_server::store::{Backend, Flush, StoreConfig};
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Least default of `--queue-memory`, in bytes.
const LEAST_QUEUE_BYTES: u64 = 256 << 20;

/// Variable with the data directory.
pub(crate) const DATA_DIR_VARIABLE: &str = "CONVEYOR_DATA_DIR";

/// Where the queue is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueType {
    /// In the data directory.
    Durable,
    /// In memory.
    Builtin,
    /// Where gearmand keeps it.
    Gearmand(Kind),
}

/// What `--durability` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WhenStored(Flush);

/// Options of a server that has a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct StorageArgs {
    /// Directory in which background jobs outlive the server; made when it is not there (default: $STATE_DIRECTORY,
    /// $XDG_STATE_HOME/conveyor, or /var/lib/conveyor for root)
    #[arg(long, value_name = "DIRECTORY", env = DATA_DIR_VARIABLE)]
    pub(crate) data_dir: Option<PathBuf>,
    /// durable: background jobs are stored in --data-dir; builtin: everything is in memory, as in gearmand; libsqlite3,
    /// mysql, postgres, redis or libmemcached: in a store of gearmand's, see below
    #[arg(long, short = 'q', value_name = "TYPE", value_parser = queue_type, ignore_case = true)]
    pub(crate) queue_type: Option<QueueType>,
    /// When a background job is accepted: sync, when it is on the disk; interval:MS, at once, and on the disk about
    /// so many milliseconds later; none, at once, and on the disk when the system writes it (default: sync)
    #[arg(long, value_name = "WHEN", value_parser = when_stored)]
    pub(crate) durability: Option<WhenStored>,
    /// Memory for unfinished jobs, such as 500M or 4G. Beyond it payloads of stored jobs stay on the disk, and others
    /// are refused (default: a quarter of the machine's)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) queue_memory: Option<u64>,
    #[command(flatten)]
    pub(crate) queues: QueueArgs,
}

/// What a server does with its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) store: Option<Backend>,
    pub(crate) durability: Durability,
    pub(crate) queue_bytes: usize,
}

/// What is kept when nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Everything, in the default directory.
    #[default]
    Durable,
    /// Nothing, unless a directory is given.
    Memory,
    /// The same, and memory has no limit.
    Gearmand,
}

impl StorageArgs {
    /// What the options mean.
    ///
    /// # Errors
    /// They contradict each other, or there is no place for the data directory; says what to do.
    pub(crate) fn resolve(&self, otherwise: Otherwise) -> Result<Storage, String> {
        let given = self.data_dir.is_some();
        let kind = self.queue_type.unwrap_or(match otherwise {
            Otherwise::Durable => QueueType::Durable,
            Otherwise::Memory | Otherwise::Gearmand if given => QueueType::Durable,
            Otherwise::Memory | Otherwise::Gearmand => QueueType::Builtin,
        });
        let limit = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let queue_bytes = match (self.queue_memory, otherwise, kind) {
            (Some(bytes), ..) => limit(bytes),
            (None, Otherwise::Gearmand, QueueType::Builtin | QueueType::Gearmand(_)) => usize::MAX,
            (None, ..) => limit((machine_bytes() / 4).max(LEAST_QUEUE_BYTES)),
        };
        if kind == QueueType::Builtin {
            if self.durability.is_some() {
                return Err("--durability needs a stored queue: leave --queue-type builtin out".to_owned());
            }
            return Ok(Storage { store: None, durability: Durability::Memory, queue_bytes });
        }
        if let QueueType::Gearmand(kind) = kind {
            if self.durability.is_some() {
                return Err("--durability is for --queue-type durable: leave it out".to_owned());
            }
            let store = Some(Backend::Gearmand(self.queues.resolve(kind)?));
            return Ok(Storage { store, durability: Durability::Sync, queue_bytes });
        }
        let WhenStored(flush) = self.durability.unwrap_or(WhenStored(Flush::Each));
        let directory = directory(self.data_dir.as_deref())?;
        let durability = if flush == Flush::Each { Durability::Sync } else { Durability::Relaxed };
        let store = Some(Backend::Durable(StoreConfig { directory, flush }));
        Ok(Storage { store, durability, queue_bytes })
    }
}

/// The data directory: the one that is given, or where state belongs on this system.
///
/// # Errors
/// There is no place for it; says what to do.
pub(crate) fn directory(given: Option<&Path>) -> Result<PathBuf, String> {
    match given {
        Some(directory) if directory.as_os_str().is_empty() => {
            Err("the data directory has no name: give one with --data-dir".to_owned())
        }
        Some(directory) => Ok(directory.to_owned()),
        None => state_directory()?.ok_or_else(|| {
            "there is no home directory for the queue: give one with --data-dir, or keep everything in memory with \
             --queue-type builtin"
                .to_owned()
        }),
    }
}

/// Where state belongs on this system; none without a home directory.
///
/// # Errors
/// A variable that names nothing.
pub(crate) fn state_directory() -> Result<Option<PathBuf>, String> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd may give several, by colons.
    if let Some(state) = named("STATE_DIRECTORY") {
        let first = env::split_paths(&state).next();
        return first.map(Some).ok_or("STATE_DIRECTORY names no directory".to_owned());
    }
    if let Some(state) = named("XDG_STATE_HOME") {
        return Ok(Some(state.join("conveyor")));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(Some(PathBuf::from("/var/lib/conveyor")));
    }
    Ok(named("HOME").map(|home| home.join(".local/state/conveyor")))
}

/// Memory of the machine, in bytes.
fn machine_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// Reads a value of `--queue-type`.
pub(crate) fn queue_type(text: &str) -> Result<QueueType, String> {
    match text.to_ascii_lowercase().as_str() {
        "durable" => Ok(QueueType::Durable),
        "builtin" => Ok(QueueType::Builtin),
        name => match Kind::from_name(name) {
            Some(kind) => Ok(QueueType::Gearmand(kind)),
            None => {
                Err("choose durable, builtin, libsqlite3, mysql, postgres, redis or libmemcached".to_owned())
            }
        },
    }
}

fn when_stored(text: &str) -> Result<WhenStored, String> {
    let flush = match text {
        "sync" => Some(Flush::Each),
        "none" => Some(Flush::Never),
        _ => text
            .strip_prefix("interval:")
            .and_then(|ms| ms.parse().ok())
            .filter(|ms| (1..=60_000).contains(ms))
            .map(|ms| Flush::Every(Duration::from_millis(ms))),
    };
    flush.map(WhenStored).ok_or("choose sync, none, or interval:MS with 1 to 60000 milliseconds".to_owned())
}

/// Reads bytes with an optional K, M, G or T for powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number of bytes, or one with K, M, G or T behind it".to_owned();
    let text = text.strip_suffix(['B', 'b']).unwrap_or(text);
    let text = text.strip_suffix('i').unwrap_or(text);
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        Some((at, 't' | 'T')) => (text.get(..at), 40),
        _ => (Some(text), 0),
    };
    let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(size("17"), Ok(17));
        assert_eq!(size("500M"), Ok(500 << 20));
        assert_eq!(size("4GiB"), Ok(4 << 30));
        for wrong in ["", "M", "x", "-1", "1.5G", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_directory_makes_the_queue_durable_unless_told_otherwise() {
        let given = StorageArgs { data_dir: Some("/x".into()), ..StorageArgs::default() };
        for otherwise in [Otherwise::Durable, Otherwise::Memory, Otherwise::Gearmand] {
            let storage = given.resolve(otherwise).unwrap();
            let expected = StoreConfig { directory: "/x".into(), flush: Flush::Each };
            let expected = Some(Backend::Durable(expected));
            assert_eq!((storage.store, storage.durability), (expected, Durability::Sync));
        }
        let builtin = StorageArgs { queue_type: Some(QueueType::Builtin), ..given };
        assert_eq!(builtin.resolve(Otherwise::Durable).unwrap().store, None);
    }

    #[test]
    fn without_a_word_gearmand_keeps_everything_in_memory_without_a_limit() {
        let storage = StorageArgs::default().resolve(Otherwise::Gearmand).unwrap();
        assert_eq!((storage.store, storage.queue_bytes), (None, usize::MAX));
        assert!(StorageArgs::default().resolve(Otherwise::Memory).unwrap().queue_bytes < usize::MAX);
    }

    #[test]
    fn durability_goes_from_each_job_to_never() {
        assert_eq!(when_stored("sync"), Ok(WhenStored(Flush::Each)));
        assert_eq!(when_stored("interval:50"), Ok(WhenStored(Flush::Every(Duration::from_millis(50)))));
        assert!(when_stored("interval:0").is_err() && when_stored("maybe").is_err());
    }
}

//! What the options of a server mean. The only place with defaults.

use crate::storage::{Otherwise, StorageArgs};
use conveyor_common::HandlePrefix;
use conveyor_common::limits::PACKET_BYTES_DEFAULT;
use conveyor_server::core::{Compat, Identity, Rules, Wakeup};
use conveyor_server::store::Backend;
use conveyor_server::{Config, Keepalive, Limits};
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

/// The port of Gearman.
pub(crate) const DEFAULT_PORT: u16 = 4730;

/// Longest `--job-handle-prefix` that stock gearmand accepts, in bytes.
const PREFIX_BYTES: usize = 63;

/// A log level by its gearmand name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Verbosity {
    Fatal,
    Alert,
    Critical,
    #[default]
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Verbosity {
    /// The name as gearmand writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Alert => "ALERT",
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }

    /// The level with this name, which must be in capitals.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        <Self as clap::ValueEnum>::value_variants().iter().copied().find(|level| level.name() == name)
    }

    /// What is logged at this level.
    pub(crate) const fn filter(self) -> tracing::level_filters::LevelFilter {
        use tracing::level_filters::LevelFilter;
        match self {
            Self::Fatal | Self::Alert | Self::Critical | Self::Error => LevelFilter::ERROR,
            Self::Warning => LevelFilter::WARN,
            Self::Notice | Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// Options of a server as they were given; `None` and `false` mean not given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) compat: Option<Compat>,
    pub(crate) listen: Vec<String>,
    pub(crate) port: Option<u16>,
    pub(crate) backlog: Option<i32>,
    pub(crate) job_retries: Option<i64>,
    pub(crate) round_robin: bool,
    pub(crate) worker_wakeup: Option<u32>,
    pub(crate) exceptions: bool,
    pub(crate) job_handle_prefix: Option<String>,
    pub(crate) hashtable_buckets: Option<u32>,
    pub(crate) keepalive_idle: Option<i64>,
    pub(crate) keepalive_interval: Option<i64>,
    pub(crate) keepalive_count: Option<i64>,
    pub(crate) file_descriptors: Option<u64>,
    pub(crate) verbose: Verbosity,
    pub(crate) log_file: Option<String>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) packet_limit: Option<u64>,
    pub(crate) output_limit: Option<usize>,
    pub(crate) storage: StorageArgs,
    pub(crate) otherwise: Otherwise,
}

/// What a server process does.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) server: Config,
    pub(crate) verbose: Verbosity,
    pub(crate) log: LogTarget,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) file_descriptors: Option<u64>,
    /// Whoever starts the server sees where its jobs are; gearmand prints nothing.
    pub(crate) says_where: bool,
}

/// Where the log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogTarget {
    #[default]
    Stderr,
    Nowhere,
    File(PathBuf),
}

impl LogTarget {
    fn from_option(option: Option<&str>) -> Self {
        match option {
            None | Some("stderr") => Self::Stderr,
            Some("none") => Self::Nowhere,
            Some(path) => Self::File(PathBuf::from(path)),
        }
    }
}

impl Settings {
    /// Gives what was typed its meaning.
    ///
    /// # Errors
    /// A value that cannot be, in words for the operator.
    pub(crate) fn resolve(given: &Given) -> Result<Self, String> {
        let compat = given.compat.unwrap_or(Compat::V2_0);
        if given.hashtable_buckets == Some(0) {
            return Err("hashtable-buckets has to be greater than 0".to_owned());
        }
        let wakeup = match given.worker_wakeup {
            None => Wakeup::AsNeeded,
            // gearmand keeps the number in one byte.
            Some(count) => match count.to_le_bytes() {
                [0, ..] => Wakeup::All,
                [count, ..] => Wakeup::Count(count),
            },
        };
        let storage = given.storage.resolve(given.otherwise)?;
        let rules = Rules {
            compat,
            round_robin: given.round_robin,
            max_losses: max_losses(compat, given.job_retries)?,
            wakeup,
            exceptions: given.exceptions,
            prefix: handle_prefix(given.job_handle_prefix.as_deref())?,
            durability: storage.durability,
            keeps: storage.store.as_ref().map(Backend::keeps).unwrap_or_default(),
            queue_bytes: storage.queue_bytes,
            identity: Identity {
                version: version(compat),
                pid: std::process::id(),
                verbose: given.verbose.name().to_owned(),
            },
        };
        let limits = Limits::default();
        let limits = Limits {
            packet_bytes: given.packet_limit.unwrap_or(PACKET_BYTES_DEFAULT),
            output_bytes: given.output_limit.unwrap_or(limits.output_bytes),
            ..limits
        };
        Ok(Self {
            server: Config {
                listen: given.listen.clone(),
                port: given.port.unwrap_or(DEFAULT_PORT),
                backlog: given.backlog.unwrap_or(32),
                rules,
                store: storage.store,
                limits,
                keepalive: keepalive(given)?,
            },
            verbose: given.verbose,
            log: LogTarget::from_option(given.log_file.as_deref()),
            pid_file: given.pid_file.clone(),
            file_descriptors: given.file_descriptors,
            says_where: given.otherwise != Otherwise::Gearmand,
        })
    }
}

/// gearmand 1.1: one byte, 0 is no limit. gearmand 2.0: -1 is no limit, 0 and 1 both mean a single attempt.
fn max_losses(compat: Compat, job_retries: Option<i64>) -> Result<Option<NonZeroU8>, String> {
    match (compat, job_retries) {
        (_, None) | (Compat::V2_0, Some(-1)) => Ok(None),
        (Compat::V1_1, Some(retries)) => {
            let [low, ..] = retries.to_le_bytes();
            Ok(NonZeroU8::new(low))
        }
        (Compat::V2_0, Some(0)) => Ok(Some(NonZeroU8::MIN)),
        (Compat::V2_0, Some(retries)) => u8::try_from(retries)
            .ok()
            .and_then(NonZeroU8::new)
            .map(Some)
            .ok_or("job-retries must be -1 (no limit), 0 (no retries), or between 1 and 255".to_owned()),
    }
}

fn handle_prefix(given: Option<&str>) -> Result<HandlePrefix, String> {
    match given {
        Some(prefix) if prefix.len() > PREFIX_BYTES => {
            Err(format!("job-handle-prefix is longer than {PREFIX_BYTES} bytes: choose a shorter one"))
        }
        Some(prefix) => Ok(HandlePrefix::new(prefix.as_bytes())),
        None => {
            let names = rustix::system::uname();
            Ok(HandlePrefix::for_host(&names.nodename().to_string_lossy()))
        }
    }
}

/// A dead peer is found within a minute unless the options say otherwise; -1 leaves a part of it alone.
fn keepalive(given: &Given) -> Result<Keepalive, String> {
    let default = Keepalive::default();
    let seconds = |name: &str, value: Option<i64>, otherwise: Duration| match value {
        None | Some(-1) => Ok(otherwise),
        Some(value) => match u64::try_from(value) {
            Ok(value @ 1..=32767) => Ok(Duration::from_secs(value)),
            _ => Err(format!("{name} must be -1 (default) or 1 to 32767 seconds")),
        },
    };
    let idle = seconds("keepalive-idle", given.keepalive_idle, default.idle)?;
    let interval = seconds("keepalive-interval", given.keepalive_interval, default.interval)?;
    let count = match given.keepalive_count {
        None | Some(-1) => default.count,
        Some(count) => match u32::try_from(count) {
            Ok(count @ 1..=127) => count,
            _ => return Err("keepalive-count must be -1 (default) or 1 to 127 probes".to_owned()),
        },
    };
    Ok(Keepalive { idle, interval, count, user_timeout: idle + interval * count })
}

/// What the server calls itself: the gearmand it behaves like, and its own version.
pub(crate) fn version(compat: Compat) -> String {
    let like = match compat {
        Compat::V1_1 => "1.1.20",
        Compat::V2_0 => "2.0.0",
    };
    format!("{like}+conveyor-{}", env!("CARGO_PKG_VERSION"))
}

/// Reads a value of `--compat`.
pub(crate) fn parse_compat(text: &str) -> Result<Compat, String> {
    match text {
        "1.1" => Ok(Compat::V1_1),
        "2.0" => Ok(Compat::V2_0),
        _ => Err("choose 1.1 or 2.0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(compat: Compat, job_retries: i64) -> Result<Option<u8>, String> {
        max_losses(compat, Some(job_retries)).map(|max| max.map(NonZeroU8::get))
    }

    #[test]
    fn job_retries_mean_what_each_gearmand_means() {
        assert_eq!(retries(Compat::V1_1, 0), Ok(None));
        assert_eq!(retries(Compat::V1_1, 256), Ok(None));
        assert_eq!(retries(Compat::V1_1, 3), Ok(Some(3)));
        assert_eq!(retries(Compat::V2_0, -1), Ok(None));
        assert_eq!(retries(Compat::V2_0, 0), Ok(Some(1)));
        assert_eq!(retries(Compat::V2_0, 255), Ok(Some(255)));
        assert!(retries(Compat::V2_0, 256).is_err() && retries(Compat::V2_0, -2).is_err());
    }

    #[test]
    fn a_dead_peer_is_found_within_a_minute_by_default() {
        let found = keepalive(&Given::default()).unwrap();
        assert_eq!(found.idle + found.interval * found.count, Duration::from_secs(60));
        assert_eq!(found.user_timeout, Duration::from_secs(60));
    }
}

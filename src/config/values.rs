//! Values of options, the same on the command line and in the file.

use crate::duration;
use conveyor_client::Priority;
use conveyor_client::payload::Codec;
use conveyor_client::run::OutcomeKind;
use serde::de::{Deserialize, Deserializer, Error};
use std::time::Duration;

/// Whether runs of one name exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One run of a name at a time.
    #[default]
    Consistent,
    /// As many as are started.
    Parallel,
}

/// Where runs of one name exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// On this host, for everybody with the same state directory.
    #[default]
    Host,
    /// Also on all hosts that talk to the same first server.
    Cluster,
}

/// What `mode` says; in capitals, too, as the PHP packages write it.
pub(crate) fn mode(text: &str) -> Result<Mode, String> {
    match text.to_ascii_lowercase().as_str() {
        "consistent" => Ok(Mode::Consistent),
        "parallel" => Ok(Mode::Parallel),
        _ => Err(format!("mode {text:?} is unknown: consistent (one run at a time) and parallel are")),
    }
}

pub(crate) fn scope(text: &str) -> Result<Scope, String> {
    match text {
        "host" => Ok(Scope::Host),
        "cluster" => Ok(Scope::Cluster),
        _ => Err(format!("scope {text:?} is unknown: host and cluster are")),
    }
}

/// The manager's task is the one at high priority.
pub(crate) fn priority(text: &str) -> Result<Priority, String> {
    match text {
        "normal" => Ok(Priority::Normal),
        "low" => Ok(Priority::Low),
        "high" => Err("priority high is for manager tasks: write normal or low".to_owned()),
        _ => Err(format!("priority {text:?} is unknown: normal and low are")),
    }
}

pub(crate) fn codec(text: &str) -> Result<Codec, String> {
    text.parse().map_err(|error: conveyor_client::payload::UnknownCodec| error.to_string())
}

/// A duration such as `90s` or `1h30m`; 0 is one, too.
pub(crate) fn pause(text: &str) -> Result<Duration, String> {
    let ms = duration::milliseconds(text)?;
    Ok(Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
}

/// A duration that is more than nothing.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    match pause(text)? {
        limit if limit.is_zero() => Err("a limit of 0 leaves no time: leave it out for no limit".to_owned()),
        limit => Ok(limit),
    }
}

/// An outcome after which a task is tried again.
pub(crate) fn retried(text: &str) -> Result<OutcomeKind, String> {
    let named = OutcomeKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    match named {
        Some(kind) if OutcomeKind::RETRYABLE.contains(&kind) => Ok(kind),
        Some(kind) => Err(format!("a task that is {kind} is never tried again: leave it out")),
        None => {
            let known = OutcomeKind::RETRYABLE.map(OutcomeKind::as_str).join(", ");
            Err(format!("outcome {text:?} is unknown: {known} are"))
        }
    }
}

pub(crate) fn factor(text: &str) -> Result<f64, String> {
    float(text).and_then(check_factor)
}

pub(crate) fn jitter(text: &str) -> Result<f64, String> {
    float(text).and_then(check_jitter)
}

fn float(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn check_factor(factor: f64) -> Result<f64, String> {
    if (1.0..=1000.0).contains(&factor) { Ok(factor) } else { Err("a factor is 1 to 1000".to_owned()) }
}

fn check_jitter(jitter: f64) -> Result<f64, String> {
    if (0.0..=1.0).contains(&jitter) { Ok(jitter) } else { Err("a jitter is 0 to 1".to_owned()) }
}

/// Reads a value of the file by one of the functions above.
fn by<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    read(&String::deserialize(deserializer)?).map(Some).map_err(Error::custom)
}

/// The functions above for values of the file.
pub(super) mod de {
    use super::*;

    macro_rules! by {
        ($($name:ident: $value:ty),+ $(,)?) => {
            $(pub(in crate::config) fn $name<'de, D: Deserializer<'de>>(d: D) -> Result<Option<$value>, D::Error> {
                by(d, super::$name)
            })+
        };
    }

    by!(mode: Mode, scope: Scope, priority: Priority, codec: Codec, pause: Duration, limit: Duration);

    pub(in crate::config) fn factor<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        check_factor(f64::deserialize(d)?).map(Some).map_err(Error::custom)
    }

    pub(in crate::config) fn jitter<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        check_jitter(f64::deserialize(d)?).map(Some).map_err(Error::custom)
    }

    pub(in crate::config) fn retry<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<OutcomeKind>>, D::Error> {
        let names = Vec::<String>::deserialize(d)?;
        let kinds: Result<_, String> = names.iter().map(|name| retried(name)).collect();
        kinds.map(Some).map_err(Error::custom)
    }

    /// A whole number within limits.
    pub(in crate::config) fn count<'de, D: Deserializer<'de>, const LEAST: u32, const MOST: u32>(
        d: D,
    ) -> Result<Option<u32>, D::Error> {
        let number = i64::deserialize(d)?;
        let within = u32::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
        let wrong = || Error::custom(format!("{number} cannot be: write {LEAST} to {MOST}"));
        within.map(Some).ok_or_else(wrong)
    }

    /// A list that holds something.
    pub(in crate::config) fn some<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
        match Vec::<String>::deserialize(d)? {
            list if list.is_empty() => Err(Error::custom("the list is empty: name one, or leave it out")),
            list => Ok(Some(list)),
        }
    }
}

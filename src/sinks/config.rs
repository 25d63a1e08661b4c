//! The keys `attention` and `notify` of a client in the configuration file.

use super::{Sink, command, log, mail, webhook};
use serde::Deserialize;
use serde::de::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which of the log and mail sinks are used; all others are in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Attention {
    Log,
    Mail,
    #[default]
    Both,
}

impl<'de> Deserialize<'de> for Attention {
    /// In any case: the PHP packages write capitals.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "log" => Ok(Self::Log),
            "mail" => Ok(Self::Mail),
            "both" => Ok(Self::Both),
            _ => Err(D::Error::custom(format!("attention {text:?} is unknown: write log, mail or both"))),
        }
    }
}

impl Attention {
    pub(super) const fn admits(self, notify: &Notify) -> bool {
        match notify {
            Notify::Log(_) => !matches!(self, Self::Mail),
            Notify::Mail(_) => !matches!(self, Self::Log),
            Notify::Webhook(_) | Notify::Command(_) => true,
        }
    }

    /// Whoever asks for attention in so many words must get it.
    pub(super) fn check(self, notify: &[Notify]) -> Result<(), String> {
        let missing = |sink: &str| {
            Err(format!(
                "attention asks for sink {sink:?}, and no notify entry is one: add it, or leave attention out"
            ))
        };
        if self != Self::Mail && !notify.iter().any(|entry| matches!(entry, Notify::Log(_))) {
            return missing("log");
        }
        if self != Self::Log && !notify.iter().any(|entry| matches!(entry, Notify::Mail(_))) {
            return missing("mail");
        }
        Ok(())
    }
}

/// Which runs a sink is told of.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum When {
    #[default]
    Failure,
    Success,
    Always,
}

impl When {
    pub(super) const fn wants(self, ok: bool) -> bool {
        match self {
            Self::Failure => !ok,
            Self::Success => ok,
            Self::Always => true,
        }
    }
}

/// One entry of `notify`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "sink", rename_all = "lowercase")]
pub(crate) enum Notify {
    Log(Log),
    Mail(Box<Mail>),
    Webhook(Webhook),
    Command(Command),
}

/// Seconds a sink has by default.
const fn timeout_s() -> u32 {
    30
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    #[serde(default)]
    on: When,
    #[serde(default = "timeout_s")]
    timeout_s: u32,
    /// Standard error when there is none.
    pub(super) file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    #[serde(default)]
    on: When,
    #[serde(default = "timeout_s")]
    timeout_s: u32,
    pub(super) to: Vec<String>,
    pub(super) from: Option<String>,
    /// `sendmail`, `sendmail:/path`, `smtp://host:port` or `smtps://host:port`.
    #[serde(default = "sendmail")]
    pub(super) via: String,
    /// TLS from within a plain connection, which must succeed.
    #[serde(default)]
    pub(super) starttls: bool,
    /// Certificates to trust instead of those of the system, PEM.
    pub(super) ca: Option<PathBuf>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    /// Name of a variable.
    pub(super) password_env: Option<String>,
}

fn sendmail() -> String {
    "sendmail".to_owned()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    #[serde(default)]
    on: When,
    #[serde(default = "timeout_s")]
    timeout_s: u32,
    pub(super) url: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Certificates to trust instead of those of the system, PEM.
    pub(super) ca: Option<PathBuf>,
    /// Tries after the first.
    #[serde(default = "retries")]
    pub(super) retries: u32,
    /// Pause before the first of them; each next one is twice as long.
    #[serde(default = "retry_delay_ms")]
    pub(super) retry_delay_ms: u32,
}

const fn retries() -> u32 {
    3
}

const fn retry_delay_ms() -> u32 {
    500
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    #[serde(default)]
    on: When,
    #[serde(default = "timeout_s")]
    timeout_s: u32,
    /// The program and its arguments.
    pub(super) command: Vec<String>,
}

impl Notify {
    /// Files of a configuration file are seen from its directory.
    pub(crate) fn relative_to(&mut self, base: &Path) {
        let files = match self {
            Self::Log(log) => [log.file.as_mut(), None],
            Self::Mail(mail) => [mail.ca.as_mut(), mail.password_file.as_mut()],
            Self::Webhook(webhook) => [webhook.ca.as_mut(), None],
            Self::Command(_) => [None, None],
        };
        for file in files.into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    pub(super) fn terms(&self) -> (When, Duration) {
        let (when, seconds) = match self {
            Self::Log(log) => (log.on, log.timeout_s),
            Self::Mail(mail) => (mail.on, mail.timeout_s),
            Self::Webhook(webhook) => (webhook.on, webhook.timeout_s),
            Self::Command(command) => (command.on, command.timeout_s),
        };
        (when, Duration::from_secs(seconds.into()))
    }

    pub(super) fn sink(&self) -> Result<Sink, String> {
        if self.terms().1.is_zero() {
            return Err("timeout_s must be 1 or more".to_owned());
        }
        Ok(match self {
            Self::Log(log) => Sink::Log(log::Log::new(log)),
            Self::Mail(mail) => Sink::Mail(mail::Mail::new(mail)?),
            Self::Webhook(webhook) => Sink::Webhook(webhook::Webhook::new(webhook)?),
            Self::Command(command) => Sink::Command(command::Command::new(command)?),
        })
    }
}

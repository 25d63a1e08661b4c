//! The tables `[client.NAME]`: what `conveyor client run NAME` runs.

use super::values::{Mode, Scope, de};
use crate::sinks::{Attention, Notify};
use conveyor_client::Priority;
use conveyor_client::payload::Codec;
use conveyor_client::run::OutcomeKind;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most addresses that are fixed.
pub(crate) const ENDPOINTS: usize = 4;

/// What is said about a client: in its table, or on the command line. What is none is not said.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTable {
    #[serde(default, deserialize_with = "de::some")]
    pub(crate) servers: Option<Vec<String>>,
    pub(crate) function: Option<String>,
    #[serde(default, deserialize_with = "de::priority")]
    pub(crate) priority: Option<Priority>,
    #[serde(default, deserialize_with = "de::codec")]
    pub(crate) codec: Option<Codec>,
    pub(crate) tasks: Option<Tasks>,
    #[serde(default, deserialize_with = "de::mode")]
    pub(crate) mode: Option<Mode>,
    #[serde(default, deserialize_with = "de::scope")]
    pub(crate) scope: Option<Scope>,
    #[serde(default, deserialize_with = "de::count::<_, 1, 100_000>")]
    pub(crate) in_flight: Option<u32>,
    #[serde(default, deserialize_with = "de::limit")]
    pub(crate) task_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "de::limit")]
    pub(crate) run_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "de::count::<_, 1, 1_000_000>")]
    pub(crate) attempts: Option<u32>,
    #[serde(default, deserialize_with = "de::pause")]
    pub(crate) delay: Option<Duration>,
    #[serde(default, deserialize_with = "de::factor")]
    pub(crate) factor: Option<f64>,
    #[serde(default, deserialize_with = "de::pause")]
    pub(crate) longest: Option<Duration>,
    #[serde(default, deserialize_with = "de::jitter")]
    pub(crate) jitter: Option<f64>,
    #[serde(default, deserialize_with = "de::retry")]
    pub(crate) retry: Option<Vec<OutcomeKind>>,
    pub(crate) endpoints: Option<Endpoints>,
    #[serde(default, deserialize_with = "de::count::<_, 0, 1_000_000>")]
    pub(crate) keep: Option<u32>,
    pub(crate) manager: Option<ManagerTable>,
    pub(crate) attention: Option<Attention>,
    #[serde(default)]
    pub(crate) notify: Vec<Notify>,
}

/// Where tasks come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tasks {
    /// Standard input, a line each.
    Stdin,
    /// This file, a line each.
    File(PathBuf),
    /// What this command writes, a line each, in this directory.
    Command { shell: String, directory: PathBuf },
    /// These.
    Given(Vec<serde_json::Value>),
}

/// Addresses for manager and performers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoints {
    /// Sockets in a directory of the run.
    Dynamic,
    /// These, at most [`ENDPOINTS`], and only one run at a time.
    Fixed(Vec<String>),
}

/// The manager task that a run submits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagerTable {
    pub(crate) function: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) command: Option<String>,
    #[serde(default, deserialize_with = "de::count::<_, 1, 10_000>")]
    pub(crate) processes: Option<u32>,
    #[serde(default, deserialize_with = "de::count::<_, 1, 100>")]
    pub(crate) memory: Option<u32>,
    #[serde(default, deserialize_with = "de::count::<_, 1, 100>")]
    pub(crate) cpu: Option<u32>,
}

impl ClientTable {
    /// What is said here, and where nothing is, what `below` says.
    pub(crate) fn over(self, below: Self) -> Self {
        let manager = match (self.manager, below.manager) {
            (Some(above), Some(below)) => Some(above.over(below)),
            (above, below) => above.or(below),
        };
        Self {
            servers: self.servers.or(below.servers),
            function: self.function.or(below.function),
            priority: self.priority.or(below.priority),
            codec: self.codec.or(below.codec),
            tasks: self.tasks.or(below.tasks),
            mode: self.mode.or(below.mode),
            scope: self.scope.or(below.scope),
            in_flight: self.in_flight.or(below.in_flight),
            task_timeout: self.task_timeout.or(below.task_timeout),
            run_timeout: self.run_timeout.or(below.run_timeout),
            attempts: self.attempts.or(below.attempts),
            delay: self.delay.or(below.delay),
            factor: self.factor.or(below.factor),
            longest: self.longest.or(below.longest),
            jitter: self.jitter.or(below.jitter),
            retry: self.retry.or(below.retry),
            endpoints: self.endpoints.or(below.endpoints),
            keep: self.keep.or(below.keep),
            manager,
            attention: self.attention.or(below.attention),
            notify: if self.notify.is_empty() { below.notify } else { self.notify },
        }
    }

    /// Paths of a file are seen from its directory.
    pub(super) fn relative_to(mut self, base: &Path) -> Self {
        match &mut self.tasks {
            Some(Tasks::File(path)) => *path = base.join(&*path),
            Some(Tasks::Command { directory, .. }) => *directory = base.to_owned(),
            _ => {}
        }
        self.notify.iter_mut().for_each(|notify| notify.relative_to(base));
        self
    }
}

impl ManagerTable {
    /// Both of what every manager needs are there.
    pub(super) fn check(&self) -> Result<(), String> {
        let missing = |key: &str| format!("its manager has no {key}: write {key} = \"...\" in its table");
        self.function.as_ref().ok_or_else(|| missing("function"))?;
        self.command.as_ref().ok_or_else(|| missing("command")).map(drop)
    }

    fn over(self, below: Self) -> Self {
        Self {
            function: self.function.or(below.function),
            kind: self.kind.or(below.kind),
            command: self.command.or(below.command),
            processes: self.processes.or(below.processes),
            memory: self.memory.or(below.memory),
            cpu: self.cpu.or(below.cpu),
        }
    }
}

const TASKS: &str =
    "write { file = \"FILE\" }, { command = \"COMMAND\" }, \"-\" for standard input, or a list of tasks";

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct From {
            file: Option<PathBuf>,
            command: Option<String>,
        }

        impl<'de> Visitor<'de> for Read {
            type Value = Tasks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("where tasks come from: ")?;
                f.write_str(TASKS)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Tasks, E> {
                if text == "-" { Ok(Tasks::Stdin) } else { Err(E::custom(TASKS)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tasks, A::Error> {
                match From::deserialize(MapAccessDeserializer::new(map))? {
                    From { file: Some(file), command: None } => Ok(Tasks::File(file)),
                    From { file: None, command: Some(shell) } => {
                        Ok(Tasks::Command { shell, directory: PathBuf::new() })
                    }
                    _ => Err(A::Error::custom(TASKS)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tasks, A::Error> {
                let mut tasks = Vec::new();
                while let Some(task) = list.next_element::<toml::Value>()? {
                    tasks.push(json(task));
                }
                Ok(Tasks::Given(tasks))
            }
        }

        deserializer.deserialize_any(Read)
    }
}

/// A value of the file as one of JSON; times are texts.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
    }
}

impl Endpoints {
    /// Addresses that are given.
    pub(crate) fn fixed(addresses: Vec<String>) -> Result<Self, String> {
        if !(1..=ENDPOINTS).contains(&addresses.len()) {
            return Err(format!("fixed endpoints are 1 to {ENDPOINTS} addresses"));
        }
        let wrong = addresses.iter().find(|address| {
            !(address.starts_with("tcp://") || address.starts_with("ipc://")) || address.len() <= 6
        });
        match wrong {
            Some(wrong) => {
                Err(format!("endpoint {wrong:?} is no address: write tcp://HOST:PORT or ipc://PATH"))
            }
            None => Ok(Self::Fixed(addresses)),
        }
    }
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Endpoints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"dynamic\", or a list of addresses")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoints, E> {
                if text.eq_ignore_ascii_case("dynamic") {
                    return Ok(Endpoints::Dynamic);
                }
                Err(E::custom(format!(
                    "endpoints {text:?} are unknown: write \"dynamic\", or a list of addresses"
                )))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Endpoints, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = list.next_element::<String>()? {
                    addresses.push(address);
                }
                Endpoints::fixed(addresses).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

//! `conveyor.toml`: one file for everything that Conveyor runs. Every part reads its own tables.

mod client;
mod error;
pub(crate) mod values;

pub(crate) use client::{ClientTable, Endpoints, ManagerTable, Tasks};

use crate::schedules::config::{self as schedules, Schedule, What};
use crate::sinks::Sinks;
use crate::state::check_name;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Variable with the path of the file.
pub(crate) const CONFIG_VARIABLE: &str = "CONVEYOR_CONFIG";

/// Variable with the server for runs that name none: that of the process which runs a schedule.
pub(crate) const OWN_SERVER_VARIABLE: &str = "CONVEYOR_OWN_SERVER";

/// The file that is read when none is named, if it is there.
pub(crate) const CONFIG_FILE: &str = "conveyor.toml";

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where it is; none when there is none.
    path: Option<PathBuf>,
    clients: BTreeMap<String, ClientTable>,
    schedules: Vec<Schedule>,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    client: BTreeMap<String, ClientTable>,
    #[serde(default)]
    schedule: toml::Table,
}

impl Config {
    /// Reads the file: the one that is named, or `conveyor.toml` here if there is one.
    ///
    /// # Errors
    /// One that is named is not there, or there is something wrong in it: file, line, and what to write instead.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, String> {
        let path = named.unwrap_or(Path::new(CONFIG_FILE));
        match fs::read_to_string(path) {
            Ok(text) => Self::read(path, &text),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}: name another file with --config FILE", path.display())),
        }
    }

    fn read(path: &Path, text: &str) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error::in_words(path, text, &error))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let clients = document.client.into_iter();
        let clients: BTreeMap<String, ClientTable> =
            clients.map(|(name, table)| (name, table.relative_to(directory))).collect();
        let schedules =
            schedules::parse(&document.schedule).map_err(|error| format!("{}: {error}", path.display()))?;
        let config = Self { path: Some(path.to_owned()), clients, schedules };
        config.check_runs()?;
        Ok(config)
    }

    /// What schedules start must be there and whole: nobody is at hand to say the rest by flags, or to read what is wrong.
    fn check_runs(&self) -> Result<(), String> {
        for schedule in &self.schedules {
            let What::Run(name) = &schedule.what else { continue };
            let checked = match self.clients.get(name) {
                None => Err(self.no_client(name)),
                Some(client) => {
                    check_client(name, client).map_err(|error| format!("[client.{name}]: {error}"))
                }
            };
            checked.map_err(|error| format!("schedule.{}.run: {error}", schedule.plan.name))?;
        }
        Ok(())
    }

    /// The schedules, by name.
    pub(crate) fn into_schedules(self) -> Vec<Schedule> {
        self.schedules
    }

    /// The table `[client.NAME]`, if there is one.
    pub(crate) fn client(&self, name: &str) -> Option<ClientTable> {
        self.clients.get(name).cloned()
    }

    /// Why there is none, and what to do.
    pub(crate) fn no_client(&self, name: &str) -> String {
        let Some(path) = &self.path else {
            return format!(
                "there is no conveyor.toml here: write one with a table [client.{name}], name it with --config, or give \
                 --function and --tasks"
            );
        };
        let path = path.display();
        match error::nearest(name, self.clients.keys().map(String::as_str)) {
            Some(near) => format!("{path} has no table [client.{name}]: did you mean {near}?"),
            None => {
                format!("{path} has no table [client.{name}]: write one, or give --function and --tasks")
            }
        }
    }
}

/// What can be wrong with a client although each of its keys is right.
fn check_client(name: &str, client: &ClientTable) -> Result<(), String> {
    check_name(name)?;
    Sinks::from_config(client.attention, &client.notify)?;
    client.manager.as_ref().map_or(Ok(()), ManagerTable::check)
}

#[cfg(test)]
mod tests;

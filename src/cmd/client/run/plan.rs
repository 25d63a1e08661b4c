//! What the options of a run mean. The only place with its defaults.

use super::args::Run;
use super::endpoints::Endpoints;
use super::manager::Manager;
use crate::config::values::{Mode, Scope};
use crate::config::{ClientTable, Config, Endpoints as Addresses, ManagerTable, OWN_SERVER_VARIABLE, Tasks};
use crate::sinks::Sinks;
use crate::state;
use conveyor_client::payload::{Codec, Limits};
use conveyor_client::run::{Policy, RunSpec, RunTask, Saved};
use conveyor_client::{Options, Priority, Tls};
use std::sync::Arc;
use std::time::Duration;

/// Journals of finished runs that are kept.
const KEEP: u32 = 20;

/// Updates of a task that may wait, and how long: what is told of a run may go to somebody slow.
const UPDATES: usize = 64;
const PATIENCE: Duration = Duration::from_secs(3600);

/// The only kind of manager of the PHP packages.
const MANAGER_KIND: &str = "REACT_PROCESS_MANAGER";

/// Percent of free memory and of all processors that performers may take.
const MEMORY: u32 = 50;
const CPU: u32 = 100;

/// What is to be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) servers: Vec<String>,
    pub(super) tls: Option<Tls>,
    pub(super) function: Option<String>,
    pub(super) priority: Priority,
    pub(super) codec: Codec,
    pub(super) tasks: Option<Tasks>,
    pub(super) mode: Mode,
    pub(super) scope: Scope,
    pub(super) endpoints: Addresses,
    pub(super) keep: usize,
    pub(super) manager: Option<Manager>,
    /// Who is told how it went.
    pub(super) sinks: Arc<Sinks>,
    /// What is not asked for and true all the same.
    pub(super) notes: Vec<String>,
    /// What was said, for a run that is gone on with.
    said: ClientTable,
}

impl Plan {
    /// Gives flags and file their meaning.
    ///
    /// # Errors
    /// Something is wrong or missing; says what to do.
    pub(super) fn resolve(args: &Run) -> Result<Self, String> {
        state::check_name(&args.name)?;
        let config = Config::load(args.config.as_deref())?;
        let (given, table) = (args.table()?, config.client(&args.name));
        let known = table.is_some() || args.resume.is_some();
        let mut said = given.over(table.unwrap_or_default());
        if !known && (said.function.is_none() || said.tasks.is_none()) {
            return Err(config.no_client(&args.name));
        }
        let manager = said.manager.take().map(manager).transpose()?;
        let sinks = Sinks::from_config(said.attention, &said.notify)
            .map_err(|why| format!("[client.{}]: {why}", args.name))?;
        let endpoints = said.endpoints.take().unwrap_or(Addresses::Dynamic);
        let (mut mode, scope) = (said.mode.unwrap_or_default(), said.scope.unwrap_or_default());
        let mut notes = Vec::new();
        if args.resume.is_some() && args.says_what_to_do() {
            notes.push(
                "function and tasks are those of the journal, whatever the command line says".to_owned(),
            );
        }
        if mode == Mode::Parallel && scope == Scope::Cluster {
            return Err(
                "scope cluster is about runs that exclude each other: leave it out, or mode parallel"
                    .to_owned(),
            );
        }
        if mode == Mode::Parallel && matches!(endpoints, Addresses::Fixed(_)) {
            notes.push("fixed endpoints can be had by one run only: mode is consistent".to_owned());
            mode = Mode::Consistent;
        }
        Ok(Self {
            name: args.name.clone(),
            servers: said.servers.take().or_else(own_server).unwrap_or_else(|| args.servers.addresses()),
            tls: args.servers.tls()?,
            function: said.function.take(),
            priority: said.priority.unwrap_or(Priority::Normal),
            codec: said.codec.unwrap_or(Codec::Json),
            tasks: said.tasks.take(),
            mode,
            scope,
            endpoints,
            keep: said.keep.unwrap_or(KEEP) as usize,
            manager,
            sinks: Arc::new(sinks),
            notes,
            said,
        })
    }

    /// The function and the tasks of a new run.
    ///
    /// # Errors
    /// One of them is missing.
    pub(super) fn work(&self) -> Result<(String, Tasks), String> {
        let name = &self.name;
        let function = self.function.clone();
        let function = function.ok_or_else(|| {
            format!("client {name} has no function: write function = \"NAME\", or give --function")
        })?;
        let tasks = self.tasks.clone();
        let tasks = tasks.ok_or_else(|| {
            format!("client {name} has no tasks: write tasks = {{ file = \"FILE\" }}, or give --tasks")
        })?;
        Ok((function, tasks))
    }

    /// What is tried again, where nothing is said as in `otherwise`.
    pub(super) fn policy(&self, otherwise: Policy) -> Policy {
        let said = &self.said;
        Policy {
            attempts: said.attempts.unwrap_or(otherwise.attempts),
            delay: said.delay.unwrap_or(otherwise.delay),
            factor: said.factor.unwrap_or(otherwise.factor),
            longest: said.longest.unwrap_or(otherwise.longest),
            jitter: said.jitter.unwrap_or(otherwise.jitter),
            retry: said.retry.as_ref().map_or(otherwise.retry, |retry| retry.iter().copied().collect()),
            in_flight: said.in_flight.map_or(otherwise.in_flight, |in_flight| in_flight as usize),
            manager_grace: otherwise.manager_grace,
        }
    }

    /// A new run.
    pub(super) fn spec(
        &self,
        run: &str,
        function: String,
        tasks: Vec<RunTask>,
        endpoints: &Endpoints,
    ) -> RunSpec {
        RunSpec {
            name: self.name.clone(),
            run: run.to_owned(),
            options: self.options(),
            function,
            priority: self.priority,
            codec: self.codec,
            limits: Limits::default(),
            tasks: Arc::new(tasks),
            policy: self.policy(Policy::default()),
            task_timeout: self.said.task_timeout,
            run_timeout: self.said.run_timeout,
            manager: self.manager.as_ref().map(|manager| manager.spec(run, self.codec, endpoints)),
        }
    }

    /// A run to go on with: what it is stands in its journal, how it is run may be said anew.
    ///
    /// # Errors
    /// It has a manager, and nothing is said about one.
    pub(super) fn resumed(&self, saved: &Saved, endpoints: &Endpoints) -> Result<RunSpec, String> {
        let manager = match (&saved.manager, &self.manager) {
            (None, _) => None,
            (Some(function), None) => {
                return Err(format!(
                    "run {} has a manager ({function}): write the table [client.{}.manager], or give --manager and \
                     --manager-command",
                    saved.run, self.name
                ));
            }
            (Some(function), Some(manager)) => {
                let manager = Manager { function: function.clone(), ..manager.clone() };
                Some(manager.spec(&saved.run, saved.codec, endpoints))
            }
        };
        Ok(RunSpec {
            name: saved.name.clone(),
            run: saved.run.clone(),
            options: self.options(),
            function: saved.function.clone(),
            priority: saved.priority,
            codec: saved.codec,
            limits: Limits::default(),
            tasks: Arc::clone(&saved.tasks),
            policy: self.policy(saved.policy.clone()),
            task_timeout: self.said.task_timeout.or(saved.task_timeout),
            run_timeout: self.said.run_timeout.or(saved.run_timeout),
            manager,
        })
    }

    fn options(&self) -> Options {
        let options = Options::new(self.servers.clone()).updates(UPDATES, PATIENCE);
        match &self.tls {
            Some(tls) => options.tls(tls.clone()),
            None => options,
        }
    }
}

/// The server of whoever started this run, if it is a scheduled one.
fn own_server() -> Option<Vec<String>> {
    let server = std::env::var(OWN_SERVER_VARIABLE).ok().filter(|server| !server.is_empty())?;
    Some(vec![server])
}

fn manager(table: ManagerTable) -> Result<Manager, String> {
    let missing =
        |key: &str| format!("the manager of the client has no {key}: write {key} = \"...\" in its table");
    Ok(Manager {
        function: table.function.ok_or_else(|| missing("function"))?,
        kind: table.kind.unwrap_or_else(|| MANAGER_KIND.to_owned()),
        command: table.command.ok_or_else(|| missing("command"))?,
        processes: table.processes,
        memory: table.memory.unwrap_or(MEMORY),
        cpu: table.cpu.unwrap_or(CPU),
    })
}

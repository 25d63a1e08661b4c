//! What was typed after `conveyor client run`.

use crate::cmd::servers::Servers;
use crate::config::values::{self, Mode, Scope};
use crate::config::{CONFIG_VARIABLE, ClientTable, Endpoints, ManagerTable, Tasks};
use crate::state::STATE_VARIABLE;
use clap::ArgAction;
use conveyor_client::Priority;
use conveyor_client::payload::Codec;
use conveyor_client::run::OutcomeKind;
use std::path::PathBuf;
use std::time::Duration;

/// Examples and exit codes, shown below the options by `--help`.
const AFTER_HELP: &str = "\
Examples:
  conveyor client run nightly                              as [client.nightly] of conveyor.toml says
  conveyor client run nightly -f resize --tasks tasks.jsonl    without a file
  conveyor client run nightly --attempts 3 --delay 10s     flags beat the file
  conveyor client run nightly --dry-run                    what would be run
  conveyor client run nightly --resume                     go on with the newest run that was not ended
  conveyor client run nightly --json | jq .event           what happens, an object a line
  seq 100 | jq -c '{id: ., body: \"page \\(.)\"}' | conveyor client run pages -f crawl --tasks -

Tasks are lines of JSON: {\"id\": 7, \"body\": \"photo 17\"}. Every task ends with an outcome: ok, error, critical, failed, lost,
timed-out or malformed. A task may run twice when a client or a server is lost; none is forgotten. See docs/client.md.

Exit codes:
  0    every task is done
  1    the run has ended, or was out of time, and tasks are not done
  2    wrong usage, configuration or list of tasks; nothing was submitted
  3    no server could be reached, or not that of the lock of a cluster for half a minute
  70   a critical error of a task or of the manager ended the run early
  75   a run of this name is alive already, or took the lock over
  130  stopped by INT (143: by TERM); --resume goes on";

/// Options of `conveyor client run`. `-H` for help, since `-h` is the host.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, disable_help_flag = true)]
pub(in crate::cmd::client) struct Run {
    /// Name of the client: the table [client.NAME] of the configuration file, if it has one
    #[arg(value_name = "NAME")]
    pub(super) name: String,

    /// Configuration file (default: conveyor.toml, if it is there)
    #[arg(long, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub(super) config: Option<PathBuf>,

    /// Directory of locks and journals (default: $STATE_DIRECTORY, $XDG_STATE_HOME/conveyor, /var/lib/conveyor for
    /// root, or ~/.local/state/conveyor)
    #[arg(long, value_name = "DIRECTORY", env = STATE_VARIABLE)]
    pub(super) state_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(super) servers: Servers,

    /// Function of tasks that name none
    #[arg(long, short, value_name = "NAME")]
    function: Option<String>,

    /// Priority of tasks that name none: normal or low
    #[arg(long, value_name = "NAME", value_parser = values::priority)]
    priority: Option<Priority>,

    /// How tasks and answers are written: raw, json, bincode or php
    #[arg(long, value_name = "NAME", value_parser = values::codec)]
    codec: Option<Codec>,

    /// File with the tasks, a JSON object a line; - for standard input
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,

    /// Shell command that writes the tasks instead; it must exit with 0
    #[arg(long, value_name = "COMMAND", conflicts_with = "tasks")]
    tasks_command: Option<String>,

    /// consistent: one run of a name at a time; parallel: as many as are started
    #[arg(long, value_name = "MODE", value_parser = values::mode)]
    mode: Option<Mode>,

    /// host: one at a time on this host; cluster: on all hosts that talk to the same first server
    #[arg(long, value_name = "SCOPE", value_parser = values::scope)]
    scope: Option<Scope>,

    /// Most tasks at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: Option<u32>,

    /// How long a try may take, such as 10m
    #[arg(long, value_name = "TIME", value_parser = values::limit)]
    task_timeout: Option<Duration>,

    /// How long the run may take, such as 2h
    #[arg(long, value_name = "TIME", value_parser = values::limit)]
    run_timeout: Option<Duration>,

    /// Most tries of a task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    attempts: Option<u32>,

    /// Pause before the second try, such as 30s
    #[arg(long, value_name = "TIME", value_parser = values::pause)]
    delay: Option<Duration>,

    /// What each further pause is longer by
    #[arg(long, value_name = "X", value_parser = values::factor)]
    factor: Option<f64>,

    /// Longest pause
    #[arg(long, value_name = "TIME", value_parser = values::pause)]
    longest: Option<Duration>,

    /// Part of a pause that is left to chance, 0 to 1
    #[arg(long, value_name = "X", value_parser = values::jitter)]
    jitter: Option<f64>,

    /// Outcomes after which a task is tried again: error, failed, lost, timed-out, malformed
    #[arg(long, value_name = "OUTCOMES", value_delimiter = ',', value_parser = values::retried)]
    retry: Vec<OutcomeKind>,

    /// Fixed address for manager and performers; up to four. Only one run at a time can have them
    #[arg(long = "endpoint", value_name = "ADDRESS")]
    endpoints: Vec<String>,

    /// Function to which one manager task is submitted, at high priority
    #[arg(long, value_name = "FUNCTION")]
    manager: Option<String>,

    /// Command with which the manager starts a performer
    #[arg(long, value_name = "COMMAND")]
    manager_command: Option<String>,

    /// Most performers at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    processes: Option<u32>,

    /// Journals of finished runs that are kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    keep: Option<u32>,

    /// Go on with a run: its id or journal, or the newest run that was not ended
    #[arg(long, value_name = "RUN")]
    #[expect(clippy::option_option, reason = "how clap says that a value may be left out")]
    pub(super) resume: Option<Option<String>>,

    /// Id of the run instead of a new one; any text stands for one
    #[arg(long, value_name = "ID", conflicts_with = "resume")]
    pub(super) run_id: Option<String>,

    /// Say what would be run, and submit nothing. Tasks are read, their command is run
    #[arg(long, conflicts_with_all = ["resume", "json", "output"])]
    pub(super) dry_run: bool,

    /// Write a JSON object for every task that has ended: id, outcome, attempts, result, message; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Print what happens, a JSON object a line, the report last
    #[arg(long)]
    pub(super) json: bool,

    /// Say nothing on standard error unless something is wrong
    #[arg(long)]
    pub(super) quiet: bool,

    /// No view at a terminal, but lines
    #[arg(long)]
    pub(super) no_progress: bool,

    /// Print this help
    #[arg(long, short = 'H', action = ArgAction::Help)]
    help: Option<bool>,
}

impl Run {
    /// Whether something is said that a run which is gone on with has in its journal.
    pub(super) const fn says_what_to_do(&self) -> bool {
        self.function.is_some() || self.tasks.is_some() || self.tasks_command.is_some()
    }

    /// What the flags say, as a table of the file would.
    pub(super) fn table(&self) -> Result<ClientTable, String> {
        if self.json && self.output.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            return Err("results are among the events of --json: leave --output - out".to_owned());
        }
        let tasks = match (&self.tasks, &self.tasks_command) {
            (Some(path), _) if path.as_os_str() == "-" => Some(Tasks::Stdin),
            (Some(path), _) => Some(Tasks::File(path.clone())),
            (None, Some(shell)) => Some(Tasks::Command { shell: shell.clone(), directory: PathBuf::new() }),
            (None, None) => None,
        };
        let endpoints = match self.endpoints.as_slice() {
            [] => None,
            fixed => Some(Endpoints::fixed(fixed.to_vec())?),
        };
        let manager = ManagerTable {
            function: self.manager.clone(),
            command: self.manager_command.clone(),
            processes: self.processes,
            ..ManagerTable::default()
        };
        let managed = manager.function.is_some() || manager.command.is_some() || manager.processes.is_some();
        Ok(ClientTable {
            servers: self.servers.given(),
            function: self.function.clone(),
            priority: self.priority,
            codec: self.codec,
            tasks,
            mode: self.mode,
            scope: self.scope,
            in_flight: self.in_flight,
            task_timeout: self.task_timeout,
            run_timeout: self.run_timeout,
            attempts: self.attempts,
            delay: self.delay,
            factor: self.factor,
            longest: self.longest,
            jitter: self.jitter,
            retry: (!self.retry.is_empty()).then(|| self.retry.clone()),
            endpoints,
            keep: self.keep,
            manager: managed.then_some(manager),
            ..ClientTable::default()
        })
    }
}

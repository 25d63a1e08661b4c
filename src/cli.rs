//! What was typed: the command line, one variant a subcommand. What it means is decided in `settings`.

use crate::cmd;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The whole Gearman stack in one binary.
#[derive(Debug, Parser)]
#[command(name = "conveyor", version, disable_help_subcommand = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  conveyor all-in-one                     a server with demo workers on this machine
  conveyor client submit -f reverse hello ... and a first job for it
  conveyor server --listen 10.0.0.5       a job server for the network
  conveyor client run nightly             a list of tasks, each accounted for and retried
  conveyor worker -f reverse -- rev       a worker: `rev` for every job
  conveyor admin status                   what it is doing
  conveyor store stats                    what it has stored, running or not
  conveyor schedule status                what is due when, and what came of it
  conveyor manager sensors                what the load manager sees
  conveyor bench --load foreground        how fast it is
  conveyor conformance 127.0.0.1:4730     check any Gearman server

Exit codes: 0 success, 1 failure (the message says what to do), 2 wrong usage.";

#[derive(Debug, Subcommand)]
#[command(rename_all = "kebab-case")]
enum Command {
    /// Run the job server: a drop-in replacement for gearmand
    Server(Box<cmd::server::Args>),
    /// Run a server and demo workers in one process, for a first look and for development
    AllInOne(Box<cmd::all_in_one::Args>),
    /// Ask a running server, or tell it something
    Admin(cmd::admin::Args),
    /// Look into a stored queue, carry it elsewhere, check and repair it
    Store(cmd::store::Args),
    /// Carry jobs over from gearmand's stores into the stored queue, or back
    Import(Box<cmd::import::Args>),
    /// Put load on any Gearman server, or compare two
    Bench(Box<cmd::bench::Args>),
    /// Submit jobs and stream their results, or run a client that accounts for all of its tasks
    Client(cmd::client::Args),
    /// Say what became of a run of a conveyor client
    Inspect(cmd::inspect::Args),
    /// Work: run a command for every job
    Worker(Box<cmd::worker::Args>),
    /// Try out what a configuration file says
    Config(cmd::config::Args),
    /// Show the schedules of a configuration file, or start one by hand
    Schedule(cmd::schedule::Args),
    /// Keep performers within the limits of the machine
    Manager(cmd::manager::Args),
    /// End performers whose manager is gone: `+PID` and `-PID` lines on standard input, which is open as long as it lives
    #[command(hide = true)]
    Guard(cmd::guard::Args),
    /// Check any Gearman server against numbered protocol rules
    Conformance(cmd::conformance::Args),
}

impl Cli {
    /// Runs the chosen subcommand to its end.
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Server(args) => cmd::server::run(&args),
            Command::AllInOne(args) => cmd::all_in_one::run(&args),
            Command::Admin(args) => cmd::admin::run(&args),
            Command::Store(args) => cmd::store::run(&args),
            Command::Import(args) => cmd::import::run(&args),
            Command::Bench(args) => cmd::bench::run(&args),
            Command::Client(args) => cmd::client::run(&args),
            Command::Inspect(args) => cmd::inspect::run(&args),
            Command::Worker(args) => cmd::worker::run(&args),
            Command::Config(args) => cmd::config::run(&args),
            Command::Schedule(args) => cmd::schedule::run(&args),
            Command::Manager(args) => cmd::manager::run(&args),
            Command::Guard(args) => cmd::guard::run(&args),
            Command::Conformance(args) => cmd::conformance::run(&args),
        }
    }
}

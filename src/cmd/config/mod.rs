//! `conveyor config`: the configuration file in the hands of its author.

mod notify;

use clap::Subcommand;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  conveyor config test-notify --config conveyor.toml nightly               every sink of [client.nightly]
  conveyor config test-notify --config conveyor.toml nightly --as failure  those that are told of a failure

Exit codes: 0 all were delivered, 1 some were not (the message says why), 2 wrong usage or configuration.";

/// Options of `conveyor config`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send a test notice to the sinks of a client, and say what became of each
    TestNotify(notify::Args),
}

/// Does what is asked.
pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.action {
        Action::TestNotify(args) => notify::run(args),
    }
}

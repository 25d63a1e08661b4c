//! What was typed: the command line, one variant a subcommand. What it means is decided in `settings`.

use crate::cmd;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The whole Gearman stack in one binary.
#[derive(Debug, Parser)]
#[command(name = "conveyor", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check any Gearman server against numbered protocol rules
    Conformance(cmd::conformance::Args),
}

impl Cli {
    /// Runs the chosen subcommand to its end.
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Conformance(args) => cmd::conformance::run(&args),
        }
    }
}

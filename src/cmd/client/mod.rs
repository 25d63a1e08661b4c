//! `conveyor client`: the asking side of Gearman.

mod args;
mod input;
mod live;
mod moment;
mod output;
mod relay;
pub(crate) mod run;
mod submit;
mod summary;

use clap::Subcommand;
use std::process::ExitCode;

/// Options of `conveyor client`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Submit jobs and stream their results: all client options of `gearman`, and more
    Submit(Box<args::Submit>),
    /// Run a conveyor client: every task is accounted for, retried, and reported
    Run(Box<run::args::Run>),
}

/// Runs the chosen subcommand to its end.
pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.what {
        What::Submit(args) => submit::run(args),
        What::Run(args) => run::run(args),
    }
}

//! `conveyor client`: the asking side of Gearman.

mod args;
mod input;
mod live;
mod moment;
mod output;
mod relay;
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
}

/// Runs the chosen subcommand to its end.
pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.what {
        What::Submit(args) => submit::run(args),
    }
}

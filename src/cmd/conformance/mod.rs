//! `conveyor conformance`: checks any Gearman server against numbered protocol rules.

use std::process::ExitCode;

/// Options of `conveyor conformance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server to check; without --spawn the destructive rules are skipped
    #[arg(value_name = "HOST:PORT")]
    server: Option<String>,
}

/// Runs the rules and reports them.
pub(crate) fn run(args: &Args) -> ExitCode {
    let _ = args;
    ExitCode::FAILURE
}

//! `conveyor guard`: ends performers whose manager is gone. Started by managers, not by people.

use std::process::ExitCode;
use std::time::Duration;

/// Options of `conveyor guard`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Milliseconds from TERM to KILL
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    grace_ms: u64,
}

/// Watches until standard input ends.
pub(crate) fn run(args: &Args) -> ExitCode {
    conveyor_worker::supervise::guard(std::io::stdin().lock(), Duration::from_millis(args.grace_ms));
    ExitCode::SUCCESS
}

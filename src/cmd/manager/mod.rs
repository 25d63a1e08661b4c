//! `conveyor manager`: what keeps performers within the limits of the machine.

mod policy;
mod sensors;
mod simulate;

use clap::Subcommand;
use conveyor_worker::probe::ProbeError;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  conveyor manager sensors                         memory, processors and stalls, and where each number is from
  conveyor manager sensors --pid 4711 --watch      and a process with all that descends from it, every second
  conveyor manager sensors --pid 4711 --record trace.csv --count 60
  conveyor manager simulate trace.csv --wanted 5   what the load manager would have done

Exit codes: 0 success, 1 failure (the message says what to do), 2 wrong usage.";

/// Options of `conveyor manager`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print what the load manager sees, and where from
    Sensors(sensors::Args),
    /// Play a recorded trace, and print every decision with its reason
    Simulate(Box<simulate::Args>),
}

/// What went wrong.
#[derive(Debug)]
enum Failure {
    /// In words for the operator.
    Told(String),
    /// Standard output.
    Output(io::Error),
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        Self::Told(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Does what is asked.
pub(crate) fn run(args: &Args) -> ExitCode {
    let outcome = match &args.action {
        Action::Sensors(args) => sensors::run(args),
        Action::Simulate(args) => simulate::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has seen enough.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => complain(&format!("cannot write: {error}")),
        Err(Failure::Told(message)) => complain(&message),
    }
}

fn complain(message: &str) -> ExitCode {
    eprintln!("conveyor manager: {message}");
    ExitCode::FAILURE
}

/// Memory for people.
fn mebibytes(kib: f64) -> String {
    format!("{:.1} MiB", kib / 1024.0)
}

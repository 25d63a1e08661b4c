//! `conveyor store`: a stored queue in the hands of its operator.

mod json;
mod look;
mod mend;
mod transfer;

use crate::storage::{self, DATA_DIR_VARIABLE};
use clap::Subcommand;
use conveyor_common::Priority;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  conveyor store stats                             what is there, beside a running server too
  conveyor store list -f resize --limit 20
  conveyor store show H:host:17 --payload          the payload of one job, as it is
  conveyor store export --output queue.jsonl       a backup, one line of JSON a job
  conveyor store import queue.jsonl --data-dir /srv/queue
  conveyor store check                             is the file as it should be?
  conveyor store repair                            a new file of all that can be read

Exit codes: 0 success, 1 failure or a damaged queue (the message says what to do), 2 wrong usage, 4 no such job.";

/// Exit code of `show` when there is no such job.
const NOT_FOUND: u8 = 4;

/// Options of `conveyor store`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of the queue, as for `conveyor server` (default: the same as there)
    #[arg(long, value_name = "DIRECTORY", env = DATA_DIR_VARIABLE, global = true)]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Count jobs and bytes, and say whether a server runs
    Stats(look::Stats),
    /// List jobs
    List(look::List),
    /// Show everything of one job
    Show(look::Show),
    /// Write all jobs as lines of JSON
    Export(transfer::Export),
    /// Take in what `export` wrote: all of it or nothing
    Import(transfer::Import),
    /// Check the file and what is in it
    Check(mend::Check),
    /// Make a new file of all that can be read of a damaged one, which is kept
    Repair(mend::Repair),
}

/// What went wrong.
#[derive(Debug)]
enum Failure {
    /// In words for the operator.
    Told(String),
    /// Standard output or the file.
    Output(io::Error),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Told(message)
    }
}

impl From<conveyor_server::store::StoreError> for Failure {
    fn from(error: conveyor_server::store::StoreError) -> Self {
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
    let outcome =
        storage::directory(args.data_dir.as_deref()).map_err(Failure::Told).and_then(|directory| match &args
            .action
        {
            Action::Stats(stats) => look::stats(&directory, stats),
            Action::List(list) => look::list(&directory, list),
            Action::Show(show) => look::show(&directory, show),
            Action::Export(export) => transfer::export(&directory, export),
            Action::Import(import) => transfer::import(&directory, import),
            Action::Check(check) => mend::check(&directory, check),
            Action::Repair(repair) => mend::repair(&directory, repair),
        });
    match outcome {
        Ok(code) => code,
        // Whoever read has seen enough.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => complain(&format!("cannot write: {error}")),
        Err(Failure::Told(message)) => complain(&message),
    }
}

fn complain(message: &str) -> ExitCode {
    eprintln!("conveyor store: {message}");
    ExitCode::FAILURE
}

/// What a priority is called.
const fn name_of(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

/// Reads the name of a priority.
fn priority(text: &str) -> Result<Priority, String> {
    let found = Priority::ALL.into_iter().find(|priority| text.eq_ignore_ascii_case(name_of(*priority)));
    found.ok_or("choose high, normal or low".to_owned())
}

/// Bytes for people: what is not text, and what would move a cursor, is escaped.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// A moment, in UTC; `-` for at once.
fn moment(start: i64) -> String {
    if start == 0 {
        return "-".to_owned();
    }
    jiff::Timestamp::from_second(start).map_or_else(|_| start.to_string(), |moment| moment.to_string())
}

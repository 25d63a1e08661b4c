//! `conveyor inspect`: what became of a run, from its journal.

use crate::cmd::client::run::now;
use crate::state::{STATE_VARIABLE, State};
use conveyor_client::run::{OutcomeKind, Report, Saved};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  conveyor inspect                        the newest run of all
  conveyor inspect nightly                the newest run of this client
  conveyor inspect nightly --tasks error  its tasks that ended with errors, all of them
  conveyor inspect run.jsonl --json       the report for programs

Exit codes: 0 every task is done, 1 tasks are not done, or the run has not ended, 2 there is no such journal, or it cannot be read.";

/// Options of `conveyor inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// A journal, or the name of a client for its newest run
    #[arg(value_name = "JOURNAL|NAME")]
    what: Option<String>,

    /// Directory of locks and journals (default: as `conveyor client run` has it)
    #[arg(long, value_name = "DIRECTORY", env = STATE_VARIABLE)]
    state_dir: Option<PathBuf>,

    /// Print JSON: the report as one object, or with --tasks an object for each task
    #[arg(long)]
    json: bool,

    /// List tasks instead: all, or those of one outcome: ok, error, critical, failed, lost, timed-out, malformed,
    /// unanswered, not-submitted
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    tasks: Option<String>,
}

/// Tasks that have no outcome.
const NO_OUTCOME: [&str; 2] = ["unanswered", "not-submitted"];

fn outcome(text: &str) -> Result<String, String> {
    let kinds = OutcomeKind::ALL.map(OutcomeKind::as_str);
    let known: Vec<&str> = ["all"].into_iter().chain(kinds).chain(NO_OUTCOME).collect();
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("choose {}", known.join(", "))) }
}

/// Runs `conveyor inspect`.
pub(crate) fn run(args: &Args) -> ExitCode {
    let saved = find(args).and_then(|path| Saved::read(path).map_err(|error| error.to_string()));
    let saved = match saved {
        Ok(saved) => saved,
        Err(message) => {
            eprintln!("conveyor inspect: {message}");
            return ExitCode::from(2);
        }
    };
    let report = saved.report(now());
    match print(args, &saved, &report) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("conveyor inspect: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ if report.is_ok() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The journal that is meant.
fn find(args: &Args) -> Result<PathBuf, String> {
    let state = State::new(args.state_dir.as_deref())?;
    if let Some(path) = args.what.as_deref().map(Path::new)
        && path.is_file()
    {
        return Ok(path.to_owned());
    }
    let newest = state.journals(args.what.as_deref());
    let newest = newest.map_err(|error| format!("{}: {error}", state.runs().display()))?;
    newest.into_iter().next().ok_or_else(|| {
        let whose = args.what.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        let runs = state.runs();
        format!("there is no journal{whose} in {}: name one, or its directory by --state-dir", runs.display())
    })
}

fn print(args: &Args, saved: &Saved, report: &Report) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match &args.tasks {
        None if args.json => writeln!(out, "{}", json!(report))?,
        None => write!(out, "{report}")?,
        Some(wanted) => {
            for line in saved.ledger.lines(&saved.tasks) {
                let name = line.outcome_name();
                if wanted != "all" && name != wanted {
                    continue;
                }
                if args.json {
                    writeln!(out, "{}", json!(line))?;
                    continue;
                }
                let id = line.id.to_string();
                write!(out, "{:<16} {name:<13} tries {}", id.escape_debug().to_string(), line.attempts)?;
                match &line.message {
                    Some(message) => writeln!(out, ": {}", message.escape_debug())?,
                    None => writeln!(out)?,
                }
            }
        }
    }
    out.flush()
}

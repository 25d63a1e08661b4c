//! `conveyor admin`: every command of the text admin protocol, for people and for programs.

mod readiness;

use bytes::Bytes;
use clap::Subcommand;
use conveyor_client::admin::{Admin, AdminError};
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::Command;
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  conveyor admin status
  conveyor admin --server 10.0.0.5:4730 --json workers
  conveyor admin max-queue resize 1000             1000 jobs of the function, any priority
  conveyor admin cancel-job H:host:17
  conveyor admin readiness --wait 30               until stored jobs are read and new ones accepted
  conveyor admin shutdown                          says how to stop a server: no protocol command does

Exit codes: 0 success, 1 the server refused, is not ready or could not be reached, 2 wrong usage.";

/// Options of `conveyor admin`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The server to ask
    #[arg(long, short, value_name = "HOST:PORT", default_value = "127.0.0.1:4730", global = true)]
    server: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Milliseconds to wait for an answer
    #[arg(long, value_name = "MS", default_value_t = 10_000, global = true)]
    timeout_ms: u64,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Functions with their jobs and workers
    Status,
    /// Functions with their queued jobs by priority
    PriorityStatus,
    /// Every connection and what it can do
    Workers,
    /// Every unfinished job
    ShowJobs,
    /// The unique of every unfinished job
    ShowUniqueJobs,
    /// The server's version
    #[command(name = "version")]
    ServerVersion,
    /// The server's process id
    Getpid,
    /// The server's log level
    Verbose,
    /// Whether it accepts background jobs and has read all stored ones
    Readiness {
        /// Seconds to wait until it does, a server that is not there yet included
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },
    /// Limit the jobs of a function: one number for all priorities or one each; 0 is no limit
    MaxQueue {
        /// The function
        function: String,
        /// Limit for high, or for all
        high: u32,
        /// Limit for normal
        normal: Option<u32>,
        /// Limit for low
        low: Option<u32>,
    },
    /// Make a function
    CreateFunction {
        /// Its name
        function: String,
    },
    /// Remove a function and what is queued for it
    DropFunction {
        /// Its name
        function: String,
    },
    /// Give a job up
    CancelJob {
        /// Its handle
        handle: String,
    },
    /// Say how a server is stopped
    Shutdown,
}

/// Asks and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Question::Readiness { wait } = args.question {
        return readiness::run(&args.server, args.timeout(), args.json, Duration::from_secs(wait));
    }
    match ask(args) {
        Ok(output) => {
            print!("{output}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("conveyor admin: {message}");
            ExitCode::FAILURE
        }
    }
}

impl Args {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.max(1))
    }
}

/// What went wrong, in words for people.
fn explain(server: &str, error: &AdminError) -> String {
    match error {
        AdminError::Io(error) => format!("no answer from {server}: {error}. Is a server running there?"),
        refused => refused.to_string(),
    }
}

fn ask(args: &Args) -> Result<String, String> {
    if matches!(args.question, Question::Shutdown) {
        return Err(
            "the protocol has no shutdown command: send the server process TERM to stop it at once, \
                    or USR1 to stop it when no job is left; `conveyor admin getpid` tells which process"
                .to_owned(),
        );
    }
    let unreachable = |error: &AdminError| explain(&args.server, error);
    let mut admin = Admin::connect(&args.server, args.timeout()).map_err(|error| unreachable(&error))?;
    answer(&mut admin, args).map_err(|error| unreachable(&error))
}

fn answer(admin: &mut Admin, args: &Args) -> Result<String, AdminError> {
    let json = args.json;
    let named = |name: &str| Bytes::copy_from_slice(name.as_bytes());
    match &args.question {
        Question::Status => {
            let rows = admin.status()?;
            let cells = rows.iter().map(|row| {
                vec![
                    row.function.clone(),
                    row.total.to_string(),
                    row.running.to_string(),
                    row.workers.to_string(),
                ]
            });
            Ok(render(json, &rows, &["FUNCTION", "TOTAL", "RUNNING", "WORKERS"], cells.collect()))
        }
        Question::PriorityStatus => {
            let rows = admin.priority_status()?;
            let cells = rows.iter().map(|row| {
                let numbers = [row.high, row.normal, row.low, row.workers].map(|number| number.to_string());
                std::iter::once(row.function.clone()).chain(numbers).collect()
            });
            Ok(render(json, &rows, &["FUNCTION", "HIGH", "NORMAL", "LOW", "WORKERS"], cells.collect()))
        }
        Question::Workers => {
            let rows = admin.workers()?;
            let cells = rows.iter().map(|row| {
                vec![row.descriptor.to_string(), row.address.clone(), row.id.clone(), row.functions.join(" ")]
            });
            Ok(render(json, &rows, &["FD", "ADDRESS", "ID", "FUNCTIONS"], cells.collect()))
        }
        Question::ShowJobs => {
            let rows = admin.jobs()?;
            let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
            let cells = rows.iter().map(|row| {
                vec![row.handle.clone(), row.retries.to_string(), yes(row.ignored), yes(row.background)]
            });
            Ok(render(json, &rows, &["HANDLE", "RETRIES", "IGNORED", "BACKGROUND"], cells.collect()))
        }
        Question::ShowUniqueJobs => {
            let rows = admin.table(&Command::ShowUniqueJobs)?;
            let cells = rows.iter().map(|unique| vec![unique.clone()]).collect();
            Ok(render(json, &rows, &["UNIQUE"], cells))
        }
        Question::ServerVersion => fact(admin, json, "version", &Command::Version),
        Question::Getpid => fact(admin, json, "pid", &Command::GetPid),
        Question::Verbose => fact(admin, json, "verbose", &Command::Verbose),
        Question::MaxQueue { function, high, normal, low } => {
            let limits = match (normal, low) {
                (None, None) => PerPriority { high: *high, normal: *high, low: *high },
                _ => PerPriority { high: *high, normal: normal.unwrap_or(0), low: low.unwrap_or(0) },
            };
            done(admin, json, &Command::MaxQueue { function: named(function), limits })
        }
        Question::CreateFunction { function } => done(admin, json, &Command::CreateFunction(named(function))),
        Question::DropFunction { function } => done(admin, json, &Command::DropFunction(named(function))),
        Question::CancelJob { handle } => done(admin, json, &Command::CancelJob(named(handle))),
        // Answered elsewhere.
        Question::Readiness { .. } | Question::Shutdown => Ok(String::new()),
    }
}

fn fact(admin: &mut Admin, json: bool, name: &str, command: &Command) -> Result<String, AdminError> {
    let value = admin.line(command)?;
    Ok(if json { format!("{}\n", json!({ name: value })) } else { format!("{value}\n") })
}

fn done(admin: &mut Admin, json: bool, command: &Command) -> Result<String, AdminError> {
    admin.line(command)?;
    Ok(if json { format!("{}\n", json!({ "ok": true })) } else { "OK\n".to_owned() })
}

/// A table: columns as wide as their widest cell, numbers to the right; or the rows as JSON.
fn render<T: Serialize>(json: bool, rows: &[T], titles: &[&str], cells: Vec<Vec<String>>) -> String {
    if json {
        return format!("{}\n", json!(rows));
    }
    let width = |column: usize| {
        let cells = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(titles.get(column).map(|title| title.len())).max().unwrap_or(0)
    };
    let is_number = |column: usize| {
        let mut cells = cells.iter().filter_map(|row| row.get(column));
        !rows.is_empty() && cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let layout: Vec<(usize, bool)> =
        (0..titles.len()).map(|column| (width(column), is_number(column))).collect();
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let mut out = String::new();
    for row in std::iter::once(&titles).chain(&cells) {
        let line: Vec<String> = row
            .iter()
            .zip(&layout)
            .map(
                |(cell, (width, number))| {
                    if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_numbers_stand_right() {
        let cells = vec![vec!["f".to_owned(), "7".to_owned()], vec!["long".to_owned(), "10".to_owned()]];
        let text = render(false, &["a", "b"], &["NAME", "N"], cells);
        assert_eq!(text, "NAME   N\nf      7\nlong  10\n");
    }
}

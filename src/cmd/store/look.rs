//! `stats`, `list` and `show`.

use super::json::Line;
use super::{Failure, NOT_FOUND, moment, name_of, priority, readable};
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use conveyor_server::store::DataDirectory;
use conveyor_server::store::sqlite::{Entry, Filter, Inspector};
use serde_json::json;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows that are lined up with each other.
const ROWS: usize = 1000;

/// Options of `stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  conveyor store stats\n  conveyor store stats --json")]
pub(super) struct Stats {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `list`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conveyor store list -f resize --limit 20\n  conveyor store list --priority high --json"
)]
pub(super) struct List {
    /// Only jobs of this function
    #[arg(long, short, value_name = "NAME")]
    function: Option<String>,
    /// Only jobs of this priority: high, normal or low
    #[arg(long, value_name = "PRIORITY", value_parser = priority)]
    priority: Option<Priority>,
    /// Only the job with this unique
    #[arg(long, short, value_name = "UNIQUE")]
    unique: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conveyor store show 17\n  conveyor store show H:host:17 --payload\n\nExit code 4: there is no such job."
)]
pub(super) struct Show {
    /// The number of the job, or its handle
    #[arg(value_name = "NUMBER|HANDLE", value_parser = number)]
    job: JobNumber,
    /// Write the payload, as it is, and nothing else
    #[arg(long)]
    payload: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "payload")]
    json: bool,
}

/// The number in a handle, whatever the handle begins with.
fn number(text: &str) -> Result<JobNumber, String> {
    let digits = text.rsplit(':').next().unwrap_or(text);
    let number = digits.parse().ok().filter(|number| *number > 0);
    number.map(JobNumber).ok_or("write a number, or a handle such as H:host:17".to_owned())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn stats(directory: &Path, args: &Stats) -> Result<ExitCode, Failure> {
    let owner = DataDirectory::owner(directory);
    let inspector = Inspector::open(directory)?;
    let (head, groups) = (inspector.head()?, inspector.groups(now())?);
    let jobs: u64 = groups.iter().map(|group| group.jobs).sum();
    let bytes: u64 = groups.iter().map(|group| group.bytes).sum();
    let scheduled: u64 = groups.iter().map(|group| group.scheduled).sum();
    let next_start = groups.iter().filter_map(|group| group.next_start).min();
    let size = |name: &str| directory.join(name).metadata().map_or(0, |file| file.len());
    let (file, log) = (size("queue.db"), size("queue.db-wal"));
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        let rows: Vec<_> = groups
            .iter()
            .map(|group| {
                json!({
                    "function": String::from_utf8_lossy(&group.function), "priority": name_of(group.priority),
                    "jobs": group.jobs, "bytes": group.bytes, "scheduled": group.scheduled,
                    "next_start": group.next_start,
                })
            })
            .collect();
        let all = json!({
            "directory": directory, "running": owner.is_some(), "pid": owner.and_then(|owner| owner.pid),
            "format": head.format, "jobs": jobs, "bytes": bytes, "scheduled": scheduled, "next_start": next_start,
            "reserved_numbers": head.numbers, "reserved_places": head.orders, "file_bytes": file, "log_bytes": log,
            "functions": rows,
        });
        writeln!(out, "{all}")?;
    } else {
        let server = match owner {
            Some(owner) => owner.pid.map_or("running".to_owned(), |pid| format!("running, process {pid}")),
            None => "not running".to_owned(),
        };
        let first = next_start.map_or_else(String::new, |start| format!(", the first at {}", moment(start)));
        writeln!(out, "directory  {}\nserver     {server}", directory.display())?;
        writeln!(out, "format     {}\njobs       {jobs}, payloads of {bytes} bytes", head.format)?;
        writeln!(out, "scheduled  {scheduled}{first}")?;
        writeln!(out, "reserved   handle numbers up to {}", head.numbers)?;
        writeln!(out, "files      queue.db {file} bytes, log {log} bytes")?;
        if !groups.is_empty() {
            writeln!(out)?;
        }
        let mut table = Table::new(&["FUNCTION", "PRIORITY", "JOBS", "BYTES", "SCHEDULED"], &mut out);
        for group in groups {
            let numbers = [group.jobs, group.bytes, group.scheduled].map(|number| number.to_string());
            let names = [readable(&group.function), name_of(group.priority).to_owned()];
            table.row(names.into_iter().chain(numbers).collect())?;
        }
        table.end()?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(directory: &Path, args: &List) -> Result<ExitCode, Failure> {
    let bytes = |text: &Option<String>| text.as_ref().map(|text| Bytes::from(text.clone()));
    let (function, unique) = (bytes(&args.function), bytes(&args.unique));
    let filter = Filter { function, unique, priority: args.priority, limit: args.limit };
    let inspector = Inspector::open(directory)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    if args.json {
        let mut before = "[";
        let mut write = |job: &Entry| {
            write!(out, "{before}{}", serde_json::to_string(&Line::job(job))?)?;
            before = ",\n";
            io::Result::Ok(())
        };
        inspector.jobs(&filter, false, |job| go_on(&mut written, write(&job)))?;
        written?;
        writeln!(out, "{}", if before == "[" { "[]" } else { "]" })?;
    } else {
        let titles = ["NUMBER", "FUNCTION", "PRIORITY", "UNIQUE", "START", "RETRIES", "BYTES"];
        let mut table = Table::new(&titles, &mut out);
        let mut write = |job: &Entry| {
            table.row(vec![
                job.number.0.to_string(),
                readable(&job.function),
                name_of(job.priority).to_owned(),
                readable(&job.unique),
                moment(job.start),
                job.retries.to_string(),
                job.size.to_string(),
            ])
        };
        inspector.jobs(&filter, false, |job| go_on(&mut written, write(&job)))?;
        written?;
        table.end()?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Remembers why something ends.
pub(super) fn go_on(written: &mut io::Result<()>, now: io::Result<()>) -> ControlFlow<()> {
    match now {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *written = Err(error);
            ControlFlow::Break(())
        }
    }
}

pub(super) fn show(directory: &Path, args: &Show) -> Result<ExitCode, Failure> {
    let inspector = Inspector::open(directory)?;
    let Some(job) = inspector.job(args.job)? else {
        eprintln!(
            "conveyor store: no job has the number {}; `conveyor store list` says which there are",
            args.job.0
        );
        return Ok(ExitCode::from(NOT_FOUND));
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let payload = job.payload.clone().unwrap_or_default();
    if args.payload {
        out.write_all(&payload)?;
    } else if args.json {
        writeln!(out, "{}", serde_json::to_string(&Line::job(&job)).map_err(io::Error::from)?)?;
    } else {
        writeln!(out, "number    {}", job.number.0)?;
        writeln!(out, "function  {}", readable(&job.function))?;
        writeln!(out, "priority  {}", name_of(job.priority))?;
        writeln!(out, "unique    {}", readable(&job.unique))?;
        if let Some(reducer) = &job.reducer {
            writeln!(out, "reducer   {}", readable(reducer))?;
        }
        writeln!(out, "start     {}", moment(job.start))?;
        writeln!(out, "retries   {}", job.retries)?;
        writeln!(out, "place     {}", job.place)?;
        writeln!(out, "bytes     {}", job.size)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Columns for people at a terminal, tabs for programs. Rows are lined up as they come, so many at a time.
struct Table<'a, W> {
    out: &'a mut W,
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
    begun: bool,
    aligned: bool,
}

impl<'a, W: Write> Table<'a, W> {
    fn new(titles: &[&str], out: &'a mut W) -> Self {
        let titles = titles.iter().map(|title| (*title).to_owned()).collect();
        Self { out, titles, rows: Vec::new(), begun: false, aligned: io::stdout().is_terminal() }
    }

    fn row(&mut self, cells: Vec<String>) -> io::Result<()> {
        self.rows.push(cells);
        if self.rows.len() >= ROWS { self.write() } else { Ok(()) }
    }

    fn end(mut self) -> io::Result<()> {
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let titles = if self.begun { None } else { Some(&self.titles) };
        let all = || titles.into_iter().chain(&rows);
        let width = |column: usize| {
            let cells = all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.titles.len()).map(width).collect();
        for row in all() {
            if self.aligned {
                let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
                writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
            } else {
                writeln!(self.out, "{}", row.join("\t"))?;
            }
        }
        self.begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_of_any_host_ends_with_the_number() {
        assert_eq!(number("17"), Ok(JobNumber(17)));
        assert_eq!(number("H:other.host:17"), Ok(JobNumber(17)));
        for wrong in ["", "0", "H:host:", "H:host:x", "-1"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}

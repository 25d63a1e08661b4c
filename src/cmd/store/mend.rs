//! `check` and `repair`.

use super::{Failure, name_of};
use conveyor_server::store::sqlite::{self, Lost, Repaired};
use serde_json::json;
use std::cmp::Reverse;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Ranges of numbers that people are told of.
const RANGES: usize = 20;

/// Options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  conveyor store check\n\nExit codes: 0 all is well, 1 it is damaged.")]
pub(super) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  conveyor store repair\n  conveyor store repair --output rescued.db")]
pub(super) struct Repair {
    /// Write the new queue to this file, and leave the damaged one in its place
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn check(directory: &Path, args: &Check) -> Result<ExitCode, Failure> {
    let problems = sqlite::check(directory)?;
    let fine = problems.is_empty();
    if args.json {
        println!("{}", json!({ "ok": fine, "problems": problems }));
    } else if fine {
        println!("OK");
    } else {
        for problem in &problems {
            println!("{problem}");
        }
        eprintln!(
            "conveyor store: the queue in {} is damaged\nStop the server, copy the directory, and run `conveyor store \
             repair`: it makes a new queue of all that can be read and keeps this one.",
            directory.display()
        );
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn repair(directory: &Path, args: &Repair) -> Result<ExitCode, Failure> {
    let repaired = sqlite::repair(directory, args.output.as_deref())?;
    if args.json {
        let lost: Vec<_> = repaired
            .lost
            .iter()
            .map(|lost| json!({ "priority": name_of(lost.priority), "from": lost.from.0, "to": lost.to.0 }))
            .collect();
        let all = json!({
            "file": repaired.file, "damaged": repaired.damaged, "jobs": repaired.jobs, "lost": lost,
            "unnamed": repaired.unnamed, "numbers_guessed": repaired.numbers_guessed,
            "without_head": repaired.without_head,
        });
        println!("{all}");
    } else {
        print!("{}", words(&repaired));
    }
    Ok(ExitCode::SUCCESS)
}

fn words(repaired: &Repaired) -> String {
    let mut out = format!("{} jobs are in {}\n", repaired.jobs, repaired.file.display());
    // Writing to memory that grows cannot fail.
    if let Some(damaged) = &repaired.damaged {
        let _ = writeln!(out, "the damaged queue is now {}", damaged.display());
    }
    if repaired.without_head {
        out.push_str("the first page of the file was not usable and was made anew\n");
    }
    if repaired.lost.is_empty() {
        out.push_str("every job could be read\n");
    }
    let most = |lost: &Lost| lost.to.0.saturating_sub(lost.from.0).saturating_add(1);
    // The widest say most.
    let mut widest = repaired.lost.clone();
    widest.sort_by_key(|lost| Reverse(most(lost)));
    for lost in widest.iter().take(RANGES) {
        let (priority, from, to) = (name_of(lost.priority), lost.from.0, lost.to.0);
        let _ = writeln!(
            out,
            "not readable: numbers {from} to {to} of priority {priority}, at most {} jobs",
            most(lost)
        );
    }
    if widest.len() > RANGES {
        let more = widest.len() - RANGES;
        let numbers = widest.iter().skip(RANGES).fold(0_u64, |sum, lost| sum.saturating_add(most(lost)));
        let _ = writeln!(
            out,
            "not readable: {more} smaller ranges of {numbers} numbers in all; --json lists them"
        );
    }
    for (name, jobs) in &repaired.unnamed {
        let _ = writeln!(out, "{jobs} jobs are of the function {name}: its real name could not be read");
    }
    if repaired.numbers_guessed {
        out.push_str(
            "which numbers had been given out could not be read: new handles begin a million higher\n",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_common::{JobNumber, Priority};

    #[test]
    fn many_ranges_are_summed_up() {
        let lost = |from, to| Lost { priority: Priority::Low, from: JobNumber(from), to: JobNumber(to) };
        let ranges = (1..=50).map(|n| lost(n * 100, n * 100 + 1)).chain([lost(7000, 7999)]);
        let text = words(&Repaired { lost: ranges.collect(), ..Repaired::default() });
        assert!(
            text.contains("7000 to 7999 of priority low, at most 1000 jobs\nnot readable: numbers 100 to"),
            "{text}"
        );
        assert!(text.contains("31 smaller ranges of 62 numbers"), "{text}");
    }
}

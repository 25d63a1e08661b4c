//! `check` and `repair`.

use super::{Failure, name_of};
use conveyor_server::store::sqlite::{self, Repaired};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `repair`.
#[derive(Debug, clap::Args)]
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
    for lost in &repaired.lost {
        let (priority, from, to) = (name_of(lost.priority), lost.from.0, lost.to.0);
        let most = to.saturating_sub(from).saturating_add(1);
        let _ =
            writeln!(out, "not readable: numbers {from} to {to} of priority {priority}, at most {most} jobs");
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

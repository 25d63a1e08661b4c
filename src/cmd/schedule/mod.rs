//! `conveyor schedule`: what is due when, what came of it, and a start by hand.

mod run_now;
mod status;

use crate::config::{CONFIG_FILE, CONFIG_VARIABLE};
use crate::schedules::config::{self, Schedule, What};
use crate::schedules::now;
use crate::state::STATE_VARIABLE;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  conveyor schedule check                      is conveyor.toml right?
  conveyor schedule list
  conveyor schedule next nightly -n 3          the next three due times
  conveyor schedule status                     next and last runs, with their outcomes
  conveyor schedule run-now nightly            at once, as if it were due

`conveyor server --config FILE` and `conveyor all-in-one` run schedules.

Exit codes: 0 success, 1 failure (the message says what to do), 2 wrong usage.
Of run-now: 0 the run went well or the job was accepted, 75 another run goes on,
else the exit code of the run, or 1.";

/// Options of `conveyor schedule`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Configuration file with [schedule.NAME] tables
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE, global = true, env = CONFIG_VARIABLE)]
    config: PathBuf,
    /// Directory in which is kept what schedules have done (default: as for --data-dir of the server)
    #[arg(long, value_name = "DIRECTORY", global = true, env = STATE_VARIABLE)]
    state_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// All schedules
    List,
    /// What is due next, what runs, and how the last runs ended
    Status {
        /// Only this one
        name: Option<String>,
    },
    /// The next due times of a schedule
    Next {
        /// Its name
        name: String,
        /// How many
        #[arg(short, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        number: u16,
    },
    /// Start a schedule at once, in the foreground
    RunNow {
        /// Its name
        name: String,
        /// The server of jobs that name none
        #[arg(long, value_name = "HOST:PORT", default_value = crate::schedules::keeper::DEFAULT_SERVER)]
        server: String,
    },
    /// Check the configuration file
    Check,
}

/// Answers the question.
pub(crate) fn run(args: &Args) -> ExitCode {
    match answer(args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("conveyor schedule: {message}");
            ExitCode::FAILURE
        }
    }
}

fn answer(args: &Args) -> Result<ExitCode, String> {
    let schedules = config::read(&args.config)?;
    match &args.question {
        Question::List => list(&schedules, args.json),
        Question::Status { name } => {
            let only = name.as_deref().map(|name| find(&schedules, name, args)).transpose()?;
            let shown: Vec<&Schedule> = only.map_or_else(|| schedules.iter().collect(), |only| vec![only]);
            status::print(&shown, args.state_dir.as_deref(), args.json)?;
        }
        Question::Next { name, number } => next(find(&schedules, name, args)?, *number, args.json),
        Question::RunNow { name, server } => {
            let schedule = find(&schedules, name, args)?.clone();
            return run_now::run(schedule, server, args);
        }
        Question::Check if args.json => println!("{}", json!({ "schedules": schedules.len() })),
        Question::Check => println!("{}: {} schedules, all well", args.config.display(), schedules.len()),
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(schedules: &'a [Schedule], name: &str, args: &Args) -> Result<&'a Schedule, String> {
    schedules.iter().find(|schedule| schedule.plan.name == name).ok_or_else(|| {
        let names: Vec<&str> = schedules.iter().map(|schedule| schedule.plan.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("{} has no schedule '{name}'; it has: {known}", args.config.display())
    })
}

/// What a schedule starts, for people.
fn what(schedule: &Schedule) -> String {
    match &schedule.what {
        What::Run(name) => format!("run {name}"),
        What::Job(job) => format!("job {}", job.function),
    }
}

/// The next due time, unless it is off.
fn next_due(schedule: &Schedule) -> Option<i64> {
    if schedule.plan.enabled { schedule.plan.timetable.next(now()) } else { None }
}

/// A moment, for programs: as RFC 3339 in UTC, and as the clocks of the zone show it.
fn moment(schedule: &Schedule, at: i64) -> Value {
    json!({ "utc": conveyor_client::schedule::stamp(at), "shown": schedule.plan.timetable.shown(at) })
}

fn list(schedules: &[Schedule], as_json: bool) {
    if as_json {
        let rows: Vec<Value> = schedules
            .iter()
            .map(|schedule| {
                let plan = &schedule.plan;
                json!({
                    "name": plan.name,
                    "cron": plan.timetable.expression(),
                    "zone": plan.timetable.zone(),
                    "starts": what(schedule),
                    "overlap": format!("{:?}", plan.overlap).to_lowercase(),
                    "missed": format!("{:?}", plan.missed).to_lowercase(),
                    "jitter_ms": plan.jitter,
                    "grace_ms": plan.grace,
                    "enabled": plan.enabled,
                    "next": next_due(schedule).map(|due| moment(schedule, due)),
                })
            })
            .collect();
        return println!("{}", Value::Array(rows));
    }
    let mut rows = vec![["NAME", "CRON", "ZONE", "STARTS", "OVERLAP", "NEXT"].map(str::to_owned)];
    for schedule in schedules {
        let plan = &schedule.plan;
        rows.push([
            plan.name.clone(),
            plan.timetable.expression().to_owned(),
            plan.timetable.zone().to_owned(),
            what(schedule),
            format!("{:?}", plan.overlap).to_lowercase(),
            next_due(schedule).map_or_else(|| "off".to_owned(), |due| plan.timetable.shown(due)),
        ]);
    }
    print!("{}", table(&rows));
}

fn next(schedule: &Schedule, number: u16, as_json: bool) {
    let plan = &schedule.plan;
    let dues = std::iter::successors(plan.timetable.next(now()), |due| plan.timetable.next(*due));
    for due in dues.take(number.into()) {
        let start = plan.start_at(due);
        if as_json {
            println!("{}", json!({ "due": moment(schedule, due), "starts": moment(schedule, start) }));
        } else if start == due {
            println!("{}", plan.timetable.shown(due));
        } else {
            println!("{}  starts {}", plan.timetable.shown(due), plan.timetable.shown(start));
        }
    }
}

/// Columns of equal width.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

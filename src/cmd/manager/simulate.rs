//! `conveyor manager simulate`.

use super::policy::PolicyArgs;
use super::{Failure, mebibytes};
use clap::ValueHint;
use conveyor_common::Millis;
use conveyor_worker::manager::load::{Exceeded, Plan, Snapshot};
use conveyor_worker::probe::{Probe, Trace};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  conveyor manager simulate trace.csv --wanted 5
  conveyor manager simulate trace.csv --memory-percent 20 --cpu-percent 75
  conveyor manager simulate trace.csv --policy legacy --json
  conveyor manager sensors --pid 4711 --record trace.csv --count 60      makes a trace

A trace is what was: decisions change nothing in it. docs/manager.md has the format, for traces of your own.

Exit codes: 0 success, 1 the trace cannot be read or makes no sense (the message says in which line), 2 wrong usage.";

/// Options of `conveyor manager simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The trace; `-` is standard input
    #[arg(value_name = "TRACE", value_hint = ValueHint::FilePath)]
    trace: PathBuf,
    /// So many more performers are wanted, all the time
    #[arg(long, value_name = "N", default_value_t = 1)]
    wanted: u32,
    /// Processors (default: those of the machine where the trace was recorded)
    #[arg(long, value_name = "N", value_parser = cores)]
    cores: Option<f64>,
    /// Print JSON, one line a decision
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyArgs,
}

fn cores(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(cores @ 0.01..=100_000.0) => Ok(cores),
        _ => Err("write a number from 0.01 on".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let input: Box<dyn BufRead> = if args.trace.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.trace);
        let name = args.trace.display();
        let file = file.map_err(|error| Failure::Told(format!("cannot read {name}: {error}")))?;
        Box::new(BufReader::new(file))
    };
    let mut trace = Trace::new(input)?;
    let cores = args.cores.unwrap_or_else(|| trace.cores());
    let mut policy = args.policy.policy(cores).map_err(Failure::Told)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = loop {
        match trace.read() {
            Ok(Some((now, snapshot))) => {
                let plan = policy.decide(now, &snapshot, args.wanted);
                if args.json {
                    writeln!(out, "{}", as_json(now, &snapshot, &plan))?;
                } else {
                    writeln!(out, "{}", as_text(now, &snapshot, &plan))?;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        }
    };
    // What was decided before a line that makes no sense is printed as well.
    out.flush()?;
    outcome
}

/// Memory and load of all processes.
fn sums(snapshot: &Snapshot) -> (f64, f64) {
    let all = snapshot.performers.iter().chain(&snapshot.own);
    all.fold((0.0, 0.0), |(kib, load), one| (kib + one.resident_kib, load + one.cpu_percent))
}

fn as_text(now: Millis, snapshot: &Snapshot, plan: &Plan) -> String {
    let (resident, load) = sums(snapshot);
    let seconds = now.0 as f64 / 1000.0;
    let stalls = snapshot.pressure.map(|stalls| {
        format!(", stalls {:.1} % memory {:.1} % processors", stalls.memory_full, stalls.cpu_some)
    });
    format!(
        "{seconds:.3} s: {} free, {:.1} % idle{}; {} performers, {} and {load:.1} % load: {}",
        mebibytes(snapshot.free_kib),
        snapshot.idle_percent,
        stalls.unwrap_or_default(),
        snapshot.performers.len(),
        mebibytes(resident),
        in_words(plan),
    )
}

/// A plan for people.
fn in_words(plan: &Plan) -> String {
    let mut words = Vec::new();
    if plan.critical_finish {
        words.push("tell the client that there is no memory for its work".to_owned());
    }
    for (what, pids) in [("pause", &plan.pause), ("resume", &plan.resume), ("shed", &plan.shed)] {
        if !pids.is_empty() {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            words.push(format!("{what} {}", pids.join(" ")));
        }
    }
    match plan.exceeded {
        Some(Exceeded::Memory) => words.push("for too much memory".to_owned()),
        Some(Exceeded::Cpu) => words.push("for too much load".to_owned()),
        None => {}
    }
    words.push(match (plan.start, plan.why) {
        (0, Some(why)) => format!("start none: {why}"),
        (0, None) => "start none".to_owned(),
        (start, _) => format!("start {start}"),
    });
    words.join(", ")
}

fn as_json(now: Millis, snapshot: &Snapshot, plan: &Plan) -> Value {
    let (resident, load) = sums(snapshot);
    let exceeded = plan.exceeded.map(|exceeded| match exceeded {
        Exceeded::Memory => "memory",
        Exceeded::Cpu => "cpu",
    });
    json!({
        "time_ms": now.0,
        "free_kib": snapshot.free_kib,
        "idle_percent": snapshot.idle_percent,
        "memory_full": snapshot.pressure.map(|stalls| stalls.memory_full),
        "cpu_some": snapshot.pressure.map(|stalls| stalls.cpu_some),
        "performers": snapshot.performers.len(),
        "resident_kib": resident,
        "cpu_percent": load,
        "start": plan.start,
        "pause": plan.pause,
        "resume": plan.resume,
        "shed": plan.shed,
        "exceeded": exceeded,
        "critical_finish": plan.critical_finish,
        "why": plan.why.map(|why| why.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_worker::manager::load::Why;

    #[test]
    fn plans_are_told_in_words() {
        let plan =
            Plan { pause: vec![7, 8], exceeded: Some(Exceeded::Cpu), why: Some(Why::Cpu), ..Plan::default() };
        let words = in_words(&plan);
        assert_eq!(
            words,
            "pause 7 8, for too much load, start none: another one might be too much for the processors"
        );
        assert_eq!(in_words(&Plan { start: 2, ..Plan::default() }), "start 2");
    }
}

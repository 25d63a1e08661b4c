//! `conveyor manager sensors`.

use super::{Failure, mebibytes};
use clap::ValueHint;
use conveyor_common::Millis;
use conveyor_worker::manager::load::Snapshot;
use conveyor_worker::probe::{Linux, Measured, MemoryFrom, Probe, Reading, Recorder, Report, Watched};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  conveyor manager sensors
  conveyor manager sensors --pid 4711 --pid 4712 --interval 5s
  conveyor manager sensors --pid 4711 --watch --json
  conveyor manager sensors --pid 4711 --record trace.csv --count 60

Loads and idle time are those of the interval. The first line of a group counts, the others are larger limits.
With --watch and --pid it ends when the processes have ended.

Exit codes: 0 success, 1 nothing can be measured or there is no such process, 2 wrong usage.";

/// Options of `conveyor manager sensors`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Measure this process with all that descends from it, as a performer; several are allowed
    #[arg(long = "pid", value_name = "N")]
    pids: Vec<u32>,
    /// Print JSON, one line a measurement
    #[arg(long)]
    json: bool,
    /// Go on until interrupted
    #[arg(long)]
    watch: bool,
    /// Measure so many times
    #[arg(long, value_name = "N", conflicts_with = "watch", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Time between two measurements, such as 500ms or 2s
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "1s")]
    interval: Duration,
    /// Write the measurements to this file too, as a trace for `conveyor manager simulate`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    record: Option<PathBuf>,
    /// Where `proc` and `sys` are
    #[arg(long, value_name = "DIRECTORY", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Reads `500ms` or `2s`.
fn interval(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => (text, 1000),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let ms = ms.filter(|ms| (10..=3_600_000).contains(ms));
    ms.map(Duration::from_millis).ok_or("write 10ms to 3600s, such as 500ms or 2s".to_owned())
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut linux = Linux::below(&args.root);
    let mut performers = Vec::new();
    for (pid, kind) in args.pids.iter().zip(0..) {
        let start_time = linux.start_time(*pid);
        if start_time.is_none() {
            return Err(Failure::Told(format!("there is no process {pid}, or it has ended")));
        }
        performers.push(Watched { pid: *pid, kind, start_time });
    }
    let start = Instant::now();
    // The first measurement knows of no load.
    linux.measure(Millis::default(), &performers, &[std::process::id()])?;
    let Some(path) = &args.record else {
        return repeat(args, start, &performers, linux, |linux| linux.report());
    };
    let file = File::create(path);
    let file = file.map_err(|error| Failure::Told(format!("cannot write {}: {error}", path.display())))?;
    let recorder = Recorder::new(linux, BufWriter::new(file))?;
    repeat(args, start, &performers, recorder, |recorder| recorder.probe().report())
}

/// Measures and prints as often as is asked for.
fn repeat<P: Probe>(
    args: &Args,
    start: Instant,
    performers: &[Watched],
    mut probe: P,
    report: impl Fn(&P) -> &Report,
) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let mut due = start;
    let mut measured = 0;
    loop {
        due += args.interval;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        let before = cpu_time_ms();
        let snapshot = probe.measure(now, performers, &[std::process::id()])?;
        let cost_ms = cpu_time_ms() - before;
        let report = report(&probe);
        if args.json {
            writeln!(out, "{}", as_json(now, &snapshot, report, cost_ms))?;
        } else {
            if measured > 0 {
                writeln!(out)?;
            }
            out.write_all(as_text(report).as_bytes())?;
            writeln!(out, "\n{cost_ms:.2} ms of CPU time for this measurement")?;
        }
        out.flush()?;
        measured += 1;
        let all_gone = !performers.is_empty() && snapshot.performers.is_empty();
        if all_gone || (!args.watch && measured >= args.count) {
            return Ok(());
        }
    }
}

/// CPU time of this thread so far.
fn cpu_time_ms() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_nsec as f64 / 1e6 + time.tv_sec as f64 * 1e3
}

fn readings(name: &str, readings: &[Reading], show: impl Fn(f64) -> String) -> Vec<[String; 3]> {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    let row =
        |(name, reading): (&str, &Reading)| [name.to_owned(), show(reading.value), reading.source.clone()];
    names.zip(readings).map(row).collect()
}

fn as_text(report: &Report) -> String {
    let percent = |value: f64| format!("{value:.1} %");
    let mut rows = readings("memory", &report.memory, mebibytes);
    rows.extend(readings("processors", &report.cores, |cores| format!("{cores:.2}")));
    for (name, reading) in [
        ("idle", &report.idle),
        ("stalls for memory", &report.memory_full),
        ("stalls for processors", &report.cpu_some),
    ] {
        rows.extend(readings(name, reading.as_slice(), percent));
    }
    let mut out = String::new();
    for [name, value, source] in rows {
        out.push_str(&format!("{name:<21}  {value:>13}  {source}\n"));
    }
    for note in &report.notes {
        out.push_str(note);
        out.push('\n');
    }
    out.push_str("\n       PID  PROCESSES         MEMORY     LOAD  MEMORY FROM\n");
    let mut line = |measured: &Measured, whose: &str| {
        let Measured { pid, processes, resident_kib, memory_from, cpu_percent } = measured;
        let (memory, from) = (mebibytes(*resident_kib), name_of(*memory_from));
        out.push_str(&format!(
            "{pid:>10}  {processes:>9}  {memory:>13}  {cpu_percent:>5.1} %  {from}{whose}\n"
        ));
    };
    report.performers.iter().for_each(|measured| line(measured, ""));
    report.own.iter().for_each(|measured| line(measured, " (this process)"));
    for pid in &report.gone {
        out.push_str(&format!("{pid:>10}  has ended\n"));
    }
    out
}

const fn name_of(from: MemoryFrom) -> &'static str {
    match from {
        MemoryFrom::Pss => "smaps_rollup: Pss",
        MemoryFrom::Estimate => "smaps_rollup: Pss, and growth since",
        MemoryFrom::Rss => "stat: rss; smaps_rollup cannot be read",
    }
}

fn as_json(now: Millis, snapshot: &Snapshot, report: &Report, cost_ms: f64) -> Value {
    let reading = |reading: &Reading| json!({ "value": reading.value, "source": reading.source });
    let all = |list: &[Reading]| list.iter().map(reading).collect::<Vec<_>>();
    let processes = |list: &[Measured]| {
        let process = |one: &Measured| {
            json!({
                "pid": one.pid,
                "processes": one.processes,
                "resident_kib": one.resident_kib,
                "memory_from": name_of(one.memory_from),
                "cpu_percent": one.cpu_percent,
            })
        };
        list.iter().map(process).collect::<Vec<_>>()
    };
    json!({
        "time_ms": now.0,
        "cost_ms": cost_ms,
        "free_kib": snapshot.free_kib,
        "idle_percent": snapshot.idle_percent,
        "memory": all(&report.memory),
        "processors": all(&report.cores),
        "idle": report.idle.as_ref().map(reading),
        "memory_full": report.memory_full.as_ref().map(reading),
        "cpu_some": report.cpu_some.as_ref().map(reading),
        "notes": report.notes,
        "performers": processes(&report.performers),
        "own": processes(&report.own),
        "gone": report.gone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_units() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        for wrong in ["", "s", "1m", "0s", "9ms", "3601s", "-1s", "18446744073709551615s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}

//! What the runs gave: a table for people, a document for programs.

use super::load::Load;
use super::measure::{Latency, Run};
use super::server::Server;
use serde::Serialize;
use std::fmt::Write;

/// One load on every server.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) load: &'static str,
    pub(super) about: &'static str,
    pub(super) clients: u32,
    pub(super) in_flight: u32,
    pub(super) workers: u32,
    pub(super) payload: u32,
    pub(super) functions: u32,
    /// The runs of each server, in the order of the servers.
    pub(super) servers: Vec<Runs>,
    /// The first server over the second, where there are two.
    pub(super) ratios: Option<Ratios>,
}

/// The runs of one server.
#[derive(Debug, Serialize)]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    pub(super) median: Run,
}

/// Ratios of the two servers, round by round.
#[derive(Debug, Serialize)]
pub(super) struct Ratios {
    rate: Option<Spread>,
    cpu: Option<Spread>,
    p50: Option<Spread>,
    p99: Option<Spread>,
    bytes_per_job: Option<Spread>,
}

/// A median, and what the rounds lie between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let median = *figures.get(figures.len() / 2)?;
        Some(Self { median, min: *figures.first()?, max: *figures.last()? })
    }
}

fn median_of(runs: &[Run], figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    Spread::of(runs.iter().filter_map(figure).collect()).map(|spread| spread.median)
}

fn median_latency(runs: &[Run], of: impl Fn(&Run) -> Option<Latency>) -> Option<Latency> {
    let figure = |read: fn(Latency) -> f64| median_of(runs, |run| of(run).map(read));
    Some(Latency {
        p50_us: figure(|latency| latency.p50_us)?,
        p99_us: figure(|latency| latency.p99_us)?,
        p999_us: figure(|latency| latency.p999_us)?,
        max_us: figure(|latency| latency.max_us)?,
    })
}

impl Runs {
    /// The runs, of which there is at least one, and the median of every figure by itself.
    pub(super) fn new(runs: Vec<Run>) -> Option<Self> {
        let first = runs.first()?;
        let classes = first.classes.iter().enumerate().filter_map(|(at, (name, _))| {
            let latency = median_latency(&runs, |run| run.classes.get(at).map(|(_, latency)| *latency))?;
            Some((name.clone(), latency))
        });
        let median = Run {
            per_second: median_of(&runs, |run| Some(run.per_second))?,
            latency: median_latency(&runs, |run| run.latency),
            classes: classes.collect(),
            cpu_us: median_of(&runs, |run| run.cpu_us),
            bytes_per_job: median_of(&runs, |run| run.bytes_per_job),
            ..first.clone()
        };
        Some(Self { runs, median })
    }
}

impl Ratios {
    pub(super) fn of(servers: &[Runs]) -> Option<Self> {
        let [ours, theirs] = servers else { return None };
        let rounds = || ours.runs.iter().zip(&theirs.runs);
        let spread = |figure: fn(&Run) -> Option<f64>| {
            Spread::of(
                rounds()
                    .filter_map(|(a, b)| Some(figure(a)? / figure(b)?))
                    .filter(|r| r.is_finite())
                    .collect(),
            )
        };
        Some(Self {
            rate: spread(|run| Some(run.per_second)),
            cpu: spread(|run| run.cpu_us),
            p50: spread(|run| run.latency.map(|latency| latency.p50_us)),
            p99: spread(|run| run.latency.map(|latency| latency.p99_us)),
            bytes_per_job: spread(|run| run.bytes_per_job),
        })
    }
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    pub(super) servers: &'a [Server],
    pub(super) rounds: u32,
    pub(super) results: &'a [Outcome],
}

/// The list of `--list`.
pub(super) fn list(loads: &[Load]) -> String {
    loads.iter().map(|load| format!("{:<18} {}\n", load.name, load.about)).collect()
}

/// The head of the table.
pub(super) fn head() -> String {
    format!(
        "{:<42}{:>12}{:>10}{:>10}{:>11}{:>12}{:>11}{:>10}",
        "load", "per second", "p50 us", "p99 us", "p99.9 us", "CPU us/op", "memory", "bytes/job"
    )
}

/// The rows of one load.
pub(super) fn rows(outcome: &Outcome, servers: &[Server]) -> String {
    let mut text = format!("{}: {}\n", outcome.load, outcome.about);
    for (server, runs) in servers.iter().zip(&outcome.servers) {
        let median = &runs.median;
        let memory = median.memory.map_or_else(String::new, mebibytes);
        let rate = grouped(median.per_second);
        let _ = write!(text, "  {:<40}{rate:>12}{}", server.name, latencies(median.latency));
        let _ = writeln!(
            text,
            "{:>12}{memory:>11}{:>10}",
            figure(median.cpu_us, 2),
            figure(median.bytes_per_job, 0)
        );
        for (class, latency) in &median.classes {
            let _ = writeln!(text, "    {class:<38}{:>12}{}", "", latencies(Some(*latency)));
        }
    }
    if let Some(ratios) = &outcome.ratios {
        let parts = [
            ("rate", ratios.rate),
            ("CPU", ratios.cpu),
            ("p50", ratios.p50),
            ("p99", ratios.p99),
            ("bytes/job", ratios.bytes_per_job),
        ];
        let shown = |(name, spread): (&str, Option<Spread>)| {
            spread.map(|Spread { median, min, max }| format!("{name} {median:.2} ({min:.2}-{max:.2})"))
        };
        let shown: Vec<String> = parts.into_iter().filter_map(shown).collect();
        let _ = writeln!(text, "  first / second: {}", shown.join(", "));
    }
    text
}

fn latencies(latency: Option<Latency>) -> String {
    let column = |read: fn(Latency) -> f64| figure(latency.map(read), 1);
    let (p50, p99) = (column(|latency| latency.p50_us), column(|latency| latency.p99_us));
    format!("{p50:>10}{p99:>10}{:>11}", column(|latency| latency.p999_us))
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// A number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(per_second: f64, p99_us: f64) -> Run {
        let latency = Latency { p50_us: 1.0, p99_us, p999_us: 3.0, max_us: 4.0 };
        Run {
            operations: 1,
            seconds: 1.0,
            per_second,
            latency: Some(latency),
            classes: Vec::new(),
            cpu_us: None,
            memory: None,
            bytes_per_job: None,
        }
    }

    #[test]
    fn medians_are_taken_figure_by_figure_and_ratios_round_by_round() {
        let ours = Runs::new(vec![run(30.0, 1.0), run(10.0, 9.0), run(20.0, 5.0)]).unwrap();
        assert_eq!(ours.median.per_second.to_bits(), 20_f64.to_bits());
        assert_eq!(ours.median.latency.map(|latency| latency.p99_us), Some(5.0));
        let theirs = Runs::new(vec![run(10.0, 1.0), run(10.0, 1.0), run(10.0, 1.0)]).unwrap();
        let ratios = Ratios::of(&[ours, theirs]).unwrap();
        assert_eq!(ratios.rate, Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(ratios.cpu, None);
        assert!(Runs::new(Vec::new()).is_none());
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([999.4, 1000.0, 1_234_567.0].map(grouped), ["999", "1,000", "1,234,567"]);
    }
}

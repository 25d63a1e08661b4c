//! What was typed after `conveyor bench`.

use super::load::LOADS;

/// Examples and exit codes, shown below the options by `--help`.
const AFTER_HELP: &str = "\
Examples:
  conveyor bench                                       every load against 127.0.0.1:4730
  conveyor bench --list                                the loads, and what each does
  conveyor bench 10.0.0.5:4730 --load foreground,drain two of them
  conveyor bench --vs 127.0.0.1:4731                   two servers in turns, and their ratios
  conveyor bench --load foreground --clients 64 --in-flight 2 --workers 32 --payload 1024
  conveyor bench --load echo --json | jq '.results[0].servers[0].median.per_second'

It makes functions named conveyor-bench-* on the server, and takes away what it has queued before it ends (not when
it is interrupted). Load on a server that others use is theirs to feel, too.

CPU is user and system time of the server's process, memory its resident set; both are only known when the server
runs on this machine.

Exit codes: 0 success, 1 the server could not be reached or broke off, 2 wrong usage.";

/// Options of `conveyor bench`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The server to load
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:4730")]
    pub(crate) server: String,

    /// A second server: both are loaded in turns and compared
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) vs: Option<String>,

    /// Which loads to run; all when not given
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(LOADS.iter().map(|load| load.name)))]
    pub(crate) load: Vec<String>,

    /// List the loads and run none
    #[arg(long)]
    pub(crate) list: bool,

    /// Seconds each load runs, where it is not a number of jobs
    #[arg(long, short, value_name = "N", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Times each load runs; the median is shown
    #[arg(long, short, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Connections that submit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clients: Option<u32>,

    /// Requests each of them keeps open; for the drains, jobs that each worker has at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) in_flight: Option<u32>,

    /// Connections that work
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) workers: Option<u32>,

    /// Bytes of each payload
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=67_108_864))]
    pub(crate) payload: Option<u32>,

    /// Functions that take turns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) functions: Option<u32>,

    /// Jobs, for the loads that are a number of jobs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) jobs: Option<u32>,

    /// Connections that are open and say nothing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) idle: Option<u32>,

    /// Jobs that wait in the queue of another function all the while
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    pub(crate) backlog: Option<u32>,

    /// Leave queued jobs on the server: it is thrown away anyhow
    #[arg(long)]
    pub(crate) leave_jobs: bool,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bar
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds @ 0.05..=3600.0) => Ok(seconds),
        _ => Err("a number of seconds between 0.05 and 3600".to_owned()),
    }
}

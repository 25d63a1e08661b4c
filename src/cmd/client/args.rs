//! What was typed after `conveyor client submit`.

use crate::cmd::servers::Servers;
use clap::ArgAction;
use conveyor_common::Priority;
use std::path::PathBuf;

/// Examples and exit codes, shown below the options by `--help`.
const AFTER_HELP: &str = "\
Examples:
  conveyor client submit -f reverse hello                  one job, its result on standard output
  conveyor client submit -f wc < /etc/passwd               the payload from standard input
  conveyor client submit -f resize -n --file photos.txt    one job a line, at most 100 at a time
  conveyor client submit -f mail -b --at +10m < letter     in the background, not before ten minutes from now
  conveyor client submit -f mail --at 'tomorrow 03:00' < letter
  conveyor client submit -f sleep 3 --json | jq .event     what happens, an object a line

With no payload as an argument, and without --file, it is read from standard input; -s submits an empty one instead.
Results are written as they are, in the order of the jobs; progress, warnings and failures go to standard error.

A time of --at that clocks skip is as much later on the clock; one that they show twice is the first to come.

Exit codes:
  0  every job is complete (in the background: accepted, with --wait: ended somehow)
  1  a job failed
  2  wrong usage
  3  a job has no outcome: no server, connection lost, out of time; the message says whether it may have run";

/// Options of `conveyor client submit`. Short letters are those of `gearman`, hence `-H` for help.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, disable_help_flag = true)]
pub(super) struct Submit {
    /// Function to submit to; several get the same payloads
    #[arg(long = "function", short, value_name = "NAME", required = true)]
    pub(super) functions: Vec<String>,

    #[command(flatten)]
    pub(super) servers: Servers,

    /// Milliseconds until a job is given up
    #[arg(long = "timeout-ms", short = 't', value_name = "MS")]
    pub(super) timeout_ms: Option<u64>,

    /// Submit in the background: print nothing (with -v the handle), wait for no result unless --wait is given
    #[arg(long, short)]
    pub(super) background: bool,

    /// Wait for the end of every job, as is done anyhow unless it is in the background. A job in the background is asked
    /// for until no server knows it any more; what came of it nobody can tell
    #[arg(long)]
    pub(super) wait: bool,

    /// High priority
    #[arg(long, short = 'I', conflicts_with = "low")]
    pub(super) high: bool,

    /// Low priority
    #[arg(long, short = 'L')]
    pub(super) low: bool,

    /// Priority: high, normal or low
    #[arg(long, value_name = "NAME", conflicts_with_all = ["high", "low"], value_parser = priority)]
    pub(super) priority: Option<Priority>,

    /// Start time, implies --background: 'tomorrow 03:00', 'monday 09:00', 03:00, '2026-12-01 03:00', RFC 3339, 'in 10
    /// minutes', +N with s, m, h or d, or @SECONDS since 1970-01-01 UTC
    #[arg(long, value_name = "TIME", value_parser = super::moment::moment)]
    pub(super) at: Option<super::moment::Moment>,

    /// One job a line of the payload
    #[arg(long = "lines", short = 'n')]
    pub(super) lines: bool,

    /// The same without the line ends
    #[arg(long = "stripped-lines", short = 'N')]
    pub(super) stripped_lines: bool,

    /// Write the function's name before each result
    #[arg(long, short = 'P')]
    pub(super) prefix: bool,

    /// Submit an empty payload instead of reading standard input
    #[arg(long = "no-input", short = 's')]
    pub(super) no_input: bool,

    /// Read payloads from this file instead of standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_input", "payloads"])]
    pub(super) file: Option<PathBuf>,

    /// Unique of the job: jobs of a function with the same one are done once
    #[arg(long, short, value_name = "KEY", conflicts_with = "unique_by_payload")]
    pub(super) unique: Option<String>,

    /// Unique made of function and payload: equal jobs are done once
    #[arg(long)]
    pub(super) unique_by_payload: bool,

    /// Write results as jobs end, not in the order of the jobs
    #[arg(long)]
    pub(super) unordered: bool,

    /// Most jobs at a time; one that has ended counts until its result is written
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) in_flight: u32,

    /// Print what happens, a JSON object a line
    #[arg(long)]
    pub(super) json: bool,

    /// A view of all jobs on standard error while they are done: at a terminal (auto), always, or never
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Progress::Auto)]
    pub(super) progress: Progress,

    /// Write results and failures only: no progress, no warnings, no summary
    #[arg(long, short, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Say more: handles of created jobs, and a summary
    #[arg(long, short)]
    pub(super) verbose: bool,

    /// Write the process id to this file while it runs
    #[arg(long, short = 'i', value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,

    /// Print this help
    #[arg(long, short = 'H', action = ArgAction::Help)]
    help: Option<bool>,

    /// Payloads, a job each
    #[arg(value_name = "PAYLOAD")]
    pub(super) payloads: Vec<std::ffi::OsString>,
}

/// When there is a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Progress {
    Always,
    Never,
    Auto,
}

fn priority(text: &str) -> Result<Priority, String> {
    match text {
        "high" => Ok(Priority::High),
        "normal" => Ok(Priority::Normal),
        "low" => Ok(Priority::Low),
        _ => Err("high, normal or low".to_owned()),
    }
}

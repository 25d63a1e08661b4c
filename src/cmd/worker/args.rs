//! What was typed after `conveyor worker`.

use crate::cmd::servers::Servers;
use clap::ArgAction;
use std::ffi::OsString;
use std::path::PathBuf;

/// Examples and exit codes, shown below the options by `--help`.
const AFTER_HELP: &str = "\
Examples:
  conveyor worker -f reverse -- rev                        `rev` for every job, one at a time
  conveyor worker -f resize --jobs 4 -- ./resize.sh        four at a time
  conveyor worker -f report --timeout-ms 60000 --memory-mib 500 -- php report.php
  conveyor worker -f lines -n -- grep ERROR                each line of the output sent at once
  conveyor worker -f resize --persistent --jobs 4 -- php worker.php   four processes, fed one job after another
  conveyor worker -f resize --persistent --max-jobs-per-process 500 -- python3 worker.py
  conveyor worker -f show                                  no command: payloads to standard output, empty results

The payload is the command's standard input, its standard output the result. With an exit code other than 0 the job fails,
and the end of standard error says why. On descriptor 3 the command may
report while it works, a line each: `progress 3 10`, `data TEXT`, `warning TEXT`. It finds the job as CONVEYOR_HANDLE,
CONVEYOR_FUNCTION and CONVEYOR_UNIQUE. No shell is involved.

With --persistent a process does one job after another: descriptors 3 and 4 carry jobs and results (docs/performer.md;
helpers for PHP, Python and sh are in performers/), standard output is noise. A process that crashes is started again,
after a pause, and its job goes back to the server. Limits of memory and CPU time are for the life of a process.

TERM and INT let running jobs end; a second one gives them back to the server.

Exit codes: 0 ended as it was told (a signal, --count, --idle-ms), 1 failure, 2 wrong usage.";

/// Options of `conveyor worker`. Short letters are those of `gearman -w`, hence `-H` for help.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, disable_help_flag = true)]
pub(crate) struct Args {
    /// Function to register; several are done by the same command
    #[arg(long = "function", short, value_name = "NAME", required = true)]
    pub(super) functions: Vec<String>,

    #[command(flatten)]
    pub(super) servers: Servers,

    /// End after so many jobs
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) count: Option<u32>,

    /// End when there was no job for so many milliseconds
    #[arg(long, value_name = "MS")]
    pub(super) idle_ms: Option<u64>,

    /// Jobs at a time
    #[arg(long, short, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) jobs: u32,

    /// Send each line of the output as data at once
    #[arg(long = "lines", short = 'n', conflicts_with = "stripped_lines")]
    pub(super) lines: bool,

    /// The same without the line ends
    #[arg(long = "stripped-lines", short = 'N')]
    pub(super) stripped_lines: bool,

    /// Milliseconds until a job's command gets TERM
    #[arg(long, value_name = "MS")]
    pub(super) timeout_ms: Option<u64>,

    /// Milliseconds from TERM to KILL
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub(super) grace_ms: u64,

    /// Most bytes of a result
    #[arg(long, value_name = "N", default_value_t = 64 << 20)]
    pub(super) max_output: usize,

    /// Address space of a command in MiB
    #[arg(long, value_name = "N")]
    pub(super) memory_mib: Option<u64>,

    /// CPU seconds of a command
    #[arg(long, value_name = "N")]
    pub(super) cpu_seconds: Option<u64>,

    /// Fail jobs by exceptions. Without it a warning says why and a plain failure follows, since the command `gearman`
    /// waits for ever after an exception
    #[arg(long)]
    pub(super) exceptions: bool,

    /// Set a variable for the commands
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) variables: Vec<(OsString, OsString)>,

    /// Where the commands run
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) directory: Option<PathBuf>,

    #[command(flatten)]
    pub(super) persistent: super::persistent::PersistentArgs,

    /// What to do when the worker-manager that started this worker is gone (see CONVEYOR_CONTROL_FD in docs/performer.md)
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = ManagerLost::Drain)]
    pub(super) when_manager_lost: ManagerLost,

    /// Name in the server's list of workers
    #[arg(long, value_name = "NAME")]
    pub(super) id: Option<String>,

    /// Write the process id to this file while it runs
    #[arg(long, short = 'i', value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,

    /// Say what is done, on standard error; with --persistent also what the processes write
    #[arg(long, short)]
    pub(super) verbose: bool,

    /// As `gearman` has it: worker mode, which this is anyhow
    #[arg(short = 'w', hide = true)]
    worker: bool,

    /// Print this help
    #[arg(long, short = 'H', action = ArgAction::Help)]
    help: Option<bool>,

    /// The command and its arguments; without one, payloads are written to standard output
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<OsString>,
}

/// What a worker without its manager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ManagerLost {
    /// End when the running jobs have ended
    Drain,
    /// Go on
    GoOn,
}

fn variable(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

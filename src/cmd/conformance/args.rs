//! What was typed after `conveyor conformance`.

use clap::ValueEnum;

/// Examples and exit codes, shown below the options by `--help`.
const AFTER_HELP: &str = "\
Examples:
  Every rule, each dangerous one on a server of its own:
    conveyor conformance --compat 1.1 \\
      --spawn 'gearmand --listen=127.0.0.1 --port={port} --log-file=none --pid-file=/tmp/{port}.pid {options}'
  A server that runs already (rules that need options or may harm it are skipped):
    conveyor conformance 127.0.0.1:4730
  One area, one rule, and a list of all:
    conveyor conformance 127.0.0.1:4730 --only coalesce R014
    conveyor conformance --list

Exit codes:
  0  every rule passed or was skipped (with --expect-bugs: exactly the known bugs failed)
  1  a rule failed (with --expect-bugs: something else than the known bugs failed)
  2  wrong usage, or the server could not be started or reached";

/// Options of `conveyor conformance`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// A running server; rules that need options or may harm it are skipped
    #[arg(value_name = "HOST:PORT", required_unless_present_any = ["spawn", "list"])]
    pub(crate) server: Option<String>,

    /// Start servers with this command; {port} and {options} are filled in, no shell is involved
    #[arg(long, value_name = "CMD", conflicts_with = "server")]
    pub(crate) spawn: Option<String>,

    /// Which behaviour is right where gearmand 1.1 and 2.0 differ
    #[arg(long, value_enum, default_value_t = Compat::V2_0)]
    pub(crate) compat: Compat,

    /// Print one JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Only rules whose id or area starts with one of these
    #[arg(long, value_name = "PREFIX", num_args = 1..)]
    pub(crate) only: Vec<String>,

    /// List the rules and run none
    #[arg(long)]
    pub(crate) list: bool,

    /// With --list: as Markdown tables
    #[arg(long, requires = "list")]
    pub(crate) markdown: bool,

    /// Rules run at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,

    /// How long an expected packet may take
    #[arg(long, value_name = "N", default_value_t = 2000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) timeout_ms: u64,

    /// Succeed only if exactly the rules that gearmand is known to break failed
    #[arg(long)]
    pub(crate) expect_bugs: bool,

    /// Let the started servers write to this terminal's standard error
    #[arg(long, requires = "spawn")]
    pub(crate) server_stderr: bool,
}

/// The two behaviours of gearmand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// gearmand 1.1
    #[value(name = "1.1")]
    V1_1,
    /// gearmand 2.0
    #[value(name = "2.0")]
    V2_0,
}

impl Compat {
    /// As typed after `--compat`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1",
            Self::V2_0 => "2.0",
        }
    }
}

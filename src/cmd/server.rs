//! `conveyor server`: the job server in the foreground.

use crate::cmd::pid_file::PidFile;
use crate::logging::Log;
use crate::port_owner;
use crate::schedules::{Prepared, ScheduleArgs};
use crate::settings::{self, Given, Settings, Verbosity};
use crate::signals::Signals;
use crate::storage::{Otherwise, StorageArgs};
use conveyor_server::core::Compat;
use conveyor_server::{Error, Server};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  conveyor server                                   all addresses, port 4730
  conveyor server -L 127.0.0.1 -p 4731 --verbose INFO
  conveyor server --compat 1.1 --job-retries 3      as Debian's gearmand, three attempts a job
  conveyor server --data-dir /srv/queue             background jobs are stored there
  conveyor server --queue-type builtin              everything in memory, as gearmand
  conveyor server --config conveyor.toml            and the schedules of this file

Signals: TERM and INT stop at once, USR1 when no job is left, HUP opens the log file again.
Exit codes: 0 stopped when told to, 1 could not start or go on, 2 wrong usage.

The protocol knows no passwords: listen on loopback or on a network you trust.";

/// Options of `conveyor server`. Those of gearmand mean what they mean there.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_version_flag = true)]
pub(crate) struct Args {
    /// Behave like gearmand 1.1 or 2.0 where they differ
    #[arg(long, value_name = "VERSION", value_parser = settings::parse_compat, default_value = "2.0")]
    compat: Compat,
    /// Address or name to listen on, may be repeated (default: all addresses, IPv4 and IPv6)
    #[arg(long, short = 'L', value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, short, value_name = "PORT", default_value_t = settings::DEFAULT_PORT)]
    port: u16,
    /// Connections the system may keep waiting
    #[arg(long, short, value_name = "N", default_value_t = 32)]
    backlog: i32,
    /// Accepted for gearmand's sake: one thread does the work of all
    #[arg(long, short, value_name = "N", default_value_t = 4)]
    threads: u32,
    /// How often a job may be lost with its worker. 2.0: -1 no limit, 0 never run again. 1.1: 0 no limit
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    job_retries: Option<i64>,
    /// Under --compat 1.1: functions of a worker take turns (2.0 always does)
    #[arg(long, short = 'R')]
    round_robin: bool,
    /// Sleeping workers told of a new job, 0 for all (default: as many as there are jobs)
    #[arg(long, short = 'w', value_name = "N")]
    worker_wakeup: Option<u32>,
    /// Send WORK_EXCEPTION to clients that did not ask for it
    #[arg(long)]
    exceptions: bool,
    /// What job handles start with (default: H: and the name of this machine)
    #[arg(long, value_name = "PREFIX")]
    job_handle_prefix: Option<String>,
    /// Accepted for gearmand's sake: tables grow by themselves
    #[arg(long, value_name = "N", default_value_t = 991)]
    hashtable_buckets: u32,
    /// Accepted for gearmand's sake: dead peers are always looked for
    #[arg(long)]
    keepalive: bool,
    /// Seconds of silence before a peer is probed, -1 for the default (default: 30)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    keepalive_idle: Option<i64>,
    /// Seconds between two probes, -1 for the default (default: 10)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    keepalive_interval: Option<i64>,
    /// Unanswered probes until a peer is dead, -1 for the default (default: 3)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keepalive_count: Option<i64>,
    /// Limit of open files to ask the system for
    #[arg(long, short, value_name = "N")]
    file_descriptors: Option<u64>,
    /// How much to log: FATAL ALERT CRITICAL ERROR WARNING NOTICE INFO DEBUG
    #[arg(long, value_name = "LEVEL", default_value = "ERROR", hide_possible_values = true)]
    verbose: Verbosity,
    /// File to log to, or stderr, or none
    #[arg(long, short, value_name = "FILE", default_value = "stderr")]
    log_file: String,
    /// File to write the process id to
    #[arg(long, short = 'P', value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Largest packet accepted, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = conveyor_common::limits::PACKET_BYTES_DEFAULT)]
    packet_limit: u64,
    /// A peer that has read nothing for 120 s is cut off when more bytes than this wait for it (default: 256 MiB)
    #[arg(long, value_name = "BYTES")]
    output_limit: Option<usize>,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    schedules: ScheduleArgs,
    /// Check the options and exit
    #[arg(long)]
    check_args: bool,
    /// Print the version and exit
    #[arg(long, short = 'V')]
    version: bool,
}

impl Args {
    fn given(&self) -> Given {
        Given {
            compat: Some(self.compat),
            listen: self.listen.clone(),
            port: Some(self.port),
            backlog: Some(self.backlog),
            job_retries: self.job_retries,
            round_robin: self.round_robin,
            worker_wakeup: self.worker_wakeup,
            exceptions: self.exceptions,
            job_handle_prefix: self.job_handle_prefix.clone(),
            hashtable_buckets: Some(self.hashtable_buckets),
            keepalive_idle: self.keepalive_idle,
            keepalive_interval: self.keepalive_interval,
            keepalive_count: self.keepalive_count,
            file_descriptors: self.file_descriptors,
            verbose: self.verbose,
            log_file: Some(self.log_file.clone()),
            pid_file: self.pid_file.clone(),
            packet_limit: Some(self.packet_limit),
            output_limit: self.output_limit,
            storage: self.storage.clone(),
            otherwise: Otherwise::Durable,
        }
    }
}

/// Runs the server until a signal ends it.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.version {
        println!("{}", settings::version(args.compat));
        return ExitCode::SUCCESS;
    }
    let outcome = Settings::resolve(&args.given()).and_then(|settings| {
        let schedules = args.schedules.prepare(None)?;
        if args.check_args { Ok(()) } else { serve(&settings, schedules) }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("conveyor server: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a server process to its end, and its schedules with it.
///
/// # Errors
/// Why it could not start, in words for the operator.
pub(crate) fn serve(settings: &Settings, schedules: Option<Prepared>) -> Result<(), String> {
    if let Some(limit) = settings.file_descriptors {
        raise_descriptor_limit(limit)?;
    }
    let log = Log::start(&settings.log, settings.verbose);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let signals = Signals::listen(&runtime)?;
    let _pid_file = settings.pid_file.as_deref().map(PidFile::write).transpose()?;
    let server = Server::bind(settings.server.clone()).map_err(|error| explain(&error))?;
    if let Some(store) = settings.server.store.as_ref().filter(|_| settings.says_where) {
        eprintln!("conveyor server: background jobs are stored in {store}");
    }
    for address in server.addresses() {
        tracing::info!(%address, pid = std::process::id(), "listening");
    }
    let mut server = server.spawn().map_err(|error| error.to_string())?;
    let schedules = schedules.map(|schedules| schedules.start(server.addresses())).transpose()?;
    runtime.block_on(signals.serve_until_told(&mut server, &log));
    if let Some(schedules) = schedules {
        schedules.stop();
    }
    server.join();
    tracing::info!("shutdown complete");
    Ok(())
}

/// An error of the server with a way out.
pub(crate) fn explain(error: &Error) -> String {
    let Error::Bind { address, .. } = error else { return error.to_string() };
    if !error.is_address_in_use() {
        return error.to_string();
    }
    let owner = port_owner::find(address.port()).map_or_else(String::new, |owner| format!(" by {owner}"));
    format!(
        "{address} is taken{owner}.\nStop that one, or choose another port with --port, for example --port {}.",
        address.port().wrapping_add(1)
    )
}

fn raise_descriptor_limit(wanted: u64) -> Result<(), String> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(wanted);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        limit.maximum = Some(wanted);
    }
    setrlimit(Resource::Nofile, limit)
        .map_err(|error| format!("cannot raise the limit of open files to {wanted}: {error}"))
}

//! `conveyor all-in-one`: a server and demo workers in one process.

use crate::cmd::server::explain;
use crate::config::CONFIG_FILE;
use crate::logging::Log;
use crate::schedules::{Prepared, ScheduleArgs};
use crate::settings::{self, DEFAULT_PORT, Given, LogTarget, Settings, Verbosity};
use crate::signals::Signals;
use crate::storage::{Otherwise, StorageArgs};
use bytes::Bytes;
use conveyor_server::Server;
use conveyor_server::core::Compat;
use conveyor_worker::{Job, Outcome, Worker};
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longest nap of the function `sleep`, in seconds.
const LONGEST_SLEEP: f64 = 3600.0;

/// Steps in which `sleep` reports its progress.
const SLEEP_STEPS: u32 = 10;

const EXAMPLES: &str = "\
Examples:
  conveyor all-in-one                       then, elsewhere:  gearman -f reverse hello
  conveyor all-in-one --port 4731           when 4730 is taken
  conveyor all-in-one --data-dir queue      background jobs outlive it
  conveyor all-in-one --config my.toml      with the schedules of my.toml, else of ./conveyor.toml
  gearman -f wc < /etc/passwd               lines, words and bytes
  gearman -f sleep 3                     with progress

Functions: echo reverse upper wc sleep fail
Exit codes: 0 stopped when told to (Ctrl-C), 1 could not start, 2 wrong usage.";

/// Options of `conveyor all-in-one`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long, short = 'L', value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: String,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, short, value_name = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Demo workers, each doing one job at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Behave like gearmand 1.1 or 2.0 where they differ
    #[arg(long, value_name = "VERSION", value_parser = settings::parse_compat, default_value = "2.0")]
    compat: Compat,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    schedules: ScheduleArgs,
    /// How much to log: FATAL ALERT CRITICAL ERROR WARNING NOTICE INFO DEBUG
    #[arg(long, value_name = "LEVEL", default_value = "WARNING", hide_possible_values = true)]
    verbose: Verbosity,
}

/// Runs until a signal ends it.
pub(crate) fn run(args: &Args) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("conveyor all-in-one: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> Result<(), String> {
    let settings = Settings::resolve(&Given {
        compat: Some(args.compat),
        listen: vec![args.listen.clone()],
        port: Some(args.port),
        verbose: args.verbose,
        storage: args.storage.clone(),
        otherwise: Otherwise::Memory,
        ..Given::default()
    })?;
    let schedules = args.schedules.prepare(Some(CONFIG_FILE))?;
    let log = Log::start(&LogTarget::Stderr, settings.verbose);
    let kept = match &settings.server.store {
        None => "jobs are kept in memory only".to_owned(),
        Some(store) => format!("background jobs are stored in {store}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let signals = Signals::listen(&runtime)?;
    let server = Server::bind(settings.server).map_err(|error| explain(&error))?;
    let mut server = server.spawn().map_err(|error| error.to_string())?;
    let address = server.addresses().first().copied().ok_or("there is no address to listen on")?;
    let scheduled = schedules.as_ref().map(Prepared::names);
    let schedules = schedules.map(|schedules| schedules.start(server.addresses())).transpose()?;
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for number in 1..=args.workers {
            let worker = demo_worker(&address.to_string(), number);
            workers.spawn(async move { worker.run().await });
        }
        greet(address.port(), args.workers, server.addresses(), &kept, scheduled.as_deref());
        signals.serve_until_told(&mut server, &log).await;
        workers.shutdown().await;
    });
    if let Some(schedules) = schedules {
        schedules.stop();
    }
    server.join();
    Ok(())
}

fn greet(port: u16, workers: u16, addresses: &[std::net::SocketAddr], kept: &str, scheduled: Option<&str>) {
    let option = if port == DEFAULT_PORT { String::new() } else { format!(" -p {port}") };
    let server = if port == DEFAULT_PORT { String::new() } else { format!(" --server 127.0.0.1:{port}") };
    println!("conveyor {} all-in-one", env!("CARGO_PKG_VERSION"));
    for address in addresses {
        println!("listening  {address} ({kept})");
    }
    println!("workers    {workers}, each with: echo reverse upper wc sleep fail");
    if let Some(names) = scheduled {
        println!("schedules  {names}");
    }
    println!("try        gearman{option} -f reverse hello");
    println!("look       conveyor admin{server} status");
    println!("stop       Ctrl-C");
}

fn demo_worker(address: &str, number: u16) -> Worker {
    Worker::new(address)
        .id(format!("demo-{number}"))
        .function("echo", |job: Job| async move { Outcome::Complete(job.payload().clone()) })
        .function("reverse", |job: Job| async move { Outcome::Complete(reverse(job.payload())) })
        .function("upper", |job: Job| async move { Outcome::Complete(upper(job.payload())) })
        .function("wc", |job: Job| async move { Outcome::Complete(count(job.payload())) })
        .function("sleep", sleep)
        .function("fail", |_| async { Outcome::Fail })
}

/// Characters in reverse order; bytes, where they are no text.
fn reverse(payload: &[u8]) -> Bytes {
    match std::str::from_utf8(payload) {
        Ok(text) => text.chars().rev().collect::<String>().into(),
        Err(_) => payload.iter().rev().copied().collect(),
    }
}

fn upper(payload: &[u8]) -> Bytes {
    match std::str::from_utf8(payload) {
        Ok(text) => text.to_uppercase().into(),
        Err(_) => payload.to_ascii_uppercase().into(),
    }
}

/// Lines, words and bytes, as `wc` counts them.
fn count(payload: &[u8]) -> Bytes {
    let lines = payload.iter().filter(|byte| **byte == b'\n').count();
    let words = payload.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    format!("{lines} {words} {}\n", payload.len()).into()
}

/// Sleeps as many seconds as the payload says, one by default, and reports its progress.
async fn sleep(job: Job) -> Outcome {
    let text = String::from_utf8_lossy(job.payload()).trim().to_owned();
    let seconds = if text.is_empty() { Ok(1.0) } else { text.parse::<f64>() };
    let Some(seconds) = seconds.ok().filter(|seconds| (0.0..=LONGEST_SLEEP).contains(seconds)) else {
        let message = format!("sleep: '{text}' is no number of seconds from 0 to {LONGEST_SLEEP}");
        return Outcome::Exception(message.into());
    };
    for step in 0..SLEEP_STEPS {
        job.progress(u64::from(step), u64::from(SLEEP_STEPS)).await;
        tokio::time::sleep(Duration::from_secs_f64(seconds / f64::from(SLEEP_STEPS))).await;
    }
    job.progress(u64::from(SLEEP_STEPS), u64::from(SLEEP_STEPS)).await;
    Outcome::Complete(format!("slept {seconds} s\n").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_functions_do_what_they_are_called() {
        assert_eq!(reverse("olé".as_bytes()), "élo".as_bytes());
        assert_eq!(reverse(b"\xff\x00a"), &b"a\x00\xff"[..]);
        assert_eq!(upper("straße".as_bytes()), "STRASSE".as_bytes());
        assert_eq!(count(b"one two\nthree"), &b"1 3 13\n"[..]);
    }
}

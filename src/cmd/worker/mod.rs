//! `conveyor worker`: a command for every job.

mod args;

pub(crate) use args::Args;

use crate::logging::Log;
use crate::settings::{LogTarget, Verbosity};
use bytes::Bytes;
use conveyor_worker::performer::{Command, Context, Ending, Limits, Output, Report};
use conveyor_worker::{Job, Outcome, Stop, Tls, Worker};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What all jobs have in common.
struct Performer {
    command: Command,
    limits: Limits,
    /// Failures are exceptions.
    exceptions: bool,
}

/// Works until it is told to stop.
pub(crate) fn run(args: &Args) -> ExitCode {
    let verbosity = if args.verbose { Verbosity::Info } else { Verbosity::Error };
    let _log = Log::start(&LogTarget::Stderr, verbosity);
    let tls = match args.servers.tls() {
        Ok(tls) => tls,
        Err(error) => {
            eprintln!("conveyor worker: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(work(args, tls)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conveyor worker: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn work(args: &Args, tls: Option<Tls>) -> std::io::Result<()> {
    let worker = worker(args, tls);
    let stop = worker.stop_handle();
    let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ended = tokio::select! {
        ended = worker.run() => ended,
        never = stop_when_told(&stop, term, int) => never,
    };
    tracing::info!(?ended, "worker ended");
    Ok(())
}

/// The first signal lets running jobs end, the second gives them back.
async fn stop_when_told<T>(
    stop: &Stop,
    mut term: tokio::signal::unix::Signal,
    mut int: tokio::signal::unix::Signal,
) -> T {
    for again in [false, true] {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if again {
            stop.now();
        } else {
            stop.drain();
        }
    }
    std::future::pending().await
}

fn worker(args: &Args, tls: Option<Tls>) -> Worker {
    let mut servers = args.servers.addresses().into_iter();
    let mut worker = Worker::new(servers.next().unwrap_or_default()).jobs(args.jobs as usize);
    for server in servers {
        worker = worker.server(server);
    }
    if let Some(tls) = tls {
        worker = worker.tls(tls);
    }
    if let Some(count) = args.count {
        worker = worker.max_jobs(count);
    }
    if let Some(idle_ms) = args.idle_ms {
        worker = worker.exit_when_idle(Duration::from_millis(idle_ms));
    }
    if let Some(id) = &args.id {
        worker = worker.id(id.clone());
    }
    let performer = Arc::new(performer(args));
    for function in &args.functions {
        let performer = Arc::clone(&performer);
        worker = worker.function(function, move |job| perform(Arc::clone(&performer), job));
    }
    worker
}

fn performer(args: &Args) -> Performer {
    let mut words = args.command.iter().cloned();
    let command = Command {
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        variables: args.variables.clone(),
        directory: args.directory.clone(),
        output: match (args.lines, args.stripped_lines) {
            (false, false) => Output::Result,
            (_, stripped) => Output::Lines { stripped },
        },
    };
    let limits = Limits {
        timeout: args.timeout_ms.map(Duration::from_millis),
        grace: Duration::from_millis(args.grace_ms),
        output_bytes: args.max_output,
        memory_bytes: args.memory_mib.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
        cpu_seconds: args.cpu_seconds,
        ..Limits::default()
    };
    Performer { command, limits, exceptions: args.exceptions }
}

/// Runs the command for one job, and hands on what it reports.
async fn perform(performer: Arc<Performer>, job: Job) -> Outcome {
    let context = Context {
        handle: job.handle().clone(),
        function: job.function().clone(),
        unique: job.unique().clone(),
    };
    let (sender, mut reports) = mpsc::channel(16);
    let performing = performer.command.perform(&performer.limits, &context, job.payload().clone(), sender);
    let relaying = async {
        while let Some(report) = reports.recv().await {
            match report {
                Report::Progress { numerator, denominator } => job.progress(numerator, denominator).await,
                Report::Data(data) => job.data(data).await,
                Report::Warning(text) => job.warning(text).await,
            }
        }
    };
    // When the job is taken away its command ends with the future.
    let ending = tokio::select! {
        (ending, ()) = async { tokio::join!(performing, relaying) } => ending,
        reason = job.cancelled() => {
            tracing::info!(job = %String::from_utf8_lossy(job.handle()), %reason, "given up");
            return Outcome::Fail;
        }
    };
    match ending {
        Ending::Complete(result) => Outcome::Complete(result),
        Ending::Failed(failure) => {
            tracing::info!(job = %String::from_utf8_lossy(job.handle()), reason = %failure.reason, "failed");
            let message = Bytes::from(failure.to_string());
            if performer.exceptions {
                return Outcome::Exception(message);
            }
            job.warning(message).await;
            Outcome::Fail
        }
    }
}

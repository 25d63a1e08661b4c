//! `conveyor worker`: a command for every job, or processes fed with one job after another.

mod args;
mod persistent;
mod print;

pub(crate) use args::Args;

use crate::cmd::pid_file::PidFile;
use crate::logging::Log;
use crate::settings::{LogTarget, Verbosity};
use bytes::Bytes;
use conveyor_worker::performer::{Command, Context, Ending, Failure, Hold, Limits, Output, Report};
use conveyor_worker::{Control, Job, Outcome, Stop, Tls, WhenLost, Worker};
use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// What does the jobs.
enum Performer {
    /// Standard output.
    Print,
    /// A process a job.
    Process(Process),
    /// Processes that are kept.
    Persistent(persistent::Performer),
}

/// What all jobs have in common that have a process each.
struct Process {
    command: Command,
    limits: Limits,
    /// Failures are exceptions.
    exceptions: bool,
}

/// Works until it is told to stop.
pub(crate) fn run(args: &Args) -> ExitCode {
    // Before anything else: it takes variables out of the environment.
    let control = match Control::from_env() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("conveyor worker: {error}; start it without that variable, or from a worker-manager");
            return ExitCode::from(2);
        }
    };
    let verbosity = match (args.verbose, args.persistent.persistent) {
        (false, _) => Verbosity::Error,
        (true, false) => Verbosity::Info,
        (true, true) => Verbosity::Debug,
    };
    let _log = Log::start(&LogTarget::Stderr, verbosity);
    let tls = match args.servers.tls() {
        Ok(tls) => tls,
        Err(error) => {
            eprintln!("conveyor worker: {error}");
            return ExitCode::from(2);
        }
    };
    let _pid_file = match args.pid_file.as_deref().map(PidFile::write).transpose() {
        Ok(file) => file,
        Err(message) => {
            eprintln!("conveyor worker: {message}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(work(args, tls, control)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conveyor worker: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn work(args: &Args, tls: Option<Tls>, control: Option<Control>) -> std::io::Result<()> {
    let performer = Arc::new(performer(args));
    let mut worker = worker(args, &performer, tls);
    if let Some(control) = control {
        worker = worker.control(controlled(args, control));
    }
    let stop = worker.stop_handle();
    let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let at_once = watch::Sender::new(false);
    let mut is_at_once = at_once.subscribe();
    let working = async {
        let ended = worker.run().await;
        tracing::info!(?ended, "worker ended");
        if let Performer::Persistent(performer) = &*performer {
            tokio::select! {
                () = performer.close() => {}
                _ = is_at_once.wait_for(|at_once| *at_once) => {}
            }
        }
    };
    tokio::select! {
        () = working => {}
        never = stop_when_told(&stop, &at_once, term, int) => never,
    }
    Ok(())
}

/// What the manager is told, and what becomes of the worker without it.
fn controlled(args: &Args, control: Control) -> Control {
    let name = args.id.clone().unwrap_or_else(|| args.functions.join(","));
    control.named(name, "conveyor worker").when_lost(match args.when_manager_lost {
        args::ManagerLost::Drain => WhenLost::Drain,
        args::ManagerLost::GoOn => WhenLost::GoOn,
    })
}

/// The first signal lets running jobs end, the second gives them back. A manager's word to end counts as a first one.
async fn stop_when_told<T>(
    stop: &Stop,
    at_once: &watch::Sender<bool>,
    mut term: tokio::signal::unix::Signal,
    mut int: tokio::signal::unix::Signal,
) -> T {
    for again in [false, true] {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if again || stop.is_terminated() {
            stop.now();
            at_once.send_replace(true);
        } else {
            stop.drain();
        }
    }
    std::future::pending().await
}

fn worker(args: &Args, performer: &Arc<Performer>, tls: Option<Tls>) -> Worker {
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
    if matches!(**performer, Performer::Persistent(_)) {
        // So that a job whose process crashes goes back alone.
        worker = worker.connection_per_job();
    }
    for function in &args.functions {
        let performer = Arc::clone(performer);
        worker = match *performer {
            Performer::Print => worker.blocking(function, |job| print::perform(&job)),
            Performer::Process(_) | Performer::Persistent(_) => {
                worker.function(function, move |job| perform(Arc::clone(&performer), job))
            }
        };
    }
    worker
}

fn performer(args: &Args) -> Performer {
    if args.command.is_empty() {
        return Performer::Print;
    }
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
    if args.persistent.persistent {
        return Performer::Persistent(persistent::Performer::new(args, command, limits));
    }
    Performer::Process(Process { command, limits, exceptions: args.exceptions })
}

async fn perform(performer: Arc<Performer>, job: Job) -> Outcome {
    match &*performer {
        Performer::Print => print::perform(&job),
        Performer::Process(process) => process.perform(job).await,
        Performer::Persistent(persistent) => persistent.perform(job).await,
    }
}

fn context(job: &Job) -> Context {
    Context { handle: job.handle().clone(), function: job.function().clone(), unique: job.unique().clone() }
}

/// Hands on what a command reports, until it has ended.
async fn relay(job: &Job, mut reports: mpsc::Receiver<Report>) {
    while let Some(report) = reports.recv().await {
        match report {
            Report::Progress { numerator, denominator } => job.progress(numerator, denominator).await,
            Report::Data(data) => job.data(data).await,
            Report::Warning(text) => job.warning(text).await,
        }
    }
}

impl Process {
    /// Runs the command for one job, and hands on what it reports.
    async fn perform(&self, job: Job) -> Outcome {
        let context = context(&job);
        let (sender, reports) = mpsc::channel(16);
        let hold = Hold::default();
        let payload = job.payload().clone();
        let performing = self.command.perform_held(&self.limits, &context, payload, sender, &hold);
        // When the job is taken away its command ends with the future.
        let ending = tokio::select! {
            (ending, ()) = async { tokio::join!(performing, relay(&job, reports)) } => ending,
            never = job.hold(|held| hold.set(held)) => match never {},
            reason = job.cancelled() => {
                tracing::info!(job = %String::from_utf8_lossy(job.handle()), %reason, "given up");
                return Outcome::Fail;
            }
        };
        let verdict = Verdict { job: &job, exceptions: self.exceptions };
        match ending {
            Ending::Complete(result) => Outcome::Complete(result),
            Ending::Failed(failure) => {
                verdict.log(&failure);
                verdict.failed(Bytes::from(failure.to_string())).await
            }
        }
    }
}

/// How a job fails.
struct Verdict<'a> {
    job: &'a Job,
    exceptions: bool,
}

impl Verdict<'_> {
    fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.job.handle())
    }

    fn log(&self, failure: &Failure) {
        tracing::info!(job = %self.name(), reason = %failure.reason, "failed");
    }

    /// By an exception, or by a warning and a plain failure.
    async fn failed(&self, message: Bytes) -> Outcome {
        if self.exceptions {
            return Outcome::Exception(message);
        }
        self.job.warning(message).await;
        Outcome::Fail
    }
}

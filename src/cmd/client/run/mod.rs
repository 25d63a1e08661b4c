//! `conveyor client run NAME`: a run of a conveyor client, from its lock to its report.
//!
//! The order: options, lock, journal to go on with, endpoints, tasks, new journal, run. Nothing is submitted before all of it is
//! there, and every part frees itself when the run ends, however it does.

pub(super) mod args;
mod cluster;
mod endpoints;
mod events;
mod id;
mod lines;
mod lock;
mod manager;
mod outcome;
mod plan;
mod progress;
mod resume;
mod signals;
mod tasks;
mod tell;
mod watch;

use crate::config::Tasks;
use crate::config::values::{Mode, Scope};
use crate::state::State;
use args::Run;
use cluster::ClusterLock;
use conveyor_client::run::{Abort, Journal, Report, RunError, RunSpec, RunTask};
use conveyor_common::Millis;
use endpoints::Endpoints;
use lock::{Lock, NoLock};
use outcome::Failure;
use plan::Plan;
use signals::Signals;
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch as channel;
use watch::Watch;

/// Runs `conveyor client run`.
pub(super) fn run(args: &Run) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Other(format!("cannot start: {error}")).told(&args.name),
    };
    let code = runtime.block_on(start(args));
    // A thread may be waiting for input that nobody wants any more.
    runtime.shutdown_background();
    code
}

async fn start(args: &Run) -> ExitCode {
    let plan = match Plan::resolve(args) {
        Ok(plan) => plan,
        Err(message) => return Failure::Usage(message).told(&args.name),
    };
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(message) => return Failure::Other(message).told(&args.name),
    };
    let (stop, _) = channel::channel(None);
    let (interrupt, terminate, first) = signals.parts();
    let ended = tokio::select! {
        ended = carry_out(args, &plan, &stop, first) => ended,
        code = Signals::second(interrupt, terminate, first, &stop) => Err(Failure::Signal(code)),
    };
    match ended {
        Ok(code) => code,
        Err(failure) => {
            if let (Some(message), false) = (failure.reason(), args.dry_run) {
                tell::of_failure(&plan, message).await;
            }
            failure.told(&args.name)
        }
    }
}

/// The whole run.
async fn carry_out(
    args: &Run,
    plan: &Plan,
    stop: &channel::Sender<Option<Abort>>,
    signal: &Cell<Option<u8>>,
) -> Result<ExitCode, Failure> {
    if !args.quiet {
        plan.notes.iter().for_each(|note| eprintln!("{}: {note}", plan.name));
    }
    let state = State::new(args.state_dir.as_deref()).map_err(Failure::Usage)?;
    let new_id = args.run_id.as_deref().map_or_else(id::new, id::safe);
    if args.dry_run {
        return dry_run(plan, &state, &new_id, stop, signal).await;
    }
    let host = lock(plan, &state, &new_id)?;
    let cluster = cluster_lock(plan, &new_id, stop, signal).await?;
    let mut locks = Locks { host, cluster };
    let ended = locked(args, plan, &state, &new_id, stop, signal, &mut locks).await;
    if let Some(cluster) = locks.cluster {
        cluster.release().await;
    }
    ended
}

/// What keeps others from running it.
struct Locks {
    host: Option<Lock>,
    cluster: Option<ClusterLock>,
}

/// The run, once nobody else can run it.
async fn locked(
    args: &Run,
    plan: &Plan,
    state: &State,
    new_id: &str,
    stop: &channel::Sender<Option<Abort>>,
    signal: &Cell<Option<u8>>,
    locks: &mut Locks,
) -> Result<ExitCode, Failure> {
    let past = match &args.resume {
        Some(which) => Some(resume::open(state, &plan.name, which.as_deref())?),
        None => None,
    };
    let run = past.as_ref().map_or(new_id, |past| &past.saved.run).to_owned();
    let failed = |what: &str, error: io::Error| Failure::Other(format!("{what}: {error}"));
    if let (Some(lock), Some(_)) = (&mut locks.host, &past) {
        lock.note(&run).map_err(|error| failed("cannot write down who has the lock", error))?;
    }
    let alive = state.alive().map_err(no_state)?;
    let endpoints = Endpoints::allot(&plan.endpoints, &alive, &run).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Busy(format!("is running already: {error}")),
        _ => failed("cannot allot endpoints", error),
    })?;
    let (spec, journal, path) = match &past {
        Some(_) => (None, None, PathBuf::new()),
        None => {
            let (function, from) = plan.work().map_err(Failure::Usage)?;
            let tasks = read(plan, &from, stop, signal).await?;
            let spec = plan.spec(&run, function, tasks, &endpoints);
            let (journal, path) = new_journal(state, &spec)?;
            (Some(spec), Some(journal), path)
        }
    };
    let (spec, journal, path, resumed) = match (spec, journal, past) {
        (_, _, Some(past)) => {
            let spec = plan.resumed(&past.saved, &endpoints).map_err(Failure::Usage)?;
            (spec, past.journal, past.path, Some(past.saved))
        }
        (Some(spec), Some(journal), None) => (spec, journal, path, None),
        _ => return Err(Failure::Other("there is neither a new run nor an old one".to_owned())),
    };
    let mut watch = Watch::open(args, plan, &spec, &path, resumed.as_ref())
        .map_err(|error| failed("cannot write the results", error))?;
    let is_new = resumed.is_none();
    let journal = journal.keep_results(args.output.is_some());
    let ran = watch.run(spec, journal, stop, locks.cluster.as_ref()).await;
    let written = watch.finish();
    let report = match ran {
        Ok(report) => report,
        Err(error) => {
            if let (RunError::Client(_), true) = (&error, is_new) {
                // Nothing was submitted, so there is nothing to go on with.
                let _ = std::fs::remove_file(&path);
            }
            return Err(error.into());
        }
    };
    if let Err(error) = state.prune(&plan.name, plan.keep) {
        eprintln!("{}: cannot remove old journals: {error}", plan.name);
    }
    conclude(args, &report, &path);
    tell::of_report(plan, &report, args.quiet).await;
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let message = format!("not all results could be written: {error}");
        if report.is_ok() {
            return Err(Failure::Other(message));
        }
        eprintln!("{}: {message}", plan.name);
    }
    Ok(outcome::code(&report, signal.get(), watch::lost(stop)))
}

/// Who is told how it went, apart from programs: they have it already.
fn conclude(args: &Run, report: &Report, journal: &Path) {
    if args.quiet && report.is_ok() {
        return;
    }
    eprint!("{report}");
    if !report.is_ok() {
        eprintln!("journal   {}", journal.display());
    }
}

fn lock(plan: &Plan, state: &State, run: &str) -> Result<Option<Lock>, Failure> {
    if plan.mode == Mode::Parallel {
        return Ok(None);
    }
    let path = state.lock(&plan.name).map_err(no_state)?;
    match Lock::take(&path, run) {
        Ok(lock) => Ok(Some(lock)),
        Err(NoLock::Held(holder)) => Err(Failure::Busy(held(&holder))),
        Err(NoLock::Io(error)) => Err(Failure::Other(format!("cannot lock {}: {error}", path.display()))),
    }
}

fn no_state(error: io::Error) -> Failure {
    Failure::Other(format!("{error}: give a directory for locks and journals with --state-dir"))
}

fn held(holder: &str) -> String {
    format!("is running already ({holder}): wait for it to end, or let runs be parallel with --mode parallel")
}

/// The lock on the first server, if there is to be one; its loss ends the run.
async fn cluster_lock(
    plan: &Plan,
    run: &str,
    stop: &channel::Sender<Option<Abort>>,
    signal: &Cell<Option<u8>>,
) -> Result<Option<ClusterLock>, Failure> {
    if plan.mode == Mode::Parallel || plan.scope == Scope::Host {
        return Ok(None);
    }
    let Some(server) = plan.servers.first() else { return Ok(None) };
    let holder = format!("pid {} on {}, run {run}", std::process::id(), lock::host());
    let taking = ClusterLock::take(server, plan.tls.as_ref(), &plan.name, holder);
    match or_stopped(taking, stop, signal).await? {
        Ok(lock) => Ok(Some(lock)),
        Err(cluster::NoLock::Held(whose)) => {
            Err(Failure::Busy(format!("is running already on another host ({whose}): wait for it to end")))
        }
        Err(cluster::NoLock::Unreachable(why)) => {
            Err(Failure::Unreachable(format!("the lock of the cluster cannot be had: {why}")))
        }
    }
}

async fn read(
    plan: &Plan,
    from: &Tasks,
    stop: &channel::Sender<Option<Abort>>,
    signal: &Cell<Option<u8>>,
) -> Result<Vec<RunTask>, Failure> {
    let tasks = or_stopped(tasks::read(from, plan.codec), stop, signal).await?;
    tasks.map_err(Failure::Usage)
}

/// What `work` gives, unless a signal comes first.
async fn or_stopped<T>(
    work: impl Future<Output = T>,
    stop: &channel::Sender<Option<Abort>>,
    signal: &Cell<Option<u8>>,
) -> Result<T, Failure> {
    let mut stopped = stop.subscribe();
    tokio::select! {
        done = work => Ok(done),
        _ = stopped.wait_for(Option::is_some) => {
            Err(signal.get().map_or_else(|| Failure::Other("stopped".to_owned()), Failure::Signal))
        }
    }
}

fn new_journal(state: &State, spec: &RunSpec) -> Result<(Journal, PathBuf), Failure> {
    let failed = |error: io::Error| Failure::Other(format!("the journal cannot be written: {error}"));
    let path = state.journal(&spec.name, &spec.run).map_err(no_state)?;
    match Journal::create(&path, spec, now()) {
        Ok(journal) => Ok((journal, path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Usage(format!(
            "there was a run {} before: choose another id, or go on with it by --resume {}",
            spec.run, spec.run
        ))),
        // What is there of it is of no use.
        Err(error) => {
            let _ = std::fs::remove_file(&path);
            Err(failed(error))
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Tasks that a dry run shows.
const SHOWN: usize = 5;

/// Says what would be run.
async fn dry_run(
    plan: &Plan,
    state: &State,
    run: &str,
    stop: &channel::Sender<Option<Abort>>,
    signal: &Cell<Option<u8>>,
) -> Result<ExitCode, Failure> {
    let (function, from) = plan.work().map_err(Failure::Usage)?;
    let tasks = read(plan, &from, stop, signal).await?;
    let failed = |error: io::Error| Failure::Other(format!("cannot look at the lock: {error}"));
    let lock = match plan.mode {
        Mode::Parallel => "none, runs are parallel".to_owned(),
        Mode::Consistent => match Lock::probe(&state.lock(&plan.name).map_err(failed)?) {
            Ok(()) => "free".to_owned(),
            Err(NoLock::Held(holder)) => format!("held ({holder})"),
            Err(NoLock::Io(error)) => return Err(failed(error)),
        },
    };
    let scope =
        if plan.scope == Scope::Cluster { ", and one on the first server (not looked at)" } else { "" };
    let policy = plan.policy(conveyor_client::run::Policy::default());
    println!("client    {} (run {run})", plan.name);
    println!("servers   {}", plan.servers.join(", "));
    println!("function  {function}, codec {}, priority {}", plan.codec, outcome::queue(plan.priority));
    println!("lock      {lock}{scope}");
    println!("tries     {} of a task, the second after {:?}", policy.attempts, policy.delay);
    println!("in flight {} at most", policy.in_flight);
    if let Some(manager) = &plan.manager {
        println!("manager   {} ({})", manager.function, manager.command);
    }
    println!("tasks     {}", tasks.len());
    for task in tasks.iter().take(SHOWN) {
        println!("  {}", outcome::task(task));
    }
    if tasks.len() > SHOWN {
        println!("  and {} more", tasks.len() - SHOWN);
    }
    Ok(ExitCode::SUCCESS)
}

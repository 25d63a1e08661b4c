//! Who watches a run: people on standard error, programs by events and results.

use super::args::Run;
use super::cluster::{ClusterLock, NoLock};
use super::events;
use super::lines::Lines;
use super::outcome::Lost;
use super::plan::Plan;
use super::progress::{Looks, Progress};
use super::signals::halt;
use conveyor_client::run::{
    Abort, Journal, OutcomeKind, Report, RunError, RunEvent, RunSpec, RunTask, Saved, TaskIndex, TaskState,
    run,
};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::interval;

/// How often a view is looked at when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Why a run ends whose lock is lost.
const TAKEN_OVER: &str = "another client has taken the lock over";
const LOCK_LOST: &str = "the lock of the cluster is lost";

/// Everybody who watches.
#[derive(Debug)]
pub(super) struct Watch {
    run: String,
    tasks: Arc<Vec<RunTask>>,
    progress: Mutex<Progress>,
    events: Option<Lines>,
    results: Option<Lines>,
    written: io::Result<()>,
}

impl Watch {
    /// Says that the run begins.
    ///
    /// # Errors
    /// The file of the results cannot be written.
    pub(super) fn open(
        args: &Run,
        plan: &Plan,
        spec: &RunSpec,
        journal: &Path,
        resumed: Option<&Saved>,
    ) -> io::Result<Self> {
        let results = match &args.output {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Lines::stdout()?),
            Some(path) => Some(Lines::file(path, resumed.is_some())?),
        };
        let events = args.json.then(Lines::stdout).transpose()?;
        let looks = match (args.quiet, args.no_progress || !io::stderr().is_terminal()) {
            (true, _) => Looks::Nobody,
            // Whoever reads events has it all.
            (false, true) if args.json => Looks::Nobody,
            (false, true) => Looks::Log,
            (false, false) => Looks::Terminal,
        };
        if !args.quiet {
            let (tasks, function) = (spec.tasks.len(), &spec.function);
            let how = if resumed.is_some() { "goes on with" } else { "begins" };
            eprintln!(
                "{}: {how} run {}, {tasks} tasks for {function} on {}",
                spec.name,
                spec.run,
                plan.servers.join(", ")
            );
            eprintln!("{}: journal {}", spec.name, journal.display());
        }
        let over = resumed.map(over).unwrap_or_default();
        Ok(Self {
            run: spec.run.clone(),
            tasks: Arc::clone(&spec.tasks),
            progress: Mutex::new(Progress::new(&spec.name, looks, over)),
            events,
            results,
            written: Ok(()),
        })
    }

    /// Runs it, watched. The loss of `cluster` ends it early.
    ///
    /// # Errors
    /// It could not begin, or its journal could not be written.
    pub(super) async fn run(
        &mut self,
        spec: RunSpec,
        journal: Journal,
        stop: &watch::Sender<Option<Abort>>,
        cluster: Option<&ClusterLock>,
    ) -> Result<Report, RunError> {
        let report = {
            let Self { run: id, tasks, progress, events, results, written } = self;
            let progress = &*progress;
            let seen = || progress.lock().unwrap_or_else(PoisonError::into_inner);
            let mut observe = |event: &RunEvent| {
                seen().event(tasks, event);
                let told = tell(id, tasks, event, events.as_mut(), results.as_mut());
                if told.is_err() && written.is_ok() {
                    *written = told;
                }
            };
            let mut running = std::pin::pin!(run(spec, journal, stop.subscribe(), &mut observe));
            let lost = async {
                match cluster {
                    Some(cluster) => cluster.lost().await,
                    None => std::future::pending().await,
                }
            };
            let mut lost = std::pin::pin!(lost);
            let (mut tick, mut held) = (interval(TICK), true);
            loop {
                tokio::select! {
                    ran = &mut running => break ran?,
                    _ = tick.tick() => seen().tick(),
                    why = &mut lost, if held => {
                        held = false;
                        halt(stop, Abort::Stopped(match why {
                            NoLock::Held(_) => TAKEN_OVER.to_owned(),
                            NoLock::Unreachable(why) => format!("{LOCK_LOST}: {why}"),
                        }));
                    }
                }
            }
        };
        if let Some(events) = &mut self.events {
            let told = events.write(&events::report(&report));
            if self.written.is_ok() {
                self.written = told;
            }
        }
        Ok(report)
    }

    /// Ends the view, and waits until everything is written.
    ///
    /// # Errors
    /// Not everything could be.
    pub(super) fn finish(self) -> io::Result<()> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).finish();
        let ends = [self.events, self.results].into_iter().flatten().map(Lines::finish);
        ends.fold(self.written, |written, end| written.and(end))
    }
}

/// Why the run was ended, if it was for its lock.
pub(super) fn lost(stop: &watch::Sender<Option<Abort>>) -> Option<Lost> {
    match &*stop.borrow() {
        Some(Abort::Stopped(why)) if why == TAKEN_OVER => Some(Lost::TakenOver),
        Some(Abort::Stopped(why)) if why.starts_with(LOCK_LOST) => Some(Lost::Unreachable),
        _ => None,
    }
}

fn tell(
    run: &str,
    tasks: &[RunTask],
    event: &RunEvent,
    events: Option<&mut Lines>,
    results: Option<&mut Lines>,
) -> io::Result<()> {
    if let (RunEvent::Ended { task, attempt, verdict, again_ms: None, .. }, Some(results)) = (event, results)
        && let Some(task) = tasks.get(*task)
    {
        results.write(&events::result(&task.id, *attempt, verdict))?;
    }
    if let Some(events) = events {
        for value in events::event(run, tasks, event) {
            events.write(&value)?;
        }
    }
    Ok(())
}

/// How many tasks ended how before this client.
fn over(saved: &Saved) -> BTreeMap<OutcomeKind, usize> {
    let mut over = BTreeMap::new();
    for index in 0..saved.tasks.len() {
        match saved.ledger.state(TaskIndex(index)) {
            // It is tried again.
            Some(TaskState::Ended(OutcomeKind::Critical)) => {}
            Some(TaskState::Ended(kind)) => *over.entry(kind).or_default() += 1,
            _ => {}
        }
    }
    over
}

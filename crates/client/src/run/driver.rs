//! The loop of a run: what happened goes into the ledger, what the ledger says is written down and then done.
//!
//! A turn: events are taken, each is given to the ledger and to the observer and becomes a line of the journal; then what
//! the ledger wants becomes lines; the lines go to the kernel; and then jobs leave.

mod jobs;
mod watched;

use super::cancel::{Cancelled, Place, cancel};
use super::journal::Journal;
use super::ledger::{Abort, Effect, Event, Ledger, TaskIndex};
use super::record::Record;
use super::report::{Report, Times};
use super::runner::{RunError, RunEvent, RunSpec};
use super::verdict::Verdict;
use crate::client::Client;
use crate::job_handle::Update;
use conveyor_common::Millis;
use conveyor_common::payload::Content;
use jobs::{Told, Who};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use watched::Watch;

/// What jobs tell that may wait for the loop.
const TOLD: usize = 1024;

/// What is taken of that in one turn.
const BATCH: usize = 256;

/// Shortest time without a submission when no server can be reached, and between two looks for one.
const HELD: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(200);

/// Milliseconds since 1970 that never go back: wall clocks are set, sometimes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    start_ms: Millis,
}

impl Clock {
    /// A clock that begins now, and not before `last`.
    pub(super) fn start(last: Millis) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Self { start: Instant::now(), start_ms: now.max(last) }
    }

    pub(super) fn now(self) -> Millis {
        self.start_ms.plus(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits for that moment; for ever without one.
    async fn wait(self, until: Option<Millis>) {
        let until =
            until.and_then(|at| self.start.checked_add(Duration::from_millis(at.since(self.start_ms))));
        sleep_until_some(until).await;
    }
}

/// Waits until somebody wants the run to end.
pub(super) async fn stopped(stop: &mut watch::Receiver<Option<Abort>>) -> Abort {
    match stop.wait_for(Option::is_some).await.map(|why| why.clone()) {
        Ok(Some(why)) => why,
        // Nobody is left who could.
        _ => std::future::pending().await,
    }
}

async fn sleep_until_some(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Why the loop turns.
enum Woken {
    Stop(Abort),
    AtOnce,
    Told,
    Tick,
    Synced(io::Result<()>),
    Cancelled(Cancelled),
    /// No server knows these.
    Asked(Vec<Who>),
    Reachable,
}

/// Whether the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Over,
}

/// A run at work.
pub(super) struct Driver<'a> {
    spec: RunSpec,
    client: Option<Client>,
    ledger: Ledger,
    journal: Journal,
    clock: Clock,
    /// When this turn began: everything in it happens at once, in the ledger as in the journal.
    now: Millis,
    observe: &'a mut (dyn FnMut(&RunEvent) + Send),
    /// One for each job in flight.
    jobs: JoinSet<()>,
    listeners: HashMap<Who, AbortHandle>,
    watch: Watch,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    /// Ends of tries that never left.
    at_once: VecDeque<Told>,
    effects: Vec<Effect>,
    to_cancel: Vec<Place>,
    /// One at most.
    cancelling: JoinSet<Cancelled>,
    /// Looks for a server, when none can be reached: one at most.
    looking: JoinSet<()>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        spec: RunSpec,
        ledger: Ledger,
        journal: Journal,
        clock: Clock,
        observe: &'a mut (dyn FnMut(&RunEvent) + Send),
    ) -> Self {
        let (tell, told) = mpsc::channel(TOLD);
        Self {
            spec,
            client: None,
            ledger,
            journal,
            clock,
            now: clock.now(),
            observe,
            jobs: JoinSet::new(),
            listeners: HashMap::new(),
            watch: Watch::default(),
            tell,
            told,
            at_once: VecDeque::new(),
            effects: Vec::new(),
            to_cancel: Vec::new(),
            cancelling: JoinSet::new(),
            looking: JoinSet::new(),
        }
    }

    /// Runs to the end.
    pub(super) async fn run(
        mut self,
        client: Client,
        mut stop: watch::Receiver<Option<Abort>>,
    ) -> Result<Report, RunError> {
        self.client = Some(client);
        let until = self.spec.run_timeout.and_then(|limit| self.clock.start.checked_add(limit));
        self.go_on_with_journal()?;
        (self.observe)(&RunEvent::Started { counts: self.ledger.counts() });
        self.event(Event::Start);
        let mut batch = Vec::with_capacity(BATCH);
        while self.act().await? == Next::GoOn {
            let next = self.ledger.next_deadline();
            let clock = self.clock;
            let woken = tokio::select! {
                why = stopped(&mut stop) => Woken::Stop(why),
                () = sleep_until_some(until) => Woken::Stop(Abort::Deadline),
                () = std::future::ready(()), if !self.at_once.is_empty() => Woken::AtOnce,
                _ = self.told.recv_many(&mut batch, BATCH) => Woken::Told,
                () = clock.wait(next) => Woken::Tick,
                synced = self.journal.keep_synced() => Woken::Synced(synced),
                Some(done) = self.cancelling.join_next() => Woken::Cancelled(done.unwrap_or_default()),
                Some(unknown) = self.watch.asking.join_next() => Woken::Asked(unknown.unwrap_or_default()),
                Some(_) = self.looking.join_next() => Woken::Reachable,
            };
            self.now = clock.now();
            match woken {
                Woken::Stop(why) => self.event(Event::Stop(why)),
                Woken::AtOnce => {
                    std::mem::take(&mut self.at_once).into_iter().try_for_each(|told| self.take(told))?
                }
                Woken::Told => batch.drain(..).try_for_each(|told| self.take(told))?,
                Woken::Tick => self.event(Event::Tick),
                Woken::Synced(synced) => synced.map_err(RunError::Journal)?,
                Woken::Cancelled(done) => self.cancelled(done)?,
                Woken::Asked(unknown) => self.asked_about_watched(&unknown),
                Woken::Reachable => {
                    (self.observe)(&RunEvent::Reachable);
                    self.event(Event::Reachable);
                }
            }
            self.ask_about_watched();
            while self.jobs.try_join_next().is_some() {}
        }
        self.finish().await
    }

    /// Ends the run before it has begun.
    pub(super) async fn stop_at_once(mut self, why: Abort) -> Result<Report, RunError> {
        self.go_on_with_journal()?;
        self.event(Event::Stop(why));
        self.act().await?;
        self.finish().await
    }

    /// Says in a journal that was there before that its run goes on; servers may still have the jobs of the last client.
    fn go_on_with_journal(&mut self) -> Result<(), RunError> {
        if !self.journal.is_resumed() {
            return Ok(());
        }
        for (task, attempt) in self.ledger.in_flight() {
            self.watch.add(Who::Task { task, attempt });
        }
        if let Some(attempt) = self.ledger.manager_in_flight() {
            self.watch.add(Who::Manager { attempt });
        }
        let policy = self.spec.policy.clone();
        self.line(&Record::Resumed { at: self.now.0, policy })
    }

    fn event(&mut self, event: Event) {
        self.ledger.handle(self.now, event, &mut self.effects);
    }

    fn line(&mut self, record: &Record) -> Result<(), RunError> {
        self.journal.line(record).map_err(RunError::Journal)
    }

    /// Something happened to a job.
    fn take(&mut self, told: Told) -> Result<(), RunError> {
        let now = self.now;
        match told {
            Told::Update { who, update, again } => {
                if again {
                    self.watch.add(who);
                }
                let Who::Task { task, attempt } = who else {
                    (self.observe)(&RunEvent::ManagerUpdate(update));
                    return Ok(());
                };
                if let Update::Created(handle) = &update {
                    let line = Record::Created {
                        at: now.0,
                        task: task.0,
                        attempt,
                        handle: Content::Bytes(handle.clone()),
                    };
                    self.line(&line)?;
                    let created = Event::Created { task, attempt, handle: handle.clone() };
                    self.ledger.handle(now, created, &mut self.effects);
                }
                (self.observe)(&RunEvent::Update { task: task.0, attempt, update });
            }
            Told::Ended { who, verdict, claimed, place, unreachable } => {
                self.listeners.remove(&who);
                self.watch.remove(who);
                if let Some(why) = unreachable {
                    self.hold(now, why);
                }
                match who {
                    Who::Manager { .. } => self.manager_ended(now, verdict)?,
                    Who::Task { task, attempt } => {
                        if let Some(claimed) = claimed {
                            (self.observe)(&RunEvent::OtherId { task: task.0, attempt, claimed });
                        }
                        self.ended(now, task, attempt, verdict, place)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn manager_ended(&mut self, now: Millis, verdict: Verdict) -> Result<(), RunError> {
        let (outcome, message) = (verdict.kind, verdict.message.clone());
        self.line(&Record::ManagerEnded { at: now.0, outcome, message })?;
        self.ledger.handle(now, Event::ManagerEnded(verdict.clone()), &mut self.effects);
        (self.observe)(&RunEvent::ManagerEnded(verdict));
        Ok(())
    }

    fn ended(
        &mut self,
        now: Millis,
        task: TaskIndex,
        attempt: u32,
        verdict: Verdict,
        place: Option<Place>,
    ) -> Result<(), RunError> {
        self.line(&Record::ended(now.0, task, attempt, &verdict, self.journal.keeps_results()))?;
        let before = self.effects.len();
        let ended = Event::Ended { task, attempt, verdict: verdict.clone() };
        self.ledger.handle(now, ended, &mut self.effects);
        let mut again_ms = None;
        for effect in self.effects.iter().skip(before) {
            match effect {
                Effect::Again { task: other, at } if *other == task => again_ms = Some(at.since(now)),
                Effect::Cancel { .. } => self.to_cancel.extend(place.clone()),
                _ => {}
            }
        }
        let counts = self.ledger.counts();
        (self.observe)(&RunEvent::Ended { task: task.0, attempt, verdict, again_ms, counts });
        Ok(())
    }

    /// No server can be reached: what is submitted now would be lost at once.
    fn hold(&mut self, now: Millis, why: String) {
        let pause = self.spec.policy.delay.max(self.spec.options.give_up).max(HELD);
        let until = now.plus(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self.ledger.handle(now, Event::Unreachable { until }, &mut self.effects);
        let Some(client) = self.client.clone().filter(|_| self.looking.is_empty()) else { return };
        (self.observe)(&RunEvent::Unreachable(why));
        self.looking.spawn(async move {
            while client.echo("").await.is_err() {
                sleep(LOOK).await;
            }
        });
    }

    /// Does what the ledger says, after it is written down.
    async fn act(&mut self) -> Result<Next, RunError> {
        let now = self.now;
        let effects = std::mem::take(&mut self.effects);
        for effect in &effects {
            let line = match effect {
                Effect::Submit { task, attempt } => {
                    Record::Submitted { at: now.0, task: task.0, attempt: *attempt }
                }
                Effect::SubmitManager { attempt, tasks } => {
                    Record::ManagerSubmitted { at: now.0, attempt: *attempt, tasks: *tasks }
                }
                Effect::Abort(why) => Record::Aborted { at: now.0, why: why.clone().into() },
                Effect::Cancel { .. } | Effect::Again { .. } | Effect::Finish => continue,
            };
            self.line(&line)?;
        }
        self.journal.flush().map_err(RunError::Journal)?;
        let over = effects.iter().any(|effect| matches!(effect, Effect::Abort(_) | Effect::Finish));
        for effect in effects {
            match effect {
                Effect::Submit { task, attempt } if !over => self.submit(task, attempt).await,
                Effect::SubmitManager { attempt, tasks } if !over => {
                    self.submit_manager(attempt, tasks).await;
                }
                Effect::Abort(why) => self.abort(why).await?,
                _ => {}
            }
        }
        self.cancel_more();
        Ok(if over { Next::Over } else { Next::GoOn })
    }

    /// Takes back tries that timed out.
    fn cancel_more(&mut self) {
        if !self.to_cancel.is_empty() && self.cancelling.is_empty() {
            let (jobs, tls) = (std::mem::take(&mut self.to_cancel), self.spec.options.tls.clone());
            self.cancelling.spawn(cancel(jobs, tls));
        }
    }

    /// Ends the run early: what has not left never does, what is queued is taken back, what runs is forgotten.
    async fn abort(&mut self, why: Abort) -> Result<(), RunError> {
        (self.observe)(&RunEvent::Aborted(why));
        let mut open = std::mem::take(&mut self.to_cancel);
        if let Some(client) = self.client.take() {
            self.looking.shutdown().await;
            self.watch.asking.shutdown().await;
            open.extend(client.open_jobs());
            // With the last of them the connections close. Then servers give no job of theirs to a worker any more,
            // whether it can be cancelled in time or not.
            drop(client);
            self.jobs.shutdown().await;
        }
        // Answers that are here already count.
        while let Ok(told) = self.told.try_recv() {
            self.take(told)?;
        }
        self.effects.clear();
        let tls = self.spec.options.tls.clone();
        let (cancelled, synced) = tokio::join!(cancel(open, tls), self.journal.sync());
        synced.map_err(RunError::Journal)?;
        self.cancelled(cancelled)
    }

    fn cancelled(&mut self, Cancelled { cancelled, asked }: Cancelled) -> Result<(), RunError> {
        self.line(&Record::Cancelled { at: self.now.0, cancelled, asked })?;
        (self.observe)(&RunEvent::Cancelled { cancelled, asked });
        Ok(())
    }

    /// The report, and the end of the journal.
    async fn finish(mut self) -> Result<Report, RunError> {
        while let Some(done) = self.cancelling.join_next().await {
            self.cancelled(done.unwrap_or_default())?;
            self.cancel_more();
        }
        self.now = self.clock.now();
        let ended = self.now;
        let times = Times {
            started_ms: self.journal.started().0,
            ended_ms: ended.0,
            resumed: self.journal.resumed + u32::from(self.journal.is_resumed()),
        };
        let report = self.ledger.report(&self.spec.name, &self.spec.tasks, times);
        let Report { ok, error, missing, .. } = report;
        let open = self.ledger.aborted().is_some();
        self.line(&Record::Finished { at: ended.0, ok, error, missing, open })?;
        self.journal.sync().await.map_err(RunError::Journal)?;
        Ok(report)
    }
}

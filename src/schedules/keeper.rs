//! Looks after one schedule: lets time pass, stores what is decided, starts and stops, and sees how things end.
//!
//! Every decision is taken under the lock of the schedule, on the state that is stored, and is stored before anything is
//! done about it. So several processes with the same configuration act as one.

use super::config::{PlainJob, Schedule, What};
use super::store::{Folder, RunLock};
use super::submit::{self, Found};
use super::{child, now};
use crate::config::OWN_SERVER_VARIABLE;
use conveyor_client::schedule::{Effect, Event, How, Kind, Machine, Phase, Run, Start, State, Where, unique};
use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// The server when none is named.
pub(crate) const DEFAULT_SERVER: &str = "127.0.0.1:4730";

/// Longest time without a look at the clock, which may have been set meanwhile.
const LOOK: Duration = Duration::from_secs(5);

/// Time between two looks at what runs, and two attempts to store something.
const POLL: Duration = Duration::from_secs(1);

/// Ends of runs that may wait to be looked at.
const ENDS: usize = 64;

/// Stands for `conveyor client run` in tests of builds with checks.
const STAND_IN: &str = "CONVEYOR_TEST_RUN";

/// How runs are started and which server is meant.
#[derive(Debug)]
pub(crate) struct Starter {
    pub(super) program: PathBuf,
    /// What comes before the name of a run.
    words: Vec<OsString>,
    config: PathBuf,
    server: String,
    /// Somebody waits for it at a terminal.
    pub(super) foreground: bool,
}

impl Starter {
    /// Runs are those of the file `config`, jobs go to `server` unless they name others.
    ///
    /// # Errors
    /// The system does not tell which program this is.
    pub(crate) fn new(server: String, config: PathBuf) -> Result<Self, String> {
        let stand_in = if cfg!(debug_assertions) { env::var_os(STAND_IN) } else { None };
        let (program, words) = match stand_in {
            Some(program) => (PathBuf::from(program), Vec::new()),
            None => {
                let program =
                    env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
                (program, vec!["client".into(), "run".into()])
            }
        };
        Ok(Self { program, words, config, server, foreground: false })
    }

    /// The same for `run-now`.
    pub(crate) fn foreground(self) -> Self {
        Self { foreground: true, ..self }
    }

    pub(super) fn command(&self, run: &str, unique: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).arg(run).arg("--config").arg(&self.config).args(["--run-id", unique]);
        if !self.foreground {
            command.arg("--quiet");
        }
        // For runs that name no server.
        command.env(OWN_SERVER_VARIABLE, &self.server);
        command
    }
}

/// Whoever looks after one schedule.
pub(crate) struct Keeper {
    pub(super) schedule: Schedule,
    pub(super) folder: Folder,
    pub(super) starter: Arc<Starter>,
    /// What is being started here, or runs as a process of this one.
    pub(super) held: BTreeMap<i64, RunLock>,
    /// Processes of this one that have not ended.
    pub(super) processes: BTreeMap<i64, u32>,
    /// When what was told to stop is killed.
    pub(super) kill_at: BTreeMap<i64, Instant>,
    /// What could not be stored yet.
    unstored: VecDeque<Event>,
    /// What was stored last.
    pub(super) seen: State,
    pub(super) ended: mpsc::Sender<(i64, ExitStatus)>,
    pub(super) ends: mpsc::Receiver<(i64, ExitStatus)>,
    /// Exit codes of processes of this one.
    pub(super) codes: BTreeMap<i64, i32>,
    /// The last error of the store, which is told once.
    trouble: Option<String>,
}

impl Keeper {
    pub(crate) fn new(schedule: Schedule, folder: Folder, starter: Arc<Starter>) -> Self {
        let (ended, ends) = mpsc::channel(ENDS);
        let seen = Machine::new(&schedule.plan, None, now()).state;
        Self {
            schedule,
            folder,
            starter,
            held: BTreeMap::new(),
            processes: BTreeMap::new(),
            kill_at: BTreeMap::new(),
            unstored: VecDeque::new(),
            seen,
            ended,
            ends,
            codes: BTreeMap::new(),
            trouble: None,
        }
    }

    /// Looks after it until told to stop.
    pub(super) async fn run(mut self, mut told: watch::Receiver<bool>) {
        self.happened(Event::Opened).await;
        loop {
            self.look().await;
            self.happened(Event::Tick).await;
            let wait = self.until_next_look();
            tokio::select! {
                _ = told.wait_for(|stop| *stop) => break,
                Some((due, status)) = self.ends.recv() => self.process_ended(due, status).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.stop_processes().await;
    }

    /// What is to be seen without a tick: jobs that ended, processes that do not stop, what could not be stored.
    pub(super) async fn look(&mut self) {
        for event in std::mem::take(&mut self.unstored) {
            self.happened(event).await;
        }
        self.kill_the_stubborn();
        for run in self.seen.running.clone() {
            self.ask_after(&run).await;
        }
    }

    /// Takes what happened, and does what is to be done.
    pub(super) async fn happened(&mut self, event: Event) {
        let effects = self.decide_or_keep(event);
        self.carry_out(effects).await;
    }

    pub(super) async fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Start(start) => effects.extend(self.start(start).await),
                Effect::Stop { due } => effects.extend(self.stop(due).await),
                other => self.tell(&other),
            }
        }
    }

    /// Logs what is to be logged.
    pub(super) fn tell(&self, effect: &Effect) {
        let schedule = &self.schedule.plan.name;
        match effect {
            Effect::PassedOver { first, last, why } if first == last => {
                tracing::warn!(%schedule, due = %self.shown(*first), "not started: {why}");
            }
            Effect::PassedOver { first, last, why } => {
                let (from, until) = (self.shown(*first), self.shown(*last));
                tracing::warn!(%schedule, %from, %until, "not started: {why}");
            }
            Effect::Log { due, text } => tracing::info!(%schedule, due = %self.shown(*due), "{text}"),
            Effect::Start(_) | Effect::Stop { .. } | Effect::Busy => {}
        }
    }

    pub(super) fn decide_or_keep(&mut self, event: Event) -> Vec<Effect> {
        match self.decide(event.clone()) {
            Ok(effects) => {
                self.trouble = None;
                effects
            }
            Err(error) => {
                if self.trouble.as_ref() != Some(&error) {
                    tracing::error!(schedule = %self.schedule.plan.name, "nothing is started: {error}");
                    self.trouble = Some(error);
                }
                // Time passes again by itself.
                if event != Event::Tick {
                    self.unstored.push_back(event);
                }
                Vec::new()
            }
        }
    }

    /// One decision: stored when this returns, with the locks of all it starts.
    pub(super) fn decide(&mut self, event: Event) -> Result<Vec<Effect>, String> {
        let folder = self.folder.clone();
        let name = self.schedule.plan.name.clone();
        let locked = folder.lock(&name)?;
        let before = locked.read()?;
        let now = now();
        let mut machine = Machine::new(&self.schedule.plan, before.clone(), now);
        let mut effects = Vec::new();
        let orphans: Vec<Event> = machine.state.running.iter().filter_map(|run| self.orphaned(run)).collect();
        for orphan in orphans {
            machine.handle(now, orphan, &mut effects);
        }
        machine.handle(now, event, &mut effects);
        let mut claimed = BTreeMap::new();
        for effect in &effects {
            if let Effect::Start(Start { due, .. }) = effect {
                claimed.insert(*due, locked.claim(*due)?);
            }
        }
        let state = machine.state;
        if before.as_ref() != Some(&state) {
            locked.write(&state)?;
        }
        let goes_on = |due: i64| state.running.iter().any(|run| run.due == due);
        for run in before.iter().flat_map(|before| &before.running).filter(|run| !goes_on(run.due)) {
            self.held.remove(&run.due);
            self.kill_at.remove(&run.due);
            locked.forget(run.due);
        }
        self.held.append(&mut claimed);
        self.seen = state;
        Ok(effects)
    }

    /// What became of a run whose owner is gone.
    fn orphaned(&self, run: &Run) -> Option<Event> {
        let due = run.due;
        if matches!(run.place, Some(Where::Job { .. })) || self.held.contains_key(&due) {
            return None;
        }
        if self.folder.is_alive(&self.schedule.plan.name, due) {
            return None;
        }
        match (run.phase, &self.schedule.what) {
            (Phase::Claimed, _) => Some(Event::Abandoned { due }),
            // The servers know.
            (Phase::Sent, What::Job(_)) => None,
            _ => {
                let note = "whoever started it is gone, and nobody saw how it ended".to_owned();
                Some(Event::Ended { due, how: How::Unknown, note })
            }
        }
    }

    /// Whether a job is still with its server.
    async fn ask_after(&mut self, run: &Run) {
        let due = run.due;
        let What::Job(job) = &self.schedule.what else { return };
        let event = match &run.place {
            Some(Where::Job { server, .. }) => {
                match submit::find(std::slice::from_ref(server), &self.unique(due)).await {
                    Found::Nowhere => Event::Ended { due, how: How::Done, note: String::new() },
                    Found::At(_) | Found::Unsure => return,
                }
            }
            None if run.phase == Phase::Sent && !self.held.contains_key(&due) => {
                if self.folder.is_alive(&self.schedule.plan.name, due) {
                    return;
                }
                match submit::find(&self.servers(job), &self.unique(due)).await {
                    Found::At(server) => {
                        Event::Started { due, place: Where::Job { server, handle: String::new() } }
                    }
                    Found::Nowhere => {
                        let note = "whoever submitted it is gone, and no server has it".to_owned();
                        Event::Ended { due, how: How::Unknown, note }
                    }
                    Found::Unsure => return,
                }
            }
            _ => return,
        };
        self.happened(event).await;
    }

    pub(super) async fn process_ended(&mut self, due: i64, status: ExitStatus) {
        self.processes.remove(&due);
        let (how, note) = child::outcome(status);
        self.codes.insert(due, status.code().unwrap_or(1));
        self.happened(Event::Ended { due, how, note }).await;
    }

    fn until_next_look(&self) -> Duration {
        let now = now();
        let machine = Machine::new(&self.schedule.plan, Some(self.seen.clone()), now);
        if self.trouble.is_some() {
            return POLL;
        }
        let until = machine.next_deadline().map_or(LOOK, |at| {
            Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or_default())
        });
        until.min(if self.seen.is_busy() { POLL } else { LOOK })
    }

    pub(super) fn servers(&self, job: &PlainJob) -> Vec<String> {
        if job.servers.is_empty() { vec![self.starter.server.clone()] } else { job.servers.clone() }
    }

    pub(super) fn unique(&self, due: i64) -> String {
        unique(&self.schedule.plan.name, due)
    }

    pub(super) fn shown(&self, at: i64) -> String {
        self.schedule.plan.timetable.shown(at)
    }

    /// The start by hand among effects.
    pub(super) fn by_hand(effects: &[Effect]) -> Option<i64> {
        effects.iter().find_map(|effect| match effect {
            Effect::Start(Start { due, kind: Kind::Now }) => Some(*due),
            _ => None,
        })
    }
}

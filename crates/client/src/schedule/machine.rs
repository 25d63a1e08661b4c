//! Decides what becomes of the due times of one schedule.

use super::event::{Effect, Event};
use super::plan::{Missed, Overlap, Plan};
use super::state::{How, Kind, PassedOver, Past, Phase, Retry, Run, Start, State};
use super::unique::stamp;

/// Layout of [`State`].
const VERSION: u32 = 1;

/// Missed due times that are caught up with at most.
const CAUGHT_UP: usize = 100;

/// Runs of a schedule at the same time at most.
const RUNNING: usize = 64;

/// Milliseconds until the first repetition of a start that failed, and between two at most.
const BACK_OFF: (i64, i64) = (1000, 30_000);

/// A schedule and what is known about it.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    plan: &'a Plan,
    /// What is to be stored.
    pub state: State,
}

impl<'a> Machine<'a> {
    /// A schedule with what was stored about it.
    #[must_use]
    pub fn new(plan: &'a Plan, state: Option<State>, now: i64) -> Self {
        let begin = || State { version: VERSION, plan: plan.described(), decided: now, ..State::default() };
        Self { plan, state: state.unwrap_or_else(begin) }
    }

    /// When time has to pass next; `None` when nothing is due any more.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let State { decided, waiting, backlog, retries, .. } = &self.state;
        if !self.state.is_busy() && (waiting.is_some() || !backlog.is_empty()) {
            return Some(i64::MIN);
        }
        let due = if self.plan.enabled { self.plan.timetable.next(*decided) } else { None };
        let retry = retries.iter().map(|retry| retry.at.min(retry.until));
        due.map(|due| self.plan.start_at(due)).into_iter().chain(retry).min()
    }

    /// Takes an event; what is to be done is added to `effects`.
    pub fn handle(&mut self, now: i64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Opened => self.open(now),
            Event::Tick => {
                self.try_again(now, effects);
                if self.plan.enabled {
                    self.look(now, effects);
                }
            }
            Event::Look => {}
            Event::RunNow => self.run_now(now, effects),
            Event::Sending { due } => self.change(due, |run| run.phase = Phase::Sent),
            Event::Started { due, place } => self.change(due, |run| {
                run.phase = Phase::Running;
                run.place = Some(place);
            }),
            Event::NotStarted { due, why, again } => self.not_started(now, due, why, again, effects),
            Event::Abandoned { due } => {
                let why = "the process that wanted to start it is gone".to_owned();
                self.not_started(now, due, why, true, effects);
            }
            Event::Ended { due, how, note } => {
                if let Some(run) = self.take(due) {
                    self.end(now, &run, how, note, effects);
                }
            }
        }
        self.settle(now, effects);
    }

    /// Another plan under the name: what it would have been due for before is not missed.
    fn open(&mut self, now: i64) {
        let described = self.plan.described();
        if self.state.plan != described {
            self.state.plan = described;
            self.state.decided = self.state.decided.max(now);
        }
    }

    /// Decides all due times whose start has come.
    fn look(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let plan = self.plan;
        let (mut dues, more) = plan.timetable.newest(self.state.decided, now, CAUGHT_UP + 2);
        let first = if more { plan.timetable.next(self.state.decided) } else { None };
        dues.retain(|due| plan.start_at(*due) <= now);
        let Some(newest) = dues.last().copied() else { return };
        self.state.decided = newest;
        let on_time = now - plan.start_at(newest) < plan.grace;
        let on_time = if on_time { dues.pop() } else { None };
        let caught_up_already = self.state.backlog.is_empty();
        self.missed(now, first, &dues, on_time.is_some(), effects);
        if let Some(due) = on_time {
            let start = Start { due, kind: Kind::Due };
            // The last of those that were missed.
            if caught_up_already && !self.state.backlog.is_empty() {
                self.state.backlog.push(start);
            } else {
                self.begin(now, start, effects);
            }
        }
    }

    /// What becomes of the due times `missed`, and of those from `first` on before them; `covered` by a start on time.
    fn missed(
        &mut self,
        now: i64,
        first: Option<i64>,
        missed: &[i64],
        covered: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(last) = missed.last().copied() else { return };
        let (passed, caught_up) = match (self.plan.missed, self.plan.overlap) {
            (Missed::Skip, _) => (missed.len(), "nothing could start it in time"),
            (Missed::Once, _) if covered => (missed.len(), "missed: one start stands for all"),
            (Missed::Once, _) => (missed.len() - 1, "missed: one start stands for all"),
            (Missed::All, Overlap::Replace) if covered => {
                (missed.len(), "missed: a newer one would replace it")
            }
            (Missed::All, Overlap::Replace) => (missed.len() - 1, "missed: a newer one would replace it"),
            (Missed::All, _) => {
                (missed.len().saturating_sub(CAUGHT_UP), "missed: only the newest 100 are caught up with")
            }
        };
        let (passed, caught) = missed.split_at_checked(passed).unwrap_or((missed, &[]));
        let oldest = first.or(passed.first().copied());
        if let Some(first) = oldest {
            let through = match (passed.last(), caught.first()) {
                (Some(last), _) => *last,
                // All before the first that is caught up with.
                (None, Some(caught)) => caught - 1,
                (None, None) => last,
            };
            self.pass_over(now, first, through, caught_up.to_owned(), effects);
        }
        let one_by_one = matches!(self.plan.overlap, Overlap::Skip | Overlap::Queue);
        for due in caught {
            let start = Start { due: *due, kind: Kind::Missed };
            if one_by_one && caught.len() + usize::from(covered) > 1 {
                self.state.backlog.push(start);
            } else {
                self.begin(now, start, effects);
            }
        }
        let excess = self.state.backlog.len().saturating_sub(CAUGHT_UP);
        let dropped: Vec<Start> = self.state.backlog.drain(..excess).collect();
        for start in dropped {
            let why = "missed: only the newest 100 are caught up with".to_owned();
            self.pass_over(now, start.due, start.due, why, effects);
        }
    }

    fn begin(&mut self, now: i64, start: Start, effects: &mut Vec<Effect>) {
        let waits = self.state.waiting.is_some() || !self.state.backlog.is_empty();
        if !self.state.is_busy() && !waits {
            return self.start(now, start, effects);
        }
        match self.plan.overlap {
            Overlap::Skip => {
                let why = self.what_runs();
                self.pass_over(now, start.due, start.due, why, effects);
            }
            Overlap::Queue => match self.state.waiting {
                None => {
                    let text = format!("waits: {}", self.what_runs());
                    effects.push(Effect::Log { due: start.due, text });
                    self.state.waiting = Some(start);
                }
                Some(waiting) => {
                    let why = format!("the run that was due at {} waits already", stamp(waiting.due));
                    self.pass_over(now, start.due, start.due, why, effects);
                }
            },
            Overlap::Parallel if self.state.running.len() + self.state.retries.len() < RUNNING => {
                self.start(now, start, effects);
            }
            Overlap::Parallel => {
                let why = format!("{RUNNING} runs go on already");
                self.pass_over(now, start.due, start.due, why, effects);
            }
            Overlap::Replace => {
                self.stop_all(now, effects);
                if let Some(waiting) = self.state.waiting.replace(start) {
                    let why = format!("replaced by the one due at {}", stamp(start.due));
                    self.pass_over(now, waiting.due, waiting.due, why, effects);
                }
            }
        }
    }

    fn run_now(&mut self, now: i64, effects: &mut Vec<Effect>) {
        // Cron is due at whole seconds: no start by hand has the name of one of those, or of another by hand.
        let due = now.max(self.state.by_hand.saturating_add(1));
        let due = if due % 1000 == 0 { due + 1 } else { due };
        let start = Start { due, kind: Kind::Now };
        match self.plan.overlap {
            // Whoever asked waits for it, so that it is nobody else's.
            Overlap::Queue | Overlap::Replace if self.state.is_busy() => {
                if self.plan.overlap == Overlap::Replace {
                    self.stop_all(now, effects);
                }
                if self.state.is_busy() {
                    effects.push(Effect::Busy);
                } else {
                    self.state.by_hand = due;
                    self.start(now, start, effects);
                }
            }
            _ => {
                self.state.by_hand = due;
                self.begin(now, start, effects);
            }
        }
    }

    /// Stops what runs, and gives up what could not be started.
    fn stop_all(&mut self, now: i64, effects: &mut Vec<Effect>) {
        for run in self.state.running.iter_mut().filter(|run| !run.stopping) {
            run.stopping = true;
            effects.push(Effect::Stop { due: run.due });
        }
        for retry in std::mem::take(&mut self.state.retries) {
            self.give_up(now, retry, How::Stopped, effects);
        }
    }

    fn start(&mut self, now: i64, start: Start, effects: &mut Vec<Effect>) {
        self.claim(start, now, 0, effects);
    }

    fn claim(&mut self, start: Start, started: i64, tries: u32, effects: &mut Vec<Effect>) {
        let Start { due, kind } = start;
        self.state.running.push(Run {
            due,
            kind,
            started,
            phase: Phase::Claimed,
            tries,
            stopping: false,
            place: None,
        });
        effects.push(Effect::Start(start));
    }

    fn not_started(&mut self, now: i64, due: i64, why: String, again: bool, effects: &mut Vec<Effect>) {
        let Some(run) = self.take(due) else { return };
        if !again || run.stopping || run.kind == Kind::Now {
            let how = if run.stopping { How::Stopped } else { How::Failed };
            return self.end(now, &run, how, why, effects);
        }
        let tries = run.tries + 1;
        let (first, most) = BACK_OFF;
        let pause = first.checked_shl(run.tries.min(16)).unwrap_or(most).min(most);
        let next = match run.kind {
            Kind::Due => self.plan.timetable.next(due),
            Kind::Missed | Kind::Now => None,
        };
        let until = next.unwrap_or(i64::MAX).min(run.started.saturating_add(self.plan.grace));
        let retry = Retry { due, kind: run.kind, started: run.started, tries, at: now + pause, until, why };
        if tries == 1 {
            effects.push(Effect::Log { due, text: format!("not started yet, tried again: {}", retry.why) });
        }
        self.state.retries.push(retry);
    }

    /// Repeats starts whose time has come, and gives those up that took too long.
    fn try_again(&mut self, now: i64, effects: &mut Vec<Effect>) {
        for retry in std::mem::take(&mut self.state.retries) {
            if now >= retry.until {
                self.give_up(now, retry, How::Failed, effects);
            } else if now >= retry.at || retry.at - now > BACK_OFF.1 {
                // The latter: the clock was set back.
                let start = Start { due: retry.due, kind: retry.kind };
                self.claim(start, retry.started, retry.tries, effects);
            } else {
                self.state.retries.push(retry);
            }
        }
    }

    fn give_up(&mut self, now: i64, retry: Retry, outcome: How, effects: &mut Vec<Effect>) {
        let Retry { due, kind, started, tries, why, .. } = retry;
        let note = format!("not started in {tries} attempts: {why}");
        effects.push(Effect::Log { due, text: format!("{outcome}: {note}") });
        self.state.end(Past { due, kind, started, ended: now, outcome, note });
    }

    fn end(&mut self, now: i64, run: &Run, how: How, note: String, effects: &mut Vec<Effect>) {
        let outcome = if run.stopping && how == How::Failed { How::Stopped } else { how };
        let text = if note.is_empty() { outcome.to_string() } else { format!("{outcome}: {note}") };
        effects.push(Effect::Log { due: run.due, text });
        let Run { due, kind, started, .. } = *run;
        self.state.end(Past { due, kind, started, ended: now, outcome, note });
    }

    /// Starts what waits, when nothing runs.
    fn settle(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.state.is_busy() {
            return;
        }
        if let Some(start) = self.state.waiting.take() {
            self.start(now, start, effects);
        } else if !self.state.backlog.is_empty() {
            let start = self.state.backlog.remove(0);
            self.start(now, start, effects);
        }
    }

    fn pass_over(&mut self, now: i64, first: i64, last: i64, why: String, effects: &mut Vec<Effect>) {
        self.state.passed_over = Some(PassedOver { due: last, at: now, why: why.clone() });
        effects.push(Effect::PassedOver { first, last, why });
    }

    fn what_runs(&self) -> String {
        match (self.state.running.first(), self.state.retries.first()) {
            (Some(run), _) => format!("the run that was due at {} goes on", stamp(run.due)),
            (None, Some(retry)) => format!("the run that was due at {} is not started yet", stamp(retry.due)),
            (None, None) => "others wait".to_owned(),
        }
    }

    fn take(&mut self, due: i64) -> Option<Run> {
        let place = self.state.running.iter().position(|run| run.due == due)?;
        Some(self.state.running.remove(place))
    }

    fn change(&mut self, due: i64, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.state.running.iter_mut().find(|run| run.due == due) {
            change(run);
        }
    }
}

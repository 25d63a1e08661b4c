//! The ledger of a run: which task is where, what happens next. Pure; the runner does what it says.

mod manager;
mod past;
mod words;

use super::policy::Policy;
use super::verdict::{OutcomeKind, Verdict};
use bytes::Bytes;
use conveyor_common::Millis;
use manager::Manager;
pub use manager::ManagerState;
pub use past::Past;
use priority_queue::PriorityQueue;
use std::cmp::Reverse;
pub use words::{Abort, Effect, Event, TaskIndex, TaskState};

/// Everything known about a task.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) state: TaskState,
    /// Tries so far, the present one included.
    pub(super) attempts: u32,
    /// When the present or last try began.
    pub(super) began: Millis,
    /// What the last try that ended took, in milliseconds.
    pub(super) took_ms: u64,
    /// How the last try that ended went.
    pub(super) last: Option<OutcomeKind>,
    pub(super) message: Option<Box<str>>,
    /// The server's name for the present or last job.
    pub(super) handle: Option<Bytes>,
}

/// How many tasks are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub tasks: usize,
    /// Not submitted yet, or to be tried again and due.
    pub ready: usize,
    /// Submitted and not answered.
    pub in_flight: usize,
    /// To be tried again later.
    pub waiting: usize,
    /// Over, and done.
    pub ok: usize,
    /// Over, and not done.
    pub not_ok: usize,
}

/// The ledger of a run.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) run: String,
    pub(super) policy: Policy,
    pub(super) tasks: Vec<Entry>,
    /// Tasks that are [`TaskState::Ready`], in the order in which they became so.
    ready: PriorityQueue<TaskIndex, Reverse<u64>>,
    /// The place behind the last one in that order.
    turn: u64,
    /// Tasks that are [`TaskState::Waiting`].
    waiting: PriorityQueue<TaskIndex, Reverse<Millis>>,
    counts: Counts,
    pub(super) manager: Option<Manager>,
    pub(super) aborted: Option<Abort>,
    started: bool,
    finished: bool,
    /// No server can be reached: nothing is submitted before this.
    held: Option<Millis>,
}

impl Ledger {
    /// The ledger of the run called `run` with this many tasks; `managed`, if each of its rounds needs a manager.
    #[must_use]
    pub fn new(run: &str, tasks: usize, policy: Policy, managed: bool) -> Self {
        let entry = Entry {
            state: TaskState::Ready,
            attempts: 0,
            began: Millis::default(),
            took_ms: 0,
            last: None,
            message: None,
            handle: None,
        };
        Self {
            run: run.to_owned(),
            policy,
            tasks: vec![entry; tasks],
            ready: (0_u64..).zip(0..tasks).map(|(turn, task)| (TaskIndex(task), Reverse(turn))).collect(),
            turn: u64::try_from(tasks).unwrap_or(u64::MAX),
            waiting: PriorityQueue::new(),
            counts: Counts { tasks, ready: tasks, ..Counts::default() },
            manager: managed.then(Manager::default),
            aborted: None,
            started: false,
            finished: false,
            held: None,
        }
    }

    /// Applies one event. What makes no sense, such as the end of a try that is over already, is passed over.
    pub fn handle(&mut self, now: Millis, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Start => self.start(),
            Event::Created { task, attempt, handle } => self.created(task, attempt, handle),
            Event::Ended { task, attempt, verdict } => self.ended(now, task, attempt, &verdict, effects),
            Event::Vanished { task, attempt } => self.vanished(task, attempt, effects),
            Event::ManagerEnded(verdict) => self.manager_ended(now, &verdict, effects),
            Event::ManagerVanished { attempt } => {
                if let Some(manager) = &mut self.manager {
                    manager.vanished(attempt);
                }
            }
            Event::Stop(why) => self.abort(why, effects),
            Event::Unreachable { until } => self.held = Some(until),
            Event::Reachable => self.held = None,
            Event::Tick => {}
        }
        self.go_on(now, effects);
    }

    /// When a tick is next worth sending; early or repeated ones are harmless.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        if self.aborted.is_some() || self.finished || !self.started {
            return None;
        }
        let retry = self.waiting.peek().map(|(_, Reverse(at))| *at);
        let manager = self.manager.as_ref().and_then(|manager| manager.deadline(self.outstanding()));
        // What is due while nothing may be submitted waits for that.
        let next = retry.into_iter().chain(manager).min();
        match self.held {
            Some(until) if self.counts.ready > 0 => Some(until),
            Some(until) => next.map(|next| next.max(until)),
            None => next,
        }
    }

    /// How many tasks are where.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Where a task is.
    #[must_use]
    pub fn state(&self, TaskIndex(index): TaskIndex) -> Option<TaskState> {
        self.tasks.get(index).map(|entry| entry.state)
    }

    /// How often a task was tried, the present try included.
    #[must_use]
    pub fn attempts(&self, TaskIndex(index): TaskIndex) -> Option<u32> {
        self.tasks.get(index).map(|entry| entry.attempts)
    }

    /// Why the run ended early, if it did.
    #[must_use]
    pub const fn aborted(&self) -> Option<&Abort> {
        self.aborted.as_ref()
    }

    /// The tasks that are submitted and not answered, and which try that is.
    pub fn in_flight(&self) -> impl Iterator<Item = (TaskIndex, u32)> + '_ {
        let tasks = (0..).map(TaskIndex).zip(&self.tasks);
        tasks
            .filter(|(_, entry)| entry.state == TaskState::InFlight)
            .map(|(task, entry)| (task, entry.attempts))
    }

    /// Which manager task is submitted and not answered.
    #[must_use]
    pub fn manager_in_flight(&self) -> Option<u32> {
        let manager = self.manager.as_ref()?;
        (manager.state == ManagerState::InFlight).then_some(manager.attempts)
    }

    /// Tasks that are due and not over.
    const fn outstanding(&self) -> usize {
        self.counts.ready + self.counts.in_flight
    }

    fn start(&mut self) {
        self.started = true;
        self.finished = false;
        self.aborted = None;
        self.held = None;
        self.ready.clear();
        for index in 0..self.tasks.len() {
            match self.tasks.get(index).map(|entry| entry.state) {
                // It is the same try once more.
                Some(TaskState::InFlight) => {
                    if let Some(entry) = self.tasks.get_mut(index) {
                        entry.attempts = entry.attempts.saturating_sub(1);
                    }
                    self.place(TaskIndex(index), TaskState::Ready);
                }
                Some(TaskState::Ended(OutcomeKind::Critical)) => {
                    self.place(TaskIndex(index), TaskState::Ready);
                }
                Some(TaskState::Ready) => self.line_up(TaskIndex(index)),
                _ => {}
            }
        }
        if let Some(manager) = &mut self.manager {
            manager.start();
        }
    }

    fn created(&mut self, TaskIndex(index): TaskIndex, attempt: u32, handle: Bytes) {
        if let Some(entry) = self.tasks.get_mut(index)
            && entry.state == TaskState::InFlight
            && entry.attempts == attempt
        {
            entry.handle = Some(handle);
        }
    }

    fn vanished(&mut self, task: TaskIndex, attempt: u32, effects: &mut Vec<Effect>) {
        if let Some(entry) = self.tasks.get_mut(task.0)
            && entry.state == TaskState::InFlight
            && entry.attempts == attempt
            && self.aborted.is_none()
        {
            entry.handle = None;
            effects.push(Effect::Submit { task, attempt });
        }
    }

    fn ended(
        &mut self,
        now: Millis,
        task: TaskIndex,
        attempt: u32,
        verdict: &Verdict,
        effects: &mut Vec<Effect>,
    ) {
        let Some(handle) = self.settle(now, task, attempt, verdict) else { return };
        match self.state(task) {
            _ if self.aborted.is_some() => {}
            Some(TaskState::Waiting(at)) => effects.push(Effect::Again { task, at }),
            Some(TaskState::Ended(OutcomeKind::Critical)) => self.abort(Abort::Critical(task), effects),
            _ => {}
        }
        if let (OutcomeKind::TimedOut, Some(handle)) = (verdict.kind, handle) {
            effects.push(Effect::Cancel { handle });
        }
    }

    /// Puts a task that ended into its next place. None when it was not in that try; else the name of its job, if it had one.
    fn settle(
        &mut self,
        now: Millis,
        task: TaskIndex,
        attempt: u32,
        verdict: &Verdict,
    ) -> Option<Option<Bytes>> {
        let entry = self.tasks.get_mut(task.0)?;
        if entry.state != TaskState::InFlight || entry.attempts != attempt {
            return None;
        }
        entry.took_ms = now.since(entry.began);
        entry.last = Some(verdict.kind);
        entry.message = verdict.message.as_deref().map(Into::into);
        let handle = entry.handle.clone();
        let next = if self.policy.tries_again(verdict.kind, attempt) {
            TaskState::Waiting(now.plus(self.policy.pause_ms(&self.run, task.0 as u64, attempt)))
        } else {
            TaskState::Ended(verdict.kind)
        };
        self.place(task, next);
        Some(handle)
    }

    fn manager_ended(&mut self, now: Millis, verdict: &Verdict, effects: &mut Vec<Effect>) {
        let (policy, run) = (&self.policy, &self.run);
        let over = self.counts.open() == 0;
        let Some(manager) = &mut self.manager else { return };
        if let Some(why) = manager.ended(now, verdict, policy, run, over) {
            self.abort(Abort::Manager(why), effects);
        }
    }

    fn abort(&mut self, why: Abort, effects: &mut Vec<Effect>) {
        if self.aborted.is_none() && !self.finished {
            effects.push(Effect::Abort(why.clone()));
            self.aborted = Some(why);
        }
    }

    /// Submits what is due and has room; says when all is over.
    fn go_on(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if self.aborted.is_some() || self.finished || !self.started {
            return;
        }
        while let Some((task, Reverse(at))) = self.waiting.peek().map(|(task, at)| (*task, *at))
            && at <= now
        {
            self.place(task, TaskState::Ready);
        }
        if self.held.is_some_and(|until| until <= now) {
            self.held = None;
        }
        let outstanding = self.outstanding();
        if self.held.is_none()
            && let Some(manager) = &mut self.manager
            && let Some(attempt) = manager.submit(now, outstanding)
        {
            effects.push(Effect::SubmitManager { attempt, tasks: outstanding });
        }
        while self.held.is_none()
            && self.counts.in_flight < self.policy.in_flight.max(1)
            && let Some(task) = self.ready.peek().map(|(task, _)| *task)
        {
            self.place(task, TaskState::InFlight);
            let Some(entry) = self.tasks.get_mut(task.0) else { continue };
            entry.attempts = entry.attempts.saturating_add(1);
            entry.began = now;
            entry.handle = None;
            effects.push(Effect::Submit { task, attempt: entry.attempts });
        }
        let answered =
            self.manager.as_ref().is_none_or(|manager| manager.is_over(now, self.policy.manager_grace));
        if self.counts.open() == 0 {
            if answered {
                self.finished = true;
                effects.push(Effect::Finish);
            } else if let Some(manager) = &mut self.manager {
                manager.wait_for_answer(now, self.policy.manager_grace);
            }
        }
    }

    /// Puts a task behind those that are ready.
    fn line_up(&mut self, task: TaskIndex) {
        self.ready.push(task, Reverse(self.turn));
        self.turn = self.turn.saturating_add(1);
    }

    /// Moves a task to its next place: the only way there is.
    fn place(&mut self, task: TaskIndex, next: TaskState) {
        let Some(entry) = self.tasks.get_mut(task.0) else { return };
        let before = std::mem::replace(&mut entry.state, next);
        *self.counts.of(before) -= 1;
        *self.counts.of(next) += 1;
        match before {
            TaskState::Ready => drop(self.ready.remove(&task)),
            TaskState::Waiting(_) => drop(self.waiting.remove(&task)),
            TaskState::InFlight | TaskState::Ended(_) => {}
        }
        match next {
            TaskState::Ready => self.line_up(task),
            TaskState::Waiting(at) => drop(self.waiting.push(task, Reverse(at))),
            TaskState::InFlight | TaskState::Ended(_) => {}
        }
    }

    /// What must hold after every event, for tests.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        let mut counted = Counts { tasks: self.tasks.len(), ..Counts::default() };
        for (index, entry) in self.tasks.iter().enumerate() {
            *counted.of(entry.state) += 1;
            let listed = self.ready.get_priority(&TaskIndex(index)).is_some();
            if listed != (entry.state == TaskState::Ready) {
                return Err(format!("task {index} is {:?}, in the queue: {listed}", entry.state));
            }
            let timer = self.waiting.get_priority(&TaskIndex(index)).map(|Reverse(at)| *at);
            let due = match entry.state {
                TaskState::Waiting(at) => Some(at),
                _ => None,
            };
            if timer != due {
                return Err(format!("task {index} is {:?}, its timer {timer:?}", entry.state));
            }
        }
        if counted != self.counts {
            return Err(format!("counted {counted:?}, kept {:?}", self.counts));
        }
        if self.started && self.counts.in_flight > self.policy.in_flight.max(1) {
            return Err(format!("{} are in flight", self.counts.in_flight));
        }
        Ok(())
    }
}

impl Counts {
    /// Tasks that are not over.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.ready + self.in_flight + self.waiting
    }

    const fn of(&mut self, state: TaskState) -> &mut usize {
        match state {
            TaskState::Ready => &mut self.ready,
            TaskState::InFlight => &mut self.in_flight,
            TaskState::Waiting(_) => &mut self.waiting,
            TaskState::Ended(OutcomeKind::Ok) => &mut self.ok,
            TaskState::Ended(_) => &mut self.not_ok,
        }
    }
}

#[cfg(test)]
#[path = "tests/ledger.rs"]
mod tests;

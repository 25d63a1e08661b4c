//! The manager of a run: one task at high priority, for as long as there are tasks.

use super::super::policy::Policy;
use super::super::verdict::{OutcomeKind, Verdict};
use conveyor_common::Millis;
use std::time::Duration;

/// Whose chance it is when the pause behind a failed manager is jittered: no task has this number.
const MANAGER: u64 = u64::MAX;

/// Where the manager of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagerState {
    /// None is asked for; the next one not before this.
    Idle(Millis),
    /// Its task is submitted and not answered.
    InFlight,
}

/// The manager of a run.
#[derive(Clone, Debug)]
pub(in crate::run) struct Manager {
    pub(in crate::run) state: ManagerState,
    /// Manager tasks so far.
    pub(in crate::run) attempts: u32,
    /// The next one is the last one once more: nobody has answered it, and it does not run.
    same: bool,
    /// Those that failed, since one was of use.
    failures: u32,
    pub(in crate::run) last: Option<OutcomeKind>,
    pub(in crate::run) message: Option<Box<str>>,
    /// All tasks are over, and it is waited for no longer than this.
    patience: Option<Millis>,
}

impl Default for Manager {
    fn default() -> Self {
        Self {
            state: ManagerState::Idle(Millis::default()),
            attempts: 0,
            same: false,
            failures: 0,
            last: None,
            message: None,
            patience: None,
        }
    }
}

impl Manager {
    /// The run begins, or goes on with a new client: what was not answered is submitted again, as the same task.
    pub(super) const fn start(&mut self) {
        self.vanished(self.attempts);
        self.state = ManagerState::Idle(Millis(0));
        self.failures = 0;
        self.patience = None;
    }

    /// Its job is not there any more: if it is needed, the same task is submitted again.
    pub(super) const fn vanished(&mut self, attempt: u32) {
        if matches!(self.state, ManagerState::InFlight) && self.attempts == attempt {
            self.state = ManagerState::Idle(Millis(0));
            self.same = true;
        }
    }

    /// The number of the manager task to be submitted now, if one is.
    pub(super) fn submit(&mut self, now: Millis, outstanding: usize) -> Option<u32> {
        match self.state {
            ManagerState::Idle(not_before) if outstanding > 0 && not_before <= now => {
                self.state = ManagerState::InFlight;
                if !std::mem::take(&mut self.same) {
                    self.attempts = self.attempts.saturating_add(1);
                }
                self.patience = None;
                Some(self.attempts)
            }
            _ => None,
        }
    }

    /// It was submitted, says the journal.
    pub(super) const fn restore_submitted(&mut self, attempt: u32) {
        self.state = ManagerState::InFlight;
        self.attempts = attempt;
        self.same = false;
        self.patience = None;
    }

    /// It is over. Some when the run has to end, with the reason.
    ///
    /// A manager that says that all is well is asked again only after a pause, while its performers may still be at work.
    pub(super) fn ended(
        &mut self,
        now: Millis,
        verdict: &Verdict,
        policy: &Policy,
        run: &str,
        over: bool,
    ) -> Option<String> {
        if self.state != ManagerState::InFlight {
            return None;
        }
        self.last = Some(verdict.kind);
        self.message = verdict.message.as_deref().map(Into::into);
        self.failures = if verdict.kind == OutcomeKind::Ok { 0 } else { self.failures.saturating_add(1) };
        let pause = policy.pause_ms(run, MANAGER, self.failures.max(1));
        self.state = ManagerState::Idle(now.plus(pause));
        let said = || verdict.message.clone().unwrap_or_else(|| verdict.kind.to_string());
        let failed = self.failures >= policy.attempts.max(1) && !over;
        (verdict.kind == OutcomeKind::Critical || failed).then(said)
    }

    /// All tasks are over: it has a while to say so.
    pub(super) fn wait_for_answer(&mut self, now: Millis, grace: Duration) {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.patience.get_or_insert(now.plus(grace));
    }

    /// Whether nobody needs to wait for it, all tasks being over.
    pub(super) fn is_over(&self, now: Millis, grace: Duration) -> bool {
        let impatient = grace.is_zero() || self.patience.is_some_and(|until| until <= now);
        self.state != ManagerState::InFlight || impatient
    }

    /// When a tick is next worth sending.
    pub(super) const fn deadline(&self, outstanding: usize) -> Option<Millis> {
        match self.state {
            ManagerState::Idle(not_before) if outstanding > 0 => Some(not_before),
            ManagerState::InFlight => self.patience,
            ManagerState::Idle(_) => None,
        }
    }
}

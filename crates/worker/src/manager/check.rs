//! What must hold after every event.

use super::Manager;
use super::effect::{Stage, State};
use super::timers::Timer;
use std::collections::BTreeSet;

impl Manager {
    /// Checks every invariant; for tests.
    ///
    /// # Errors
    ///
    /// The first one that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        self.check_performers()?;
        self.check_numbers()?;
        for timer in self.timers.iter() {
            let lost = match timer {
                Timer::Stage(slot) | Timer::Lifetime(slot) | Timer::Healthy(slot) | Timer::Ping(slot) => {
                    !self.performers.contains_key(&slot)
                }
                Timer::Retry(_) | Timer::Patience(_) | Timer::Sensors | Timer::Pace => false,
            };
            ensure(!lost, || format!("{timer:?} is for nobody"))?;
        }
        let late = self.timers.next().is_some_and(|at| at <= self.now) && !self.ended;
        ensure(!late, || "a timer that was due has not fired".to_owned())
    }

    fn check_performers(&self) -> Result<(), String> {
        let mut numbers = BTreeSet::new();
        for (slot, performer) in &self.performers {
            let fail = |what: &str| format!("{what}: {performer:?}");
            ensure(*slot == performer.slot, || fail("in the wrong place"))?;
            ensure(self.crews.contains_key(&slot.group), || fail("of no group"))?;
            ensure(slot.generation <= self.generation, || fail("of the future"))?;
            ensure(numbers.insert((slot.group, slot.number)), || fail("two have its number"))?;
            let ending = matches!(performer.state, State::Ending(_));
            ensure(ending == performer.ending.is_some(), || fail("ending and not"))?;
            ensure(performer.state != State::Gone, || fail("gone and still there"))?;
            ensure(!performer.frozen || performer.state == State::Paused, || fail("frozen and not paused"))?;
            let at_birth = matches!(performer.state, State::Starting | State::Ending(Stage::Asked));
            ensure(performer.pid.is_some() || at_birth, || fail("without a process"))?;
            let held = performer.held_by_policy || performer.held_by_command;
            let follows = match performer.state {
                State::Ready | State::Resuming => !held,
                State::Pausing | State::Paused => held,
                State::Starting | State::Ending(_) | State::Gone => true,
            };
            ensure(follows, || fail("not what it is to be"))?;
            let waits = match performer.state {
                State::Starting | State::Ending(_) => performer.pid.is_some(),
                State::Pausing | State::Resuming => true,
                State::Ready | State::Paused | State::Gone => false,
            };
            let timed = self.timers.contains(Timer::Stage(*slot));
            ensure(waits == timed, || fail("waits without end, or for nothing"))?;
            ensure(!self.stopping || ending, || fail("does not end with the manager"))?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), String> {
        let live = self.performers.len();
        ensure(live <= self.settings.most as usize, || format!("{live} performers are too many"))?;
        ensure(!self.ended || live == 0, || "over, but somebody lives".to_owned())?;
        for group in self.groups() {
            let sum = group.starting + group.ready + group.paused + group.ending;
            ensure(sum == group.live, || format!("the status does not add up: {group:?}"))?;
        }
        let Some((batch, task)) = self.batch.as_ref().and_then(|batch| Some((batch, batch.task?))) else {
            return Ok(());
        };
        let live = u32::try_from(live).unwrap_or(u32::MAX);
        ensure(live <= task.at_once.max(1), || format!("{live} at once"))?;
        let all = batch.finished.saturating_add(live);
        ensure(all <= task.total, || format!("{all} of {} created", task.total))
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

//! Watches a manager from outside: what it may never want.

use conveyor_common::Millis;
use conveyor_worker::manager::{Effect, Manager, Outcome, Signal, Slot, Stage, State};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the manager knows about a process, by the events it was sent.
#[derive(Debug, Default)]
struct Seen {
    spawned: bool,
    hello: bool,
    state: Option<State>,
    sequence: u64,
    asked: bool,
    killed: bool,
    frozen: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    ever: BTreeSet<Slot>,
    live: BTreeMap<Slot, Seen>,
    starts: VecDeque<Millis>,
    pub(crate) stopped: Option<Millis>,
    pub(crate) lost: bool,
    pub(crate) finish: Option<Outcome>,
    pub(crate) ended: bool,
}

impl Observer {
    pub(crate) fn spawned(&mut self, slot: Slot) {
        if let Some(seen) = self.live.get_mut(&slot) {
            seen.spawned = true;
        }
    }

    pub(crate) fn hello(&mut self, slot: Slot) {
        if let Some(seen) = self.live.get_mut(&slot) {
            seen.hello = true;
        }
    }

    pub(crate) fn gone(&mut self, slot: Slot) {
        self.live.remove(&slot);
    }

    /// One effect, in order.
    pub(crate) fn effect(&mut self, now: Millis, effect: &Effect) {
        assert!(!self.ended, "nothing comes after Ended: {effect:?}");
        match effect {
            Effect::Spawn { slot, .. } => self.spawn(now, *slot),
            Effect::Tell { slot, sequence, .. } => {
                let seen = self.process(*slot, effect);
                assert!(seen.hello, "told something before its hello: {effect:?}");
                assert!(*sequence > seen.sequence, "sequences rise: {effect:?}");
                seen.sequence = *sequence;
            }
            Effect::Freeze { slot } => {
                let seen = self.process(*slot, effect);
                assert!(!seen.frozen, "frozen twice");
                seen.frozen = true;
            }
            Effect::Thaw { slot } => {
                let seen = self.process(*slot, effect);
                assert!(seen.frozen, "not frozen");
                seen.frozen = false;
            }
            Effect::Signal { slot, signal } => {
                let seen = self.process(*slot, effect);
                match signal {
                    Signal::Term => {
                        assert!(!seen.asked && !seen.killed && !seen.frozen, "SIGTERM once: {seen:?}");
                        seen.asked = true;
                    }
                    Signal::Kill => seen.killed = true,
                }
            }
            Effect::ReportProgress { created, finished, total } => {
                assert!(finished <= created && created <= total, "{effect:?}");
                assert!(self.finish.is_none() && !self.lost, "progress of what is over");
            }
            Effect::Finish(outcome) => {
                assert_eq!(self.finish, None, "answered twice");
                assert!(!self.lost, "nobody waits for this");
                self.finish = Some(outcome.clone());
            }
            Effect::Ended => {
                assert!(self.live.is_empty(), "over, with {:?}", self.live);
                self.ended = true;
            }
            Effect::SetState { slot, state } => self.state(*slot, *state),
            Effect::Note(note) => assert!(!note.why.is_empty(), "{note:?}"),
        }
    }

    fn spawn(&mut self, now: Millis, slot: Slot) {
        assert!(self.stopped.is_none() && self.finish.is_none() && !self.lost, "started after the end");
        assert!(self.ever.insert(slot), "{slot:?} was there before");
        let place = |other: &Slot| (other.group, other.number) == (slot.group, slot.number);
        assert!(!self.live.keys().any(place), "two in the place of {slot:?}");
        self.live.insert(slot, Seen::default());
        self.starts.push_back(now);
        if self.starts.len() > 64 {
            self.starts.pop_front();
        }
    }

    /// A process that was started and is not gone.
    fn process(&mut self, slot: Slot, effect: &Effect) -> &mut Seen {
        let seen = self.live.get_mut(&slot).unwrap_or_else(|| panic!("{effect:?} for nobody"));
        assert!(seen.spawned, "there is no process yet: {effect:?}");
        seen
    }

    fn state(&mut self, slot: Slot, state: State) {
        if state == State::Gone {
            return;
        }
        let seen = self.live.get_mut(&slot).unwrap_or_else(|| panic!("{state:?} of nobody"));
        let allowed = match (seen.state, state) {
            (None, State::Starting)
            | (Some(State::Starting | State::Resuming), State::Ready)
            | (Some(State::Ready | State::Resuming), State::Pausing | State::Paused)
            | (Some(State::Pausing), State::Paused)
            | (Some(State::Pausing | State::Paused), State::Resuming | State::Ready) => true,
            (Some(State::Ending(before)), State::Ending(after)) => order(before) < order(after),
            (Some(before), State::Ending(_)) => before != State::Gone,
            _ => false,
        };
        assert!(allowed, "{:?} becomes {state:?}", seen.state);
        seen.state = Some(state);
    }

    /// No more than `burst` starts and one every `every_ms`, in any stretch of time.
    pub(crate) fn pace(&self, burst: usize, every_ms: u64) {
        if every_ms == 0 {
            return;
        }
        let starts: Vec<Millis> = self.starts.iter().copied().collect();
        let Some(last) = starts.last() else { return };
        for (index, first) in starts.iter().enumerate() {
            let made = starts.len() - index;
            let permitted = burst as u64 + last.since(*first) / every_ms;
            assert!(made as u64 <= permitted, "{made} starts in {} ms", last.since(*first));
        }
    }

    /// What the manager says about itself is what was seen.
    pub(crate) fn agrees(&self, manager: &Manager) {
        let told: Vec<(Slot, State)> =
            manager.performers().iter().map(|performer| (performer.slot, performer.state)).collect();
        let seen: Vec<(Slot, State)> =
            self.live.iter().map(|(slot, seen)| (*slot, seen.state.unwrap())).collect();
        assert_eq!(told, seen);
        let live: usize = manager.groups().iter().map(|group| group.live as usize).sum();
        assert_eq!(live, self.live.len());
        manager.check().unwrap();
    }
}

const fn order(stage: Stage) -> u8 {
    match stage {
        Stage::Asked => 0,
        Stage::Term => 1,
        Stage::Kill => 2,
    }
}

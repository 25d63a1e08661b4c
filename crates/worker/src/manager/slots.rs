//! One performer: from the start of its process to its end.
//!
//! starting, ready, pausing, paused, resuming, ready, ...; from any of them ending: asked, SIGTERM, SIGKILL; gone. What it is
//! to be (paused, ended) is kept apart from what it is, so that orders may come at any time and twice.

use super::effect::{About, Effect, Note, Order, Signal, Stage, State, What};
use super::event::Slot;
use super::group::{Group, PauseBy};
use super::timers::{Timer, Timers};
use conveyor_common::Millis;

/// What was sent SIGKILL and is still there is sent it again after this time, in milliseconds.
const KILL_AGAIN_MS: u64 = 5000;

/// Why a performer is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It did not say hello.
    NoHello,
    /// For want of memory or processors.
    Shed,
    /// It has lived long enough.
    Lifetime,
    /// It has done enough jobs.
    Jobs,
    /// Another one takes its place.
    Replaced,
    /// There are more than there are to be.
    TooMany,
    /// Somebody wants it.
    Drained,
    /// The manager ends.
    Stopped,
}

impl Reason {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NoHello => "it did not say hello in time",
            Self::Shed => "the machine is short of memory or processors",
            Self::Lifetime => "it has lived long enough",
            Self::Jobs => "it has done as many jobs as it may",
            Self::Replaced => "it is replaced by another one",
            Self::TooMany => "there are more than there are to be",
            Self::Drained => "it is drained",
            Self::Stopped => "the manager ends",
        }
    }
}

/// Where effects and timers of a performer go.
pub(super) struct Out<'a> {
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) timers: &'a mut Timers,
}

/// A performer.
#[derive(Clone, Debug)]
pub(super) struct Performer {
    pub(super) slot: Slot,
    pub(super) state: State,
    /// Its process; none while it is being started.
    pub(super) pid: Option<u32>,
    /// When its start was asked for.
    pub(super) born: Millis,
    /// It said hello.
    speaks: bool,
    /// Its last order, and whether it was a pause that no [`Order::Resume`] followed.
    sequence: u64,
    told_to_pause: bool,
    pub(super) frozen: bool,
    /// The [`Order::Ping`] it has not answered, and whether it has taken too long.
    pinged: Option<u64>,
    pub(super) silent: bool,
    /// Who wants it to pause.
    pub(super) held_by_policy: bool,
    pub(super) held_by_command: bool,
    /// It has a job, and has answered so many.
    pub(super) busy: bool,
    pub(super) jobs: u32,
    /// It is to be replaced by a new one.
    pub(super) outdated: bool,
    /// It is to end between jobs.
    pub(super) leaving: Option<Reason>,
    /// It is to end.
    pub(super) ending: Option<Reason>,
    /// When it is sent SIGKILL.
    kill_at: Millis,
    /// It is sent SIGKILL as soon as it is there.
    kill_at_birth: bool,
}

impl Performer {
    pub(super) fn new(slot: Slot, now: Millis, out: &mut Out<'_>) -> Self {
        out.effects.push(Effect::SetState { slot, state: State::Starting });
        Self {
            slot,
            state: State::Starting,
            pid: None,
            born: now,
            speaks: false,
            sequence: 0,
            told_to_pause: false,
            frozen: false,
            pinged: None,
            silent: false,
            held_by_policy: false,
            held_by_command: false,
            busy: false,
            jobs: 0,
            outdated: false,
            leaving: None,
            ending: None,
            kill_at: Millis::default(),
            kill_at_birth: false,
        }
    }

    /// It is neither ending nor about to.
    pub(super) const fn stays(&self) -> bool {
        self.ending.is_none() && self.leaving.is_none()
    }

    /// It has got through its start and is not ending.
    pub(super) const fn is_up(&self) -> bool {
        self.ending.is_none() && !matches!(self.state, State::Starting)
    }

    /// It has done what a performer of a batch is for.
    pub(super) const fn has_served(&self) -> bool {
        self.jobs > 0 && !self.busy
    }

    pub(super) fn set(&mut self, state: State, out: &mut Out<'_>) {
        if self.state != state {
            self.state = state;
            out.effects.push(Effect::SetState { slot: self.slot, state });
        }
    }

    fn wait(&self, until: Millis, out: &mut Out<'_>) {
        out.timers.set(Timer::Stage(self.slot), until);
    }

    fn tell(&mut self, order: Order, out: &mut Out<'_>) {
        self.sequence += 1;
        out.effects.push(Effect::Tell { slot: self.slot, order, sequence: self.sequence });
    }

    fn signal(&self, signal: Signal, out: &mut Out<'_>) {
        debug_assert!(self.pid.is_some(), "only a process can be sent a signal");
        out.effects.push(Effect::Signal { slot: self.slot, signal });
    }

    fn note(&self, what: What, why: &str, out: &mut Out<'_>) {
        let about = About::Performer(self.slot);
        out.effects.push(Effect::Note(Note { about, what, why: why.to_owned() }));
    }

    fn freeze(&mut self, out: &mut Out<'_>) {
        if !self.frozen {
            self.frozen = true;
            out.effects.push(Effect::Freeze { slot: self.slot });
        }
    }

    fn thaw(&mut self, out: &mut Out<'_>) {
        if self.frozen {
            self.frozen = false;
            out.effects.push(Effect::Thaw { slot: self.slot });
        }
    }

    /// Its process is there.
    pub(super) fn spawned(&mut self, now: Millis, pid: u32, group: &Group, out: &mut Out<'_>) {
        if self.pid.is_some() {
            return;
        }
        self.pid = Some(pid);
        if self.kill_at_birth {
            self.kill(now, Reason::Stopped, out);
        } else if self.ending.is_some() {
            // It was to end before it was there.
            self.ask(now, group, out);
        } else {
            self.wait(now.plus(group.hello_ms.unwrap_or(group.starts_ms)), out);
        }
    }

    pub(super) fn hello(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        if let Some(every) = group.ping_ms.filter(|_| !self.speaks && self.pid.is_some()) {
            out.timers.set(Timer::Ping(self.slot), now.plus(every.max(1)));
        }
        self.speaks = self.pid.is_some();
        if matches!(self.state, State::Starting) && self.speaks {
            self.ready(now, group, out);
        }
    }

    fn ready(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        out.timers.cancel(Timer::Stage(self.slot));
        self.set(State::Ready, out);
        self.steer(now, group, out);
    }

    pub(super) fn acked(&mut self, now: Millis, sequence: u64, group: &Group, out: &mut Out<'_>) {
        if self.pinged == Some(sequence) {
            (self.pinged, self.silent) = (None, false);
        }
        if sequence != self.sequence {
            return;
        }
        match self.state {
            State::Pausing => {
                out.timers.cancel(Timer::Stage(self.slot));
                self.set(State::Paused, out);
            }
            State::Resuming => self.ready(now, group, out),
            // It ends its own way, and has its grace for it.
            State::Ending(Stage::Asked) => self.wait(self.kill_at.minus(group.ack_ms).max(now), out),
            State::Starting | State::Ready | State::Paused | State::Ending(_) | State::Gone => {}
        }
    }

    /// Asks whether it is still there. Only one that takes jobs can be expected to answer.
    pub(super) fn ping(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        let Some(every) = group.ping_ms.filter(|_| self.ending.is_none()) else { return };
        out.timers.set(Timer::Ping(self.slot), now.plus(every.max(1)));
        match (self.state, self.pinged) {
            (State::Ready, None) => {
                self.tell(Order::Ping, out);
                self.pinged = Some(self.sequence);
            }
            (State::Ready, Some(_)) if !self.silent => {
                self.silent = true;
                self.note(What::Silent, "it does not answer; it may have a long job", out);
            }
            _ => {}
        }
    }

    /// Makes it pause or go on, as it is to.
    pub(super) fn steer(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        if self.ending.is_some() {
            return;
        }
        let held = self.held_by_policy || self.held_by_command;
        match (held, self.state) {
            (true, State::Ready | State::Resuming) => self.pause(now, group, out),
            (false, State::Pausing | State::Paused) => self.resume(now, group, out),
            _ => {}
        }
    }

    fn pause(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        if self.speaks && group.pause == PauseBy::Telling {
            self.tell(Order::Pause, out);
            self.told_to_pause = true;
            self.set(State::Pausing, out);
            self.wait(now.plus(group.ack_ms), out);
        } else {
            out.timers.cancel(Timer::Stage(self.slot));
            self.freeze(out);
            self.set(State::Paused, out);
        }
    }

    fn resume(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        self.thaw(out);
        if self.told_to_pause {
            self.tell(Order::Resume, out);
            self.told_to_pause = false;
            self.set(State::Resuming, out);
            self.wait(now.plus(group.ack_ms), out);
        } else {
            self.ready(now, group, out);
        }
    }

    /// Ends it between jobs, at once if it has none.
    pub(super) fn leave(&mut self, now: Millis, reason: Reason, group: &Group, out: &mut Out<'_>) {
        if self.ending.is_some() {
            return;
        }
        if !self.busy {
            self.end(now, reason, group, out);
        } else if self.leaving.is_none() {
            self.leaving = Some(reason);
            // Its job has to come to an end.
            self.held_by_command = false;
            self.steer(now, group, out);
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self, now: Millis, reason: Reason, group: &Group, out: &mut Out<'_>) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(reason);
        let what = if reason == Reason::Shed { What::Shed } else { What::Ending };
        self.note(what, reason.words(), out);
        if self.pid.is_some() {
            self.ask(now, group, out);
        } else {
            self.set(State::Ending(Stage::Asked), out);
        }
    }

    /// The first step: who speaks is told, everybody else is sent SIGTERM.
    fn ask(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        self.thaw(out);
        if self.speaks {
            let shed = self.ending == Some(Reason::Shed);
            self.tell(Order::Terminate { shed }, out);
            self.set(State::Ending(Stage::Asked), out);
            self.kill_at = now.plus(group.ack_ms).plus(group.grace_ms);
            self.wait(now.plus(group.ack_ms), out);
        } else {
            self.kill_at = now.plus(group.grace_ms);
            self.term(out);
        }
    }

    fn term(&mut self, out: &mut Out<'_>) {
        self.set(State::Ending(Stage::Term), out);
        self.signal(Signal::Term, out);
        self.wait(self.kill_at, out);
    }

    /// Kills it, now.
    pub(super) fn kill(&mut self, now: Millis, reason: Reason, out: &mut Out<'_>) {
        self.ending.get_or_insert(reason);
        if self.pid.is_none() {
            self.kill_at_birth = true;
            self.set(State::Ending(Stage::Asked), out);
            return;
        }
        self.set(State::Ending(Stage::Kill), out);
        self.signal(Signal::Kill, out);
        self.thaw(out);
        self.wait(now.plus(KILL_AGAIN_MS), out);
    }

    /// The time it was given for its stage is over.
    pub(super) fn due(&mut self, now: Millis, group: &Group, out: &mut Out<'_>) {
        match self.state {
            State::Starting if group.hello_ms.is_some() => {
                let reason = Reason::NoHello;
                self.note(What::Silent, reason.words(), out);
                self.end(now, reason, group, out);
            }
            State::Starting => self.ready(now, group, out),
            State::Pausing => {
                self.note(What::Silent, "it was told to pause and is frozen instead", out);
                self.freeze(out);
                self.set(State::Paused, out);
            }
            State::Resuming => self.ready(now, group, out),
            State::Ending(Stage::Asked) => self.term(out),
            State::Ending(Stage::Term | Stage::Kill) => {
                self.note(What::Silent, "it has not ended in time and is killed", out);
                self.kill(now, Reason::Stopped, out);
            }
            State::Ready | State::Paused | State::Gone => {}
        }
    }
}

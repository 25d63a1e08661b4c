//! Decides what happens to performer processes: which are started, paused, resumed and ended. Pure: events and time go in,
//! effects come out; no process, clock, file, randomness or log in here.
//!
//! A *group* is one kind of performer, a *performer* is one process of it. A manager is resident and keeps the numbers of its
//! groups ([`Manager::new`]), or it does one manager's job ([`Manager::batch`]): so many performers have to come to their
//! end, no more than some of them at once.
//!
//! The shell that runs it feeds every [`Event`], carries out every [`Effect`] in order, and sends [`Event::Tick`] at
//! [`Manager::next_deadline`].

mod balance;
mod batch;
mod check;
mod commands;
mod effect;
mod event;
pub mod gearman_manager;
mod group;
mod lives;
pub mod load;
mod permit;
mod retry;
mod scale;
mod slots;
mod status;
mod timers;

pub use effect::{About, Effect, Note, Order, Outcome, Signal, Stage, State, What};
pub use event::{Command, Event, Exit, GroupId, Slot, Stop, Target, Task};
pub use group::{Group, PauseBy, Policy, Settings};
pub use permit::Blocked;
pub use retry::Settings as RetrySettings;
pub use scale::Settings as ScaleSettings;
pub use status::{GroupStatus, PerformerStatus};

use batch::Batch;
use conveyor_common::Millis;
use load::{Plan, Process, Snapshot, Why};
use permit::Permits;
use retry::Retry;
use scale::Scale;
use slots::{Out, Performer, Reason};
use std::collections::BTreeMap;
use timers::{Timer, Timers};

/// A group and what became of it.
#[derive(Clone, Debug)]
struct Crew {
    group: Group,
    retry: Retry,
    scale: Scale,
    paused: bool,
    drained: bool,
    /// It is in the settings no more, and goes when its last performer does.
    removed: bool,
    /// Performers that were ever started.
    starts: u64,
    /// Why it gets no performer, as it was last told.
    blocked: Option<Blocked>,
}

impl Crew {
    fn new(group: Group) -> Self {
        Self {
            group,
            retry: Retry::default(),
            scale: Scale::default(),
            paused: false,
            drained: false,
            removed: false,
            starts: 0,
            blocked: None,
        }
    }
}

/// Decides about the performers of one worker-manager.
#[derive(Clone, Debug)]
pub struct Manager {
    settings: Settings,
    now: Millis,
    crews: BTreeMap<GroupId, Crew>,
    /// The number of the next group.
    next_group: u16,
    performers: BTreeMap<Slot, Performer>,
    /// Starts so far.
    generation: u64,
    permits: Permits,
    timers: Timers,
    /// The manager's job; none in a resident manager.
    batch: Option<Batch>,
    stopping: bool,
    ended: bool,
}

impl Manager {
    /// A resident manager: it keeps the numbers of its groups. Of groups with the same name the first counts.
    #[must_use]
    pub fn new(settings: Settings, groups: Vec<Group>) -> Self {
        let permits = Permits::new(&settings.policy);
        let mut manager = Self {
            settings,
            now: Millis::default(),
            crews: BTreeMap::new(),
            next_group: 0,
            performers: BTreeMap::new(),
            generation: 0,
            permits,
            timers: Timers::default(),
            batch: None,
            stopping: false,
            ended: false,
        };
        for group in groups {
            manager.add(group);
        }
        manager
    }

    /// A manager for one manager's job, which comes by [`Event::JobTaken`]. Numbers of performers are the job's, not the
    /// group's.
    #[must_use]
    pub fn batch(settings: Settings, group: Group) -> Self {
        Self { batch: Some(Batch::default()), ..Self::new(settings, vec![group]) }
    }

    fn add(&mut self, group: Group) {
        if self.crews.values().all(|crew| crew.group.name != group.name) {
            self.crews.insert(GroupId(self.next_group), Crew::new(group));
            self.next_group = self.next_group.saturating_add(1);
        }
    }

    /// The group of that name.
    #[must_use]
    pub fn group_named(&self, name: &str) -> Option<GroupId> {
        self.crews.iter().find(|(_, crew)| crew.group.name == name).map(|(id, _)| *id)
    }

    /// The settings of a group, with the command that [`Effect::Spawn`] is to start.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.crews.get(&id).map(|crew| &crew.group)
    }

    /// Applies one event, and whatever is due at `now`. After [`Effect::Ended`] nothing happens any more.
    pub fn handle(&mut self, now: Millis, event: Event, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        if self.ended {
            return;
        }
        self.permits.begin(self.now);
        self.apply(event, effects);
        while let Some(timer) = self.timers.pop_due(self.now) {
            self.fire(timer, effects);
        }
        self.settle(effects);
    }

    /// When a tick is next worth sending; early or repeated ticks are harmless.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.timers.next().filter(|_| !self.ended)
    }

    fn apply(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Tick => {}
            Event::Measured(snapshot) => self.measured(snapshot, effects),
            Event::PressureUnknown { why } => self.permits.unknown(why),
            Event::Spawned { slot, pid } => {
                let spawned = |performer: &mut Performer, now, group: &Group, out: &mut Out<'_>| {
                    performer.spawned(now, pid, group, out);
                };
                self.with(slot, spawned, effects);
            }
            Event::SpawnFailed { slot, why } => self.spawn_failed(slot, &why, effects),
            Event::Hello { slot } => {
                self.with(slot, |performer, now, group, out| performer.hello(now, group, out), effects);
            }
            Event::Acked { slot, sequence } => {
                let acked = |performer: &mut Performer, now, group: &Group, out: &mut Out<'_>| {
                    performer.acked(now, sequence, group, out);
                };
                self.with(slot, acked, effects);
            }
            Event::Exited { slot, how } => self.exited(slot, how, effects),
            Event::JobStarted { slot } => {
                self.with(slot, |performer, _, _, _| performer.busy = true, effects)
            }
            Event::JobEnded { slot, ok: _ } => self.job_ended(slot, effects),
            Event::Queue { group, queued, running, oldest_age_ms } => {
                self.queue(group, (queued, running, oldest_age_ms), effects);
            }
            Event::Command(command) => self.command(command, effects),
            Event::FileChanged { group } => {
                self.restart(Target::Group(group), "its program has changed", effects)
            }
            Event::JobTaken(task) => self.take(task, effects),
            Event::JobLost => self.lose(effects),
        }
    }

    fn fire(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Stage(slot) => {
                self.with(slot, |performer, now, group, out| performer.due(now, group, out), effects);
            }
            // In a batch a performer has one task, and ends when it is done.
            Timer::Lifetime(slot) if self.batch.is_none() => self.leave(slot, Reason::Lifetime, effects),
            Timer::Healthy(slot) => self.has_lived(slot),
            Timer::Ping(slot) => {
                self.with(slot, |performer, now, group, out| performer.ping(now, group, out), effects);
            }
            Timer::Patience(group) => self.lose_patience(group, effects),
            Timer::Sensors => self.look_at_sensors(effects),
            // Something may be started: see what follows every event.
            Timer::Lifetime(_) | Timer::Retry(_) | Timer::Pace => {}
        }
    }

    /// What follows from what has happened.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        for id in self.crews.keys().copied().collect::<Vec<_>>() {
            self.trim(id, effects);
        }
        self.crews.retain(|id, crew| !crew.removed || self.performers.keys().any(|slot| slot.group == *id));
        self.start(effects);
        self.settle_batch(effects);
        match self.permits.next(&self.settings) {
            Some(at) if !self.stopping => self.timers.set(Timer::Sensors, at.max(self.now.plus(1))),
            _ => self.timers.cancel(Timer::Sensors),
        }
        let over = self.stopping || self.batch.as_ref().is_some_and(|batch| batch.over);
        if over && self.performers.is_empty() {
            self.ended = true;
            effects.push(Effect::Ended);
        }
    }

    /// The machine was measured: what the policy makes of it.
    fn measured(&mut self, mut snapshot: Snapshot, effects: &mut Vec<Effect>) {
        let pids: BTreeMap<u32, Slot> =
            self.performers.values().filter_map(|performer| Some((performer.pid?, performer.slot))).collect();
        let known = |process: Process| {
            let slot = *pids.get(&process.pid)?;
            Some((slot.generation, Process { kind: slot.group.0, ..process }))
        };
        let mut performers: Vec<(u64, Process)> = snapshot.performers.drain(..).filter_map(known).collect();
        performers.sort_by_key(|(generation, _)| *generation);
        snapshot.performers = performers.into_iter().map(|(_, process)| process).collect();
        let (wanted, next) = self.wanted();
        let kind = next.map_or(0, |id| id.0);
        let plan = self.permits.decide(self.now, &snapshot, wanted, kind);
        self.carry_out(&plan, &pids, effects);
    }

    fn carry_out(&mut self, plan: &Plan, pids: &BTreeMap<u32, Slot>, effects: &mut Vec<Effect>) {
        let slots = |of: &[u32]| of.iter().filter_map(|pid| pids.get(pid).copied()).collect::<Vec<_>>();
        for (slots, held) in [(slots(&plan.pause), true), (slots(&plan.resume), false)] {
            for slot in slots {
                let hold = |performer: &mut Performer, now, group: &Group, out: &mut Out<'_>| {
                    performer.held_by_policy = held;
                    performer.steer(now, group, out);
                };
                self.with(slot, hold, effects);
            }
        }
        for slot in slots(&plan.shed) {
            let shed = |performer: &mut Performer, now, group: &Group, out: &mut Out<'_>| {
                performer.end(now, Reason::Shed, group, out);
            };
            self.with(slot, shed, effects);
        }
        if plan.critical_finish && self.performers.is_empty() {
            let why = plan.why.unwrap_or(Why::CriticalMemory);
            self.finish(Outcome::Critical(format!("no performer can be started: {why}")), effects);
        }
    }

    fn look_at_sensors(&mut self, effects: &mut Vec<Effect>) {
        if let Some(failed) = self.permits.look(self.now, &self.settings) {
            let why = format!("no performer is started until something can be measured again: {failed}");
            effects.push(Effect::Note(Note { about: About::Manager, what: What::Blind, why }));
            self.finish(Outcome::Error(format!("nothing can be measured: {failed}")), effects);
        }
    }

    /// Ends a performer between jobs.
    fn leave(&mut self, slot: Slot, reason: Reason, effects: &mut Vec<Effect>) {
        self.with(slot, |performer, now, group, out| performer.leave(now, reason, group, out), effects);
    }

    /// Does something with a performer, if it is still the one that is meant.
    fn with(
        &mut self,
        slot: Slot,
        act: impl FnOnce(&mut Performer, Millis, &Group, &mut Out<'_>),
        effects: &mut Vec<Effect>,
    ) {
        let (Some(performer), Some(crew)) = (self.performers.get_mut(&slot), self.crews.get(&slot.group))
        else {
            return;
        };
        act(performer, self.now, &crew.group, &mut Out { effects, timers: &mut self.timers });
    }

    /// Does something with all performers.
    fn each(
        &mut self,
        mut act: impl FnMut(&mut Performer, Millis, &Group, &mut Out<'_>),
        effects: &mut Vec<Effect>,
    ) {
        for slot in self.performers.keys().copied().collect::<Vec<_>>() {
            self.with(slot, &mut act, effects);
        }
    }
}

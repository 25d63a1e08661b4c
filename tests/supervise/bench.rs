//! A manager on a bench: events by hand, effects by the list.

use crate::observer::Observer;
use conveyor_common::Millis;
use conveyor_worker::manager::load::{Process, Snapshot};
use conveyor_worker::manager::{
    Command, Effect, Event, Exit, Group, GroupId, Manager, Order, Settings, Signal, Slot, State, Stop,
    Target, Task, What,
};

/// The first group.
pub(crate) const FIRST: GroupId = GroupId(0);

/// A manager, and processes that do what the test says.
pub(crate) struct Bench {
    pub(crate) manager: Manager,
    pub(crate) now: Millis,
    observer: Observer,
    /// Effects of the last event, and of the ticks since.
    pub(crate) last: Vec<Effect>,
    next_pid: u32,
    /// Starts so far, with their times.
    pub(crate) starts: Vec<(Millis, Slot)>,
    /// Processes say hello at once.
    pub(crate) friendly: bool,
    pids: Vec<(Slot, u32)>,
}

pub(crate) fn group(name: &str, count: u32) -> Group {
    Group::new(name, vec![name.to_owned()]).count(count)
}

/// No pace to wait for.
pub(crate) fn quick() -> Settings {
    Settings { start_every_ms: 0, ..Settings::default() }
}

impl Bench {
    pub(crate) fn of(manager: Manager) -> Self {
        Self {
            manager,
            now: Millis(1000),
            observer: Observer::default(),
            last: Vec::new(),
            next_pid: 100,
            starts: Vec::new(),
            friendly: true,
            pids: Vec::new(),
        }
    }

    /// A resident manager whose performers are all ready.
    pub(crate) fn resident(settings: Settings, groups: Vec<Group>) -> Self {
        let mut bench = Self::of(Manager::new(settings, groups));
        bench.send(Event::Tick);
        bench
    }

    pub(crate) fn batch(settings: Settings, group: Group, total: u32, at_once: u32) -> Self {
        let mut bench = Self::of(Manager::batch(settings, group));
        bench.send(Event::JobTaken(Task { total, at_once }));
        bench
    }

    /// An event and what follows at once: processes are started, and say hello if they are friendly.
    pub(crate) fn send(&mut self, event: Event) {
        self.last.clear();
        self.pass_on(event);
    }

    fn pass_on(&mut self, event: Event) {
        match &event {
            Event::Exited { slot, .. } | Event::SpawnFailed { slot, .. } => self.observer.gone(*slot),
            Event::Spawned { slot, .. } => self.observer.spawned(*slot),
            Event::Hello { slot } => self.observer.hello(*slot),
            _ => {}
        }
        let mut effects = Vec::new();
        self.manager.handle(self.now, event, &mut effects);
        for effect in effects {
            self.observer.effect(self.now, &effect);
            if let Effect::Spawn { slot, .. } = effect {
                self.starts.push((self.now, slot));
            }
            self.last.push(effect);
        }
        self.observer.agrees(&self.manager);
        for slot in self.unborn() {
            self.next_pid += 1;
            let pid = self.next_pid;
            self.pids.push((slot, pid));
            self.pass_on(Event::Spawned { slot, pid });
            if self.friendly {
                self.pass_on(Event::Hello { slot });
            }
        }
    }

    fn unborn(&self) -> Vec<Slot> {
        let unborn = |slot: &Slot| self.pids.iter().all(|(known, _)| known != slot);
        self.starts.iter().map(|(_, slot)| *slot).filter(unborn).take(1).collect()
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.send(Event::Command(command));
    }

    pub(crate) fn stop(&mut self) {
        self.command(Command::Stop(Stop::Graceful));
    }

    /// Time passes, with every deadline met on the millisecond.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.last.clear();
        let end = self.now.plus(ms);
        while let Some(at) = self.manager.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.pass_on(Event::Tick);
        }
        self.now = end;
        self.pass_on(Event::Tick);
    }

    /// A measurement in which performers take so much each.
    pub(crate) fn measure(&mut self, free_kib: f64, resident_kib: f64, cpu_percent: f64) {
        let of = |pid| Process { pid, kind: 0, resident_kib, cpu_percent };
        let performers: Vec<Process> =
            self.manager.performers().iter().filter_map(|performer| performer.pid).map(of).collect();
        let snapshot = Snapshot { free_kib, idle_percent: 50.0, performers, ..Snapshot::default() };
        self.send(Event::Measured(snapshot));
    }

    pub(crate) fn exit(&mut self, slot: Slot, how: Exit) {
        self.send(Event::Exited { slot, how });
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.manager.performers().iter().map(|performer| performer.slot).collect()
    }

    pub(crate) fn slots_of(&self, group: GroupId) -> Vec<Slot> {
        self.slots().into_iter().filter(|slot| slot.group == group).collect()
    }

    pub(crate) fn state(&self, slot: Slot) -> State {
        let found = self.manager.performers().into_iter().find(|performer| performer.slot == slot);
        found.map_or(State::Gone, |performer| performer.state)
    }

    /// Orders to a performer in the last effects.
    pub(crate) fn told(&self, slot: Slot) -> Vec<(Order, u64)> {
        let told = |effect: &Effect| match effect {
            Effect::Tell { slot: to, order, sequence } if *to == slot => Some((*order, *sequence)),
            _ => None,
        };
        self.last.iter().filter_map(told).collect()
    }

    /// Acknowledges the last order of the last effects.
    pub(crate) fn ack(&mut self, slot: Slot) {
        let (_, sequence) = *self.told(slot).last().expect("an order");
        self.send(Event::Acked { slot, sequence });
    }

    pub(crate) fn signals(&self, slot: Slot) -> Vec<Signal> {
        let signal = |effect: &Effect| match effect {
            Effect::Signal { slot: to, signal } if *to == slot => Some(*signal),
            _ => None,
        };
        self.last.iter().filter_map(signal).collect()
    }

    pub(crate) fn noted(&self, what: What) -> Vec<String> {
        let noted = |effect: &Effect| match effect {
            Effect::Note(note) if note.what == what => Some(note.why.clone()),
            _ => None,
        };
        self.last.iter().filter_map(noted).collect()
    }

    pub(crate) fn has(&self, effect: &Effect) -> bool {
        self.last.contains(effect)
    }

    /// Pauses one performer, which obeys.
    pub(crate) fn pause(&mut self, slot: Slot) {
        self.command(Command::Pause(Target::Slot(slot)));
        self.ack(slot);
        assert_eq!(self.state(slot), State::Paused);
    }
}

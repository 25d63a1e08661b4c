//! A made-up world around a manager: processes that start slowly, never say hello, crash, ignore what they are told, do jobs
//! and are killed from outside; sensors that see much, little or nothing; and people with random wishes.

use crate::observer::Observer;
use crate::rng::Rng;
use conveyor_common::Millis;
use conveyor_worker::manager::load::{AdaptiveSettings, Legacy, LegacySettings, Pressure, Process, Snapshot};
use conveyor_worker::manager::{
    Command, Effect, Event, Exit, Group, GroupId, Manager, Order, Outcome, PauseBy, PerformerStatus, Policy,
    Settings, Signal, Slot, State, Stop, Target, Task,
};
use std::collections::BTreeMap;

/// How things went, over many worlds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) worlds: u64,
    pub(crate) steps: u64,
    starts: u64,
    killed: u64,
    frozen: u64,
    shed: u64,
    crashed: u64,
    given_up: u64,
    batches_done: u64,
    silent: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.starts += other.starts;
        self.killed += other.killed;
        self.frozen += other.frozen;
        self.shed += other.shed;
        self.crashed += other.crashed;
        self.given_up += other.given_up;
        self.batches_done += other.batches_done;
        self.silent += other.silent;
    }

    pub(crate) const fn rows(&self) -> [(&'static str, u64); 8] {
        [
            ("starts", self.starts),
            ("killed", self.killed),
            ("frozen", self.frozen),
            ("shed", self.shed),
            ("crashed", self.crashed),
            ("given up", self.given_up),
            ("batches done", self.batches_done),
            ("silent", self.silent),
        ]
    }
}

/// What a process does next.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Spawned,
    SpawnFailed,
    Hello,
    Ack(u64),
    JobStarted,
    JobEnded,
    Exit(Exit),
}

/// A process.
#[derive(Debug, Default)]
struct Fake {
    pid: Option<u32>,
    obeys_term: bool,
    obeys_orders: bool,
    reports: bool,
    frozen: bool,
    paused: bool,
    jobs: u32,
    /// What it would have done while it was frozen.
    held: Vec<Happens>,
}

/// One world.
pub(crate) struct World {
    seed: u64,
    rng: Rng,
    manager: Manager,
    settings: Settings,
    groups: Vec<Group>,
    task: Option<Task>,
    now: Millis,
    observer: Observer,
    processes: BTreeMap<Slot, Fake>,
    /// Those that are gone, for what comes too late.
    gone: Vec<Slot>,
    due: BTreeMap<(Millis, u64), (Slot, Happens)>,
    scheduled: u64,
    next_pid: u32,
    next_measure: Millis,
    /// Everybody means well from now on.
    calm: bool,
    counts: Counts,
    traced: bool,
    last: String,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, step) = (self.seed, self.counts.steps);
            eprintln!("world {seed}, step {step}, at {:?}: {}", self.now, self.last);
            eprintln!(
                "add {seed} to tests/supervise/seeds.txt; CONVEYOR_SIM_WORLD={seed} replays it, with a trace"
            );
        }
    }
}

fn random_group(rng: &mut Rng, number: usize) -> Group {
    let mut group = Group::new(format!("group {number}"), vec![rng.below(3).to_string()]);
    group.least = rng.below(4) as u32;
    group.most = group.least + rng.below(4) as u32;
    group.hello_ms = rng.chance(60).then_some(5000);
    group.grace_ms = 1000 + rng.below(20_000) as u64;
    group.pause = if rng.chance(70) { PauseBy::Telling } else { PauseBy::Freezing };
    group.lifetime_ms = rng.chance(30).then(|| 20_000 + rng.below(60_000) as u64);
    group.splay_ms = rng.below(10_000) as u64;
    group.most_jobs = rng.chance(30).then(|| 1 + rng.below(5) as u32);
    group.ping_ms = rng.chance(30).then_some(7000);
    group.least_ready = rng.below(3) as u32;
    group.retry.most = 1 + rng.below(6) as u32;
    group
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let policy = match rng.below(3) {
            0 => Policy::Fixed,
            1 => Policy::Adaptive(AdaptiveSettings { cores: 8.0, ..AdaptiveSettings::default() }),
            _ => {
                let legacy = LegacySettings { cores: 8, ..LegacySettings::default() };
                Policy::Legacy(Box::new(Legacy::new(legacy).unwrap()))
            }
        };
        let settings = Settings {
            policy,
            most: 1 + rng.below(20) as u32,
            start_every_ms: rng.below(1200) as u64,
            burst: 1 + rng.below(3) as u32,
            patience_ms: 5000 + rng.below(20_000) as u64,
            seed,
            ..Settings::default()
        };
        let groups: Vec<Group> = (0..=rng.below(3)).map(|number| random_group(&mut rng, number)).collect();
        let batch = rng.chance(40);
        let task = Task { total: 1 + rng.below(15) as u32, at_once: 1 + rng.below(4) as u32 };
        let manager = if batch {
            Manager::batch(settings.clone(), groups[0].clone())
        } else {
            Manager::new(settings.clone(), groups.clone())
        };
        let now = Millis(rng.below(100_000) as u64);
        Self {
            seed,
            rng,
            manager,
            settings,
            groups,
            task: batch.then_some(task),
            now,
            observer: Observer::default(),
            processes: BTreeMap::new(),
            gone: Vec::new(),
            due: BTreeMap::new(),
            scheduled: 0,
            next_pid: 100,
            next_measure: now,
            calm: false,
            counts: Counts { worlds: 1, ..Counts::default() },
            traced: false,
            last: String::new(),
        }
    }

    pub(crate) const fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    pub(crate) fn run(mut self, steps: u64) -> Counts {
        if let Some(task) = self.task {
            self.send(Event::JobTaken(task));
        }
        while self.counts.steps < steps && !self.observer.ended {
            if self.rng.chance(4) {
                self.wish();
            }
            self.step();
        }
        self.calm_down();
        self.end();
        self.counts
    }

    fn below(&mut self, limit: usize) -> u64 {
        self.rng.below(limit) as u64
    }

    fn schedule(&mut self, slot: Slot, after_ms: u64, happens: Happens) {
        self.scheduled += 1;
        self.due.insert((self.now.plus(after_ms), self.scheduled), (slot, happens));
    }

    /// Time passes until something happens.
    fn step(&mut self) {
        let mut at = self.now.plus(300);
        at = at.min(self.due.keys().next().map_or(at, |(at, _)| *at));
        at = at.min(self.manager.next_deadline().unwrap_or(at));
        let measures = !matches!(self.settings.policy, Policy::Fixed);
        at = at.min(if measures { self.next_measure } else { at });
        self.now = self.now.max(at);
        if measures && self.now >= self.next_measure {
            self.next_measure = self.now.plus(1000);
            self.measure();
        }
        let next = self.due.keys().next().copied().filter(|(at, _)| *at <= self.now);
        match next.and_then(|key| self.due.remove(&key)) {
            Some((slot, happens)) => self.happen(slot, happens),
            None => self.send(Event::Tick),
        }
    }

    fn happen(&mut self, slot: Slot, happens: Happens) {
        let Some(process) = self.processes.get_mut(&slot) else {
            // News of somebody who is gone may still come.
            if self.gone.contains(&slot) && self.rng.chance(50) {
                match happens {
                    Happens::Hello => self.send(Event::Hello { slot }),
                    Happens::Ack(sequence) => self.send(Event::Acked { slot, sequence }),
                    Happens::JobEnded => self.send(Event::JobEnded { slot, ok: true }),
                    Happens::Exit(how) => self.send(Event::Exited { slot, how }),
                    _ => {}
                }
            }
            return;
        };
        if process.frozen && !matches!(happens, Happens::Exit(Exit::Signal(9))) {
            process.held.push(happens);
            return;
        }
        if process.paused
            && matches!(happens, Happens::JobStarted | Happens::JobEnded | Happens::Exit(Exit::Code(_)))
        {
            self.schedule(slot, 500, happens);
            return;
        }
        match happens {
            Happens::Spawned => {
                self.next_pid += 1;
                process.pid = Some(self.next_pid);
                let pid = self.next_pid;
                self.observer.spawned(slot);
                self.send(Event::Spawned { slot, pid });
            }
            Happens::SpawnFailed => {
                self.bury(slot);
                self.send(Event::SpawnFailed { slot, why: "made up".to_owned() });
            }
            Happens::Hello => {
                self.observer.hello(slot);
                self.send(Event::Hello { slot });
            }
            Happens::Ack(sequence) => self.send(Event::Acked { slot, sequence }),
            Happens::JobStarted => {
                let takes = self.below(4000);
                self.schedule(slot, takes, Happens::JobEnded);
                self.send(Event::JobStarted { slot });
            }
            Happens::JobEnded => {
                process.jobs += 1;
                let rests = self.below(3000);
                let next =
                    if self.task.is_some() { Happens::Exit(Exit::Code(0)) } else { Happens::JobStarted };
                self.schedule(slot, rests, next);
                self.send(Event::JobEnded { slot, ok: true });
            }
            Happens::Exit(how) => {
                self.bury(slot);
                self.send(Event::Exited { slot, how });
            }
        }
    }

    fn bury(&mut self, slot: Slot) {
        self.processes.remove(&slot);
        self.observer.gone(slot);
        self.gone.push(slot);
        if self.gone.len() > 20 {
            self.gone.remove(0);
        }
    }

    fn send(&mut self, event: Event) {
        self.counts.steps += 1;
        self.last = format!("{event:?}");
        if self.traced {
            println!("{} {event:?}", self.now.0);
        }
        let mut effects = Vec::new();
        self.manager.handle(self.now, event, &mut effects);
        let mut started = false;
        for effect in effects {
            if self.traced {
                println!("    {effect:?}");
            }
            started |= matches!(effect, Effect::Spawn { .. });
            self.observer.effect(self.now, &effect);
            self.obey(&effect);
        }
        let renews = self.manager.performers().iter().any(|performer| performer.outdated);
        for group in self.manager.groups().iter().filter(|_| started) {
            let here = |performer: &&PerformerStatus| performer.slot.group == group.id;
            let newest = self.manager.performers().iter().filter(here).map(|one| one.slot.generation).max();
            let all = self.manager.performers().iter().map(|one| one.slot.generation).max();
            let limit = group.wanted + u32::from(renews);
            assert!(newest != all || group.live <= limit, "one too many was started: {group:?}");
        }
        self.observer.agrees(&self.manager);
        self.observer.pace(self.settings.burst as usize, self.settings.start_every_ms);
    }

    fn obey(&mut self, effect: &Effect) {
        match effect {
            Effect::Spawn { slot, .. } => self.spawn(*slot),
            Effect::Tell { slot, order, sequence } => self.tell(*slot, *order, *sequence),
            Effect::Freeze { slot } => {
                self.counts.frozen += 1;
                self.processes.get_mut(slot).unwrap().frozen = true;
            }
            Effect::Thaw { slot } => {
                let process = self.processes.get_mut(slot).unwrap();
                process.frozen = false;
                for held in std::mem::take(&mut process.held) {
                    self.schedule(*slot, 10, held);
                }
            }
            Effect::Signal { slot, signal: Signal::Term } => {
                let (after, code) = (self.below(1500), self.rng.chance(50));
                if self.processes[slot].obeys_term {
                    let how = if code { Exit::Code(0) } else { Exit::Signal(15) };
                    self.processes.get_mut(slot).unwrap().paused = false;
                    self.schedule(*slot, after, Happens::Exit(how));
                }
            }
            Effect::Signal { slot, signal: Signal::Kill } => {
                self.counts.killed += 1;
                self.schedule(*slot, 5, Happens::Exit(Exit::Signal(9)));
            }
            Effect::Finish(outcome) => self.counts.batches_done += u64::from(*outcome == Outcome::Ok),
            Effect::Note(note) => {
                use conveyor_worker::manager::What;
                match note.what {
                    What::Shed => self.counts.shed += 1,
                    What::Crashed => self.counts.crashed += 1,
                    What::GivenUp => self.counts.given_up += 1,
                    What::Silent => self.counts.silent += 1,
                    _ => {}
                }
            }
            Effect::ReportProgress { .. } | Effect::Ended | Effect::SetState { .. } => {}
        }
    }

    fn spawn(&mut self, slot: Slot) {
        self.counts.starts += 1;
        let group = self.manager.group(slot.group).unwrap();
        let speaks = group.hello_ms.is_some();
        let wild = !self.calm;
        // Some groups have days on which nothing starts.
        let cursed = wild && (self.seed >> slot.group.0) & 7 == 0;
        let process = Fake {
            obeys_term: !(wild && self.rng.chance(15)),
            obeys_orders: !(wild && self.rng.chance(15)),
            reports: speaks && self.rng.chance(70),
            ..Fake::default()
        };
        let (reports, at) = (process.reports, self.below(150));
        self.processes.insert(slot, process);
        if wild && self.rng.chance(3) {
            self.schedule(slot, at, Happens::SpawnFailed);
            return;
        }
        self.schedule(slot, at, Happens::Spawned);
        if cursed || (wild && self.rng.chance(10)) {
            let after = at + 1 + self.below(2000);
            let how = if self.rng.chance(50) { Exit::Code(1) } else { Exit::Signal(11) };
            self.schedule(slot, after, Happens::Exit(how));
            return;
        }
        let after = at + 1 + self.below(if wild { 6000 } else { 1000 });
        if speaks && !(wild && self.rng.chance(5)) {
            self.schedule(slot, after, Happens::Hello);
        }
        if reports {
            let rests = self.below(1000);
            self.schedule(slot, after + rests, Happens::JobStarted);
        } else if self.task.is_some() {
            let takes = self.below(8000);
            self.schedule(slot, after + takes, Happens::Exit(Exit::Code(0)));
        }
        if wild && self.rng.chance(20) {
            // From outside, or by its own fault.
            let lives = self.below(60_000);
            self.schedule(slot, after + lives, Happens::Exit(Exit::Signal(9)));
        }
    }

    fn tell(&mut self, slot: Slot, order: Order, sequence: u64) {
        let answers = if self.calm { self.below(300) } else { self.below(1600) };
        let (finishes, process) = (self.below(6000), self.processes.get_mut(&slot).unwrap());
        if !process.obeys_orders {
            return;
        }
        match order {
            Order::Pause => process.paused = true,
            Order::Resume | Order::Terminate { .. } => process.paused = false,
            Order::Ping => {}
        }
        self.schedule(slot, answers, Happens::Ack(sequence));
        if matches!(order, Order::Terminate { .. }) {
            self.schedule(slot, answers + 1 + finishes, Happens::Exit(Exit::Code(0)));
        }
    }

    fn measure(&mut self) {
        if !self.calm && self.rng.chance(3) {
            self.next_measure = self.now.plus(1000 + self.rng.below(6000) as u64);
            if self.rng.chance(50) {
                self.send(Event::PressureUnknown { why: "made up".to_owned() });
            }
            return;
        }
        let hard = !self.calm && self.rng.chance(8);
        let mut performers = Vec::new();
        for process in self.processes.values() {
            let resident_kib = if hard { 3_000_000.0 } else { 50_000.0 };
            let cpu_percent =
                if process.frozen || process.paused { 0.0 } else { 5.0 + 300.0 * f64::from(hard) };
            let of = |pid| Process { pid, kind: 0, resident_kib, cpu_percent };
            performers.extend(process.pid.map(of));
        }
        let critical = !self.calm && self.rng.chance(4);
        let free_kib = if critical { 200_000.0 } else { 16_000_000.0 };
        let pressure =
            (!self.calm && self.rng.chance(3)).then_some(Pressure { memory_full: 30.0, cpu_some: 0.0 });
        let idle_percent = if hard { 0.0 } else { 90.0 };
        self.send(Event::Measured(Snapshot {
            free_kib,
            idle_percent,
            performers,
            own: Vec::new(),
            pressure,
        }));
    }

    /// Somebody wants something.
    fn wish(&mut self) {
        let slots: Vec<Slot> = self.processes.keys().copied().collect();
        let group = GroupId(self.rng.below(4) as u16);
        let target = match self.rng.below(3) {
            0 => Target::All,
            1 => Target::Group(group),
            _ if slots.is_empty() => Target::All,
            _ => Target::Slot(*self.rng.pick(&slots)),
        };
        let event = match self.rng.below(100) {
            0..15 => Event::Command(Command::Pause(target)),
            15..40 => Event::Command(Command::Resume(target)),
            40..50 => Event::Command(Command::Scale { group, count: Some(self.rng.below(6) as u32) }),
            50..55 => Event::Command(Command::Scale { group, count: None }),
            55..60 => Event::Command(Command::Drain(target)),
            60..70 => Event::Command(Command::Restart(target)),
            70..75 => Event::FileChanged { group },
            75..90 => Event::Queue {
                group,
                queued: self.rng.below(8) as u32,
                running: self.rng.below(4) as u32,
                oldest_age_ms: self.rng.below(10_000) as u64,
            },
            90..97 => {
                let number = self.rng.below(4);
                let other = random_group(&mut self.rng, number);
                self.groups.retain(|group| group.name != other.name);
                if self.rng.chance(80) {
                    self.groups.push(other);
                }
                Event::Command(Command::Reload(self.groups.clone()))
            }
            97 if self.rng.chance(30) => Event::JobLost,
            98 if self.rng.chance(30) => Event::Command(Command::Stop(Stop::Graceful)),
            _ => Event::Tick,
        };
        self.observer.lost |= event == Event::JobLost && self.task.is_some();
        let stops = matches!(event, Event::Command(Command::Stop(_)));
        if stops && self.observer.stopped.is_none() {
            self.observer.stopped = Some(self.now);
        }
        self.send(event);
    }

    /// Everybody means well, and what is wanted comes about.
    fn calm_down(&mut self) {
        self.calm = true;
        if self.observer.ended || self.observer.stopped.is_some() {
            return;
        }
        for process in self.processes.values_mut() {
            process.obeys_term = true;
        }
        self.send(Event::Command(Command::Resume(Target::All)));
        self.send(Event::Command(Command::Restart(Target::All)));
        let until = self.now.plus(900_000);
        while self.now < until && !self.observer.ended && !self.is_well() {
            self.step();
        }
        let groups = self.manager.groups();
        if self.task.is_some() {
            assert!(
                self.observer.ended,
                "the batch is not over: {groups:?}, {:?}",
                self.manager.performers()
            );
        } else {
            assert!(self.is_well(), "not as it is to be: {groups:?}, {:?}", self.manager.performers());
        }
    }

    fn is_well(&self) -> bool {
        if self.task.is_some() {
            return self.observer.ended;
        }
        let groups = self.manager.groups();
        let wanted: u32 = groups.iter().map(|group| group.wanted).sum();
        let up: u32 = groups.iter().map(|group| group.ready).sum();
        let fits = wanted <= self.settings.most;
        let reached = groups.iter().all(|group| group.ready == group.wanted && group.live == group.wanted);
        let renewed = self.manager.performers().iter().all(|performer| !performer.outdated);
        // Without room for one more, and with nobody to spare, nothing can be replaced.
        if fits { reached && (renewed || wanted == self.settings.most) } else { up == self.settings.most }
    }

    /// It is stopped, and everybody ends in time.
    fn end(&mut self) {
        if self.observer.ended {
            return;
        }
        let grace =
            |slot: &Slot| self.manager.group(slot.group).map_or(0, |group| group.ack_ms + group.grace_ms);
        let longest = self.processes.keys().map(grace).max().unwrap_or_default();
        let stop = if self.rng.chance(50) { Stop::Graceful } else { Stop::Now };
        for process in self.processes.values_mut().filter(|_| self.seed.is_multiple_of(3)) {
            (process.obeys_term, process.obeys_orders) = (false, false);
        }
        self.observer.stopped.get_or_insert(self.now);
        self.send(Event::Command(Command::Stop(stop)));
        let limit = if stop == Stop::Now { 200 } else { longest + 200 };
        let until = self.now.plus(limit);
        while !self.observer.ended && self.now < until {
            self.step();
        }
        let left = self.manager.performers();
        assert!(self.observer.ended, "{stop:?}, and {limit} ms later there are {left:?}");
        assert!(left.iter().all(|performer| performer.state == State::Gone));
        let answered = self.observer.finish.is_some() || self.observer.lost || self.task.is_none();
        assert!(answered, "nobody told the client");
    }
}

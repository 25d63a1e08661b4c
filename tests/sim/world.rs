//! One random world: connections that come and go, work, stall and misbehave.

use crate::model::{Model, by_conn, comparable};
use crate::observer::{Act, Observer};
use crate::profile::{Profile, Step};
use crate::rig::handle;
use crate::rng::Rng;
use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, JobNumber, Millis, Priority};
use conveyor_server::core::{Change, Core, Durability, Effect, Effects, Event, Peer, Reply, Wakeup};
use std::collections::BTreeMap;

/// A world, and two accounts of what is seen of it.
pub(crate) struct World {
    seed: u64,
    step: u64,
    rng: Rng,
    profile: Profile,
    core: Core,
    model: Model,
    observer: Observer,
    now: Millis,
    offset_ms: i64,
    conns: Vec<ConnId>,
    generations: BTreeMap<u32, u32>,
    payloads: [Bytes; 3],
    changes: Vec<Change>,
    /// Function of every job handed out, for CANT_DO.
    function_of: BTreeMap<JobNumber, Bytes>,
    newest: u64,
    last: Option<Event>,
    trace: bool,
}

impl Drop for World {
    /// Says which world it was, whatever went wrong in it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, step, last) = (self.seed, self.step, &self.last);
            eprintln!("world {seed}, step {step}: {last:?}");
            eprintln!(
                "add {seed} to tests/sim/seeds.txt; CONVEYOR_SIM_WORLD={seed} replays it, with a trace"
            );
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let profile = Profile::new(&mut rng);
        Self {
            seed,
            step: 0,
            core: Core::new(profile.rules.clone()),
            model: Model::new(profile.rules.clone()),
            observer: Observer::default(),
            now: Millis(1),
            offset_ms: 0,
            conns: Vec::new(),
            generations: BTreeMap::new(),
            payloads: ["", "x", "y"].map(Bytes::from),
            changes: Vec::new(),
            function_of: BTreeMap::new(),
            newest: 0,
            last: None,
            trace: false,
            rng,
            profile,
        }
    }

    /// Prints every event and what follows from it.
    pub(crate) fn traced(self) -> Self {
        let mut world = self;
        world.trace = true;
        world
    }

    /// Takes `steps` steps, then lets good workers finish everything, and returns the number of steps.
    pub(crate) fn run(mut self, steps: u64) -> u64 {
        while self.step < steps {
            self.random_step();
            if self.rng.chance(1) {
                drop(self.replay(self.changes.len()));
            }
            if self.profile.restarts && self.rng.below(400) == 0 {
                self.restart();
            }
        }
        self.finish();
        self.step
    }

    fn wall(&self) -> i64 {
        (i64::try_from(self.now.0).unwrap() + self.offset_ms).div_euclid(1000)
    }

    fn apply(&mut self, actor: Option<ConnId>, act: Act, event: Event) -> Vec<Effect> {
        self.step += 1;
        self.last = Some(event.clone());
        let expected = self.model.handle(self.now, &event);
        let mut fx = Effects::default();
        self.core.handle(self.now, event.clone(), &mut fx);
        let effects: Vec<Effect> = fx.drain().collect();
        if self.trace {
            println!("{} at {}: {event:?} -> {effects:?}", self.step, self.now.0);
        }
        assert_eq!(by_conn(&comparable(&event, &effects)), by_conn(&expected), "unlike the model");
        if self.step.is_multiple_of(self.profile.check_every) {
            self.core.check().unwrap();
        }
        self.observer.see(actor, act, &effects);
        self.look_at_noops(actor, &event, &effects);
        let appended = effects.iter().filter_map(|effect| match effect {
            Effect::Append(change) => Some(change.clone()),
            _ => None,
        });
        self.changes.extend(appended);
        effects
    }

    /// Whoever is woken has something to do, and no herd is woken for little.
    fn look_at_noops(&self, actor: Option<ConnId>, event: &Event, effects: &[Effect]) {
        let noop = |effect: &Effect| match effect {
            Effect::Send { conn, reply: Reply::Noop } => Some(*conn),
            _ => None,
        };
        let mut woken: Vec<ConnId> = effects.iter().filter_map(noop).collect();
        for conn in &woken {
            assert!(self.model.runnable(Some(*conn)) > 0, "NOOP to {conn:?}, which can do nothing");
        }
        // Who says PRE_SLEEP though it was woken is told again, and somebody else is woken in its place.
        woken.retain(|conn| actor != Some(*conn));
        let escalates = matches!(event, Event::Tick | Event::WallClock { .. });
        if !woken.is_empty() && !escalates && self.profile.rules.wakeup == Wakeup::AsNeeded {
            assert!(woken.len() <= self.model.runnable(None), "{} NOOPs for fewer jobs", woken.len());
        }
    }

    fn request(&mut self, conn: ConnId, act: Act, request: Request) -> Vec<Effect> {
        self.apply(Some(conn), act, Event::Request { conn, request })
    }

    fn random_step(&mut self) {
        if self.conns.len() < 2 || (self.conns.len() < self.profile.most_conns && self.rng.chance(10)) {
            return self.connect();
        }
        let conn = *self.rng.pick(&self.conns);
        match self.profile.step(&mut self.rng) {
            Step::Submit => self.submit(conn),
            Step::Grab => self.grab(conn),
            Step::Report => self.report(conn),
            Step::PreSleep => drop(self.request(conn, Act::PreSleep, Request::PreSleep)),
            Step::CanDo => self.can_do(conn),
            Step::CantDo => self.cant_do(conn),
            Step::PassTime => self.pass_time(),
            Step::SetClock => self.set_clock(),
            Step::Close => self.close(conn),
            Step::Command => self.command(conn),
            Step::Cancel => {
                let command = Command::CancelJob(self.some_handle());
                self.apply(Some(conn), Act::Other, Event::Command { conn, command });
            }
            Step::Ask => self.ask(conn),
        }
    }

    fn function(&mut self) -> Bytes {
        self.rng.pick(&self.profile.functions).clone()
    }

    /// The handle of some job: an unfinished one mostly.
    fn some_handle(&mut self) -> Bytes {
        let numbers: Vec<u64> = self.model.jobs.iter().map(|job| job.number).collect();
        if numbers.is_empty() || self.rng.chance(20) {
            return handle(1 + self.rng.next() % (self.newest + 2));
        }
        handle(*self.rng.pick(&numbers))
    }

    fn connect(&mut self) {
        let index = (0..).find(|index| self.conns.iter().all(|conn| conn.index != *index)).unwrap();
        let generation = self.generations.entry(index).or_default();
        *generation += 1;
        let conn = ConnId { index, generation: *generation };
        self.conns.push(conn);
        self.observer.connected(conn);
        self.apply(None, Act::Other, Event::Connected { conn, peer: Peer::default() });
    }

    fn close(&mut self, conn: ConnId) {
        self.conns.retain(|other| *other != conn);
        self.observer.closed(conn);
        self.apply(None, Act::Other, Event::Closed { conn });
    }

    fn submit(&mut self, conn: ConnId) {
        let function = self.function();
        let unique = self.rng.pick(&self.profile.uniques).clone();
        let payload = self.rng.pick(&self.payloads).clone();
        let background = self.rng.chance(50);
        let (kind, foreground) = match self.rng.below(10) {
            0 | 1 => {
                let when = self.wall() + i64::try_from(self.rng.below(6)).unwrap() - 1;
                (SubmitKind::Epoch { when }, false)
            }
            2 => {
                let reducer = Bytes::from_static(b"r");
                (SubmitKind::Reduce { reducer, ignored: Bytes::new(), background }, !background)
            }
            _ => {
                let priority = *self.rng.pick(&Priority::ALL);
                (SubmitKind::Job { priority, background }, !background)
            }
        };
        let request = Request::Submit { kind, function, unique, payload };
        for effect in self.request(conn, Act::Submit { foreground }, request) {
            if let Effect::Send { reply: Reply::JobCreated(number), .. } = effect {
                self.newest = self.newest.max(number.0);
            }
        }
    }

    fn grab(&mut self, conn: ConnId) {
        let form = *self.rng.pick(&[GrabForm::Plain, GrabForm::Unique, GrabForm::All]);
        for effect in self.request(conn, Act::Grab, Request::Grab(form)) {
            if let Effect::Send { reply: Reply::Assign { job, function, .. }, .. } = effect {
                self.function_of.insert(job, function);
            }
        }
    }

    /// A report on a job of its own, mostly; else on somebody's, or on none.
    fn report(&mut self, conn: ConnId) {
        let own: Vec<JobNumber> =
            self.observer.held.iter().filter(|(_, worker)| **worker == conn).map(|(job, _)| *job).collect();
        let job = if own.is_empty() || self.rng.chance(10) {
            JobNumber(1 + self.rng.next() % (self.newest + 2))
        } else {
            *self.rng.pick(&own)
        };
        let handle = handle(job.0);
        let payload = Bytes::from_static(b"r");
        let part = self.rng.below(8);
        let request = match part {
            0 => Request::WorkData { handle, payload },
            1 => Request::WorkWarning { handle, payload },
            2 => Request::WorkStatus { handle, numerator: payload.clone(), denominator: payload },
            3 => Request::WorkFail { handle },
            4 => Request::WorkException { handle, payload },
            _ => Request::WorkComplete { handle, payload },
        };
        let may = if part >= 3 {
            self.observer.ended(conn, job)
        } else {
            self.observer.held.get(&job) == Some(&conn)
        };
        let effects = self.request(conn, Act::Other, request);
        let refused = effects.iter().any(
            |effect| matches!(effect, Effect::Send { conn: to, reply: Reply::Error { .. } } if *to == conn),
        );
        assert_eq!(refused, !may, "report on {job:?}");
    }

    fn can_do(&mut self, conn: ConnId) {
        let function = self.function();
        let timeout_ms = *self.rng.pick(&[-1, 0, 500, 1500]);
        let request = if self.rng.chance(70) {
            Request::CanDo { function }
        } else {
            Request::CanDoTimeout { function, timeout_ms }
        };
        self.request(conn, Act::Other, request);
    }

    fn cant_do(&mut self, conn: ConnId) {
        if self.rng.chance(30) {
            self.observer.gave_back(conn, |_| true);
            self.request(conn, Act::Other, Request::ResetAbilities);
            return;
        }
        let function = self.function();
        let function_of = &self.function_of;
        self.observer.gave_back(conn, |job| function_of.get(&job) == Some(&function));
        self.request(conn, Act::Other, Request::CantDo { function });
    }

    /// To the next deadline, short of it, far beyond it.
    fn pass_time(&mut self) {
        let due = self.core.next_deadline();
        self.now = match self.rng.below(3) {
            0 => due.unwrap_or(self.now).max(self.now),
            1 => self.now.plus(self.rng.next() % 30),
            _ => self.now.plus(self.rng.next() % 3000),
        };
        self.apply(None, Act::Other, Event::Tick);
    }

    /// Somebody sets the wall clock. What was due stays due when it is set back.
    fn set_clock(&mut self) {
        self.offset_ms += i64::try_from(self.rng.below(8000)).unwrap() - 3000;
        let offset_ms = self.offset_ms;
        self.apply(None, Act::Other, Event::WallClock { offset_ms });
    }

    fn command(&mut self, conn: ConnId) {
        let function = self.function();
        let command = match self.rng.below(9) {
            0 => Command::Status,
            1 => Command::PriorityStatus,
            2 => Command::Workers,
            3 => Command::ShowJobs,
            4 => Command::ShowUniqueJobs,
            5 => {
                let limit = u32::try_from(self.rng.below(8)).unwrap();
                let limits = conveyor_common::priority::PerPriority { high: 0, normal: limit, low: limit };
                Command::MaxQueue { function, limits }
            }
            6 => Command::CreateFunction(function),
            _ => Command::DropFunction(function),
        };
        self.apply(Some(conn), Act::Other, Event::Command { conn, command });
    }

    fn ask(&mut self, conn: ConnId) {
        let request = match self.rng.below(6) {
            0 => Request::GetStatus { handle: self.some_handle() },
            1 => Request::GetStatusUnique { unique: self.rng.pick(&self.profile.uniques).clone() },
            2 => Request::Echo { payload: Bytes::from_static(b"e") },
            3 => Request::Option { option: Bytes::from_static(b"exceptions") },
            4 => Request::SetClientId { id: Bytes::from_static(b"me") },
            _ => Request::AllYours,
        };
        self.request(conn, Act::Other, request);
    }

    /// The first changes applied to an empty core; all of them give the same durable state.
    fn replay(&self, first: usize) -> Core {
        let mut other = Core::new(self.profile.rules.clone());
        other.handle(self.now, Event::WallClock { offset_ms: self.offset_ms }, &mut Effects::default());
        self.changes.iter().take(first).cloned().for_each(|change| other.restore(change));
        other.check().unwrap();
        if self.profile.rules.durability != Durability::Memory && first == self.changes.len() {
            assert_eq!(other.durable(), self.core.durable(), "after replay");
        }
        other
    }

    /// The server is killed and comes back with what was recorded; everybody has to connect again.
    fn restart(&mut self) {
        self.core = self.replay(self.changes.len());
        let reserved = self.changes.iter().filter_map(|change| match change {
            Change::NumbersReserved { through, .. } => Some(through.0),
            _ => None,
        });
        self.model.restarted(reserved.max().unwrap_or(0));
        self.observer.restarted();
        self.conns.clear();
        self.apply(None, Act::Other, Event::Tick);
    }

    /// Clients that wait are answered and nothing is left when good workers do everything.
    fn finish(&mut self) {
        self.connect();
        let good = *self.conns.last().unwrap();
        let others: Vec<ConnId> = self.conns.clone().into_iter().filter(|conn| *conn != good).collect();
        for conn in others {
            self.observer.gave_back(conn, |_| true);
            self.request(conn, Act::Other, Request::ResetAbilities);
        }
        for function in self.profile.functions.clone() {
            self.request(good, Act::Other, Request::CanDo { function });
        }
        self.now = self.now.plus(20_000);
        self.apply(None, Act::Other, Event::Tick);
        loop {
            let effects = self.request(good, Act::Grab, Request::Grab(GrabForm::Plain));
            let assigned = effects.iter().find_map(|effect| match effect {
                Effect::Send { reply: Reply::Assign { job, .. }, .. } => Some(*job),
                _ => None,
            });
            let Some(job) = assigned else { break };
            assert!(self.observer.ended(good, job));
            let request = Request::WorkComplete { handle: handle(job.0), payload: Bytes::new() };
            self.request(good, Act::Other, request);
        }
        assert_eq!(self.observer.waiting(), 0, "somebody still waits");
        assert_eq!(self.core.job_count(), 0, "jobs are left");
        self.core.check().unwrap();
        drop(self.replay(self.changes.len()));
        // A crash may come between any two changes.
        let cut = self.rng.below(self.changes.len() + 1);
        drop(self.replay(cut));
    }
}

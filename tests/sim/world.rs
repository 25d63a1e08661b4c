//! One random world: connections that come and go, work, stall and misbehave.

use crate::observer::{Act, Observer};
use crate::rig::{self, handle};
use crate::rng::Rng;
use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, JobNumber, Millis, Priority};
use conveyor_server::core::{Change, Compat, Core, Effect, Effects, Event, Peer, Reply, Rules, Wakeup};
use std::collections::BTreeMap;
use std::num::NonZeroU8;

/// A world and the account of what is seen of it.
pub(crate) struct World {
    seed: u64,
    step: u64,
    rng: Rng,
    core: Core,
    now: Millis,
    offset_ms: i64,
    conns: Vec<ConnId>,
    generations: BTreeMap<u32, u32>,
    functions: Vec<Bytes>,
    uniques: Vec<Bytes>,
    payloads: Vec<Bytes>,
    most_conns: usize,
    observer: Observer,
    changes: Vec<Change>,
    /// Function of every job handed out, for CANT_DO.
    function_of: BTreeMap<JobNumber, Bytes>,
    newest: u64,
}

fn random_rules(rng: &mut Rng) -> Rules {
    Rules {
        compat: *rng.pick(&[Compat::V1_1, Compat::V2_0]),
        round_robin: rng.chance(50),
        max_losses: *rng.pick(&[None, None, NonZeroU8::new(1), NonZeroU8::new(3)]),
        wakeup: *rng.pick(&[
            Wakeup::AsNeeded,
            Wakeup::AsNeeded,
            Wakeup::All,
            Wakeup::Count(1),
            Wakeup::Count(3),
        ]),
        exceptions: rng.chance(20),
        ..rig::rules()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rules = random_rules(&mut rng);
        let functions = (0..1 + rng.below(5)).map(|number| Bytes::from(format!("f{number}"))).collect();
        let long = Bytes::from(vec![b'u'; 64]);
        let too_long = Bytes::from(vec![b'u'; 65]);
        let uniques = ["", "", "-", "a", "b", "c"].map(Bytes::from).into_iter();
        Self {
            seed,
            step: 0,
            core: Core::new(rules),
            now: Millis(1),
            offset_ms: 0,
            conns: Vec::new(),
            generations: BTreeMap::new(),
            functions,
            uniques: uniques.chain([long, too_long]).collect(),
            payloads: ["", "x", "y"].map(Bytes::from).to_vec(),
            most_conns: 2 + rng.below(8),
            observer: Observer::default(),
            changes: Vec::new(),
            function_of: BTreeMap::new(),
            newest: 0,
            rng,
        }
    }

    /// Takes `steps` steps, then lets good workers finish everything, and returns the number of steps.
    pub(crate) fn run(mut self, steps: u64) -> u64 {
        while self.step < steps {
            self.random_step();
            if self.rng.chance(1) {
                self.replay();
            }
        }
        self.replay();
        self.finish();
        self.step
    }

    fn wall(&self) -> i64 {
        (i64::try_from(self.now.0).unwrap() + self.offset_ms).div_euclid(1000)
    }

    fn apply(&mut self, actor: Option<ConnId>, act: Act, event: Event) -> Vec<Effect> {
        self.step += 1;
        let shown = format!("{event:?}");
        let mut fx = Effects::default();
        self.core.handle(self.now, event, &mut fx);
        let effects: Vec<Effect> = fx.drain().collect();
        let place = format!("world {}, step {}: {shown}", self.seed, self.step);
        if std::env::var_os("CONVEYOR_SIM_TRACE").is_some() {
            println!("{place} -> {effects:?}");
        }
        if let Err(broken) = self.core.check() {
            panic!("{place}: {broken}");
        }
        let (observer, wall) = (&mut self.observer, i64::try_from(self.now.0).unwrap() + self.offset_ms);
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            observer.see(actor, act, wall.div_euclid(1000), &effects);
        }));
        if let Err(complaint) = seen {
            eprintln!("{place}");
            std::panic::resume_unwind(complaint);
        }
        self.changes.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Append(change) => Some(change.clone()),
            _ => None,
        }));
        effects
    }

    fn request(&mut self, conn: ConnId, act: Act, request: Request) -> Vec<Effect> {
        self.apply(Some(conn), act, Event::Request { conn, request })
    }

    fn random_step(&mut self) {
        if self.conns.len() < 2 || (self.conns.len() < self.most_conns && self.rng.chance(10)) {
            return self.connect();
        }
        let conn = *self.rng.pick(&self.conns.clone());
        match self.rng.below(100) {
            0..22 => self.submit(conn),
            22..42 => self.grab(conn),
            42..54 => self.report(conn),
            54..64 => drop(self.request(conn, Act::PreSleep, Request::PreSleep)),
            64..74 => self.can_do(conn),
            74..77 => self.cant_do(conn),
            77..85 => self.pass_time(),
            85..90 => self.close(conn),
            90..96 => self.command(conn),
            _ => self.ask(conn),
        }
    }

    fn connect(&mut self) {
        let used: Vec<u32> = self.conns.iter().map(|conn| conn.index).collect();
        let index = (0..).find(|index| !used.contains(index)).unwrap();
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
        let function = self.rng.pick(&self.functions.clone()).clone();
        let unique = self.rng.pick(&self.uniques.clone()).clone();
        let payload = self.rng.pick(&self.payloads.clone()).clone();
        let background = self.rng.chance(50);
        let (kind, foreground, when) = match self.rng.below(10) {
            0 | 1 => {
                let when = self.wall() + i64::try_from(self.rng.below(6)).unwrap() - 1;
                (SubmitKind::Epoch { when }, false, when)
            }
            2 => {
                let reducer = Bytes::from_static(b"r");
                (SubmitKind::Reduce { reducer, ignored: Bytes::new(), background }, !background, 0)
            }
            _ => {
                let priority = *self.rng.pick(&Priority::ALL);
                (SubmitKind::Job { priority, background }, !background, 0)
            }
        };
        let request = Request::Submit { kind, function, unique, payload };
        // A joining submission's start time does not count: the account takes the first one only.
        let effects = self.request(conn, Act::Submit { foreground, when }, request);
        for effect in &effects {
            if let Effect::Send { reply: Reply::JobCreated(number), .. } = effect {
                if number.0 <= self.newest && when > 0 {
                    self.observer.starts.entry(*number).and_modify(|start| *start = (*start).min(when));
                    if self.observer.starts.get(number) == Some(&when) {
                        self.observer.starts.remove(number);
                    }
                }
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
        assert_eq!(refused, !may, "world {}, step {}: report on {job:?}", self.seed, self.step);
    }

    fn can_do(&mut self, conn: ConnId) {
        let function = self.rng.pick(&self.functions.clone()).clone();
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
        let function = self.rng.pick(&self.functions.clone()).clone();
        let function_of = &self.function_of;
        self.observer.gave_back(conn, |job| function_of.get(&job) == Some(&function));
        self.request(conn, Act::Other, Request::CantDo { function });
    }

    /// To the next deadline, short of it, far beyond it; or somebody sets the wall clock.
    fn pass_time(&mut self) {
        if self.rng.chance(5) {
            // What was due stays due when the clock is set back.
            let was = self.wall();
            self.observer.starts.retain(|_, start| *start > was);
            self.offset_ms += i64::try_from(self.rng.below(8000)).unwrap() - 2000;
            let offset_ms = self.offset_ms;
            self.apply(None, Act::Other, Event::WallClock { offset_ms });
            return;
        }
        let due = self.core.next_deadline();
        self.now = match self.rng.below(3) {
            0 => due.unwrap_or(self.now).max(self.now),
            1 => self.now.plus(self.rng.next() % 30),
            _ => self.now.plus(self.rng.next() % 3000),
        };
        self.apply(None, Act::Other, Event::Tick);
    }

    fn command(&mut self, conn: ConnId) {
        let function = self.rng.pick(&self.functions.clone()).clone();
        let newest = self.newest + 2;
        let command = match self.rng.below(10) {
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
            7 => Command::DropFunction(function),
            _ => Command::CancelJob(handle(1 + self.rng.next() % newest)),
        };
        self.apply(Some(conn), Act::Other, Event::Command { conn, command });
    }

    fn ask(&mut self, conn: ConnId) {
        let newest = self.newest + 2;
        let request = match self.rng.below(6) {
            0 => Request::GetStatus { handle: handle(1 + self.rng.next() % newest) },
            1 => Request::GetStatusUnique { unique: self.rng.pick(&self.uniques.clone()).clone() },
            2 => Request::Echo { payload: Bytes::from_static(b"e") },
            3 => Request::Option { option: Bytes::from_static(b"exceptions") },
            4 => Request::SetClientId { id: Bytes::from_static(b"me") },
            _ => Request::AllYours,
        };
        self.request(conn, Act::Other, request);
    }

    /// The changes so far, applied to an empty core, give the same durable state.
    fn replay(&mut self) {
        let mut other = Core::new(rig::rules());
        other.handle(self.now, Event::WallClock { offset_ms: self.offset_ms }, &mut Effects::default());
        self.changes.iter().cloned().for_each(|change| other.restore(change));
        if let Err(broken) = other.check() {
            panic!("world {}, step {}: after replay: {broken}", self.seed, self.step);
        }
        assert_eq!(other.durable(), self.core.durable(), "world {}, step {}", self.seed, self.step);
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
        for function in self.functions.clone() {
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
        assert_eq!(self.observer.waiting(), 0, "world {}: somebody still waits", self.seed);
        assert_eq!(self.core.job_count(), 0, "world {}: jobs are left", self.seed);
        self.replay();
    }
}

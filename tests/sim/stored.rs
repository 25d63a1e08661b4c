//! Random worlds with a store that is slow, fails, dies and comes back, seen from outside: what was accepted is
//! done, answers come in the order of questions, nothing that was refused is done.

use crate::rig::{PREFIX, handle, rules};
use crate::rng::Rng;
use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, HandlePrefix, JobNumber, Millis, Priority};
use conveyor_server::core::{
    Change, Core, Durability, Effect, Effects, Event, Peer, Record, Reply, Rules, StoredJob,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// What is on the disk.
#[derive(Clone, Debug, Default)]
struct Disk {
    jobs: BTreeMap<(Priority, JobNumber), Record>,
    functions: BTreeSet<Bytes>,
    reserved: (u64, u64),
}

impl Disk {
    fn apply(&mut self, change: Change) {
        match change {
            Change::NumbersReserved { through, orders } => self.reserved = (through.0, orders),
            Change::FunctionCreated { name } => drop(self.functions.insert(name)),
            Change::FunctionDropped { name } => drop(self.functions.remove(&name)),
            Change::QueueLimited { .. } => {}
            Change::Added(record) => {
                self.functions.insert(record.function.clone());
                self.jobs.insert((record.priority, record.number), record);
            }
            Change::Lost { number, priority, retries, order } => {
                if let Some(record) = self.jobs.get_mut(&(priority, number)) {
                    record.retries = retries;
                    record.order = order;
                }
            }
            Change::Removed { number, priority } => drop(self.jobs.remove(&(priority, number))),
        }
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Submit(usize),
    Grab,
    Other,
}

/// What is queued for a connection.
#[derive(Debug)]
enum Queued {
    Reply(Reply),
    Place(u64, Option<Reply>),
}

#[derive(Debug, Default)]
struct Peerless {
    queue: VecDeque<Queued>,
    asks: VecDeque<Ask>,
    deferred: bool,
}

/// One submission.
#[derive(Clone, Debug)]
struct Task {
    function: Bytes,
    unique: Bytes,
    background: bool,
    refused: bool,
}

/// What is known of a handle.
#[derive(Clone, Debug)]
struct Known {
    function: Bytes,
    unique: Bytes,
    /// Which life of the server gave it out.
    life: u64,
    /// A background submission got it: it has to be done.
    owed: bool,
}

struct World {
    seed: u64,
    rng: Rng,
    rules: Rules,
    core: Core,
    now: Millis,
    life: u64,
    disk: Disk,
    /// Not on the disk yet.
    waiting: VecDeque<Change>,
    stored: u64,
    /// What else was in refused changes: made before anything later.
    owed: Vec<Change>,
    /// In this life the store refused some changes.
    unsure: bool,
    failed: bool,
    /// Where loading is, and up to which number.
    loading: Option<((Priority, JobNumber), u64)>,
    conns: BTreeMap<ConnId, Peerless>,
    next_conn: u32,
    deferred: Vec<(ConnId, Event)>,
    fetches: Vec<(JobNumber, Priority)>,
    tasks: Vec<Task>,
    known: HashMap<JobNumber, Known>,
    held: BTreeMap<JobNumber, ConnId>,
    ended: BTreeSet<JobNumber>,
    counts: Counts,
}

/// What happened, so that nobody believes in a test in which nothing does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) lives: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) failures: u64,
    pub(crate) fetched: u64,
    pub(crate) deferred: u64,
    pub(crate) done: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("stored world {}: add it to STORED_SEEDS in tests/sim/main.rs", self.seed);
        }
    }
}

const FUNCTIONS: [&str; 3] = ["f", "g", "h"];

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let durability = if rng.chance(75) { Durability::Sync } else { Durability::Relaxed };
        let queue_bytes = if rng.chance(50) { 1500 } else { 1 << 30 };
        let rules = Rules { durability, queue_bytes, ..rules() };
        Self {
            seed,
            rng,
            core: Core::new(rules.clone()),
            rules,
            now: Millis(1),
            life: 0,
            disk: Disk::default(),
            waiting: VecDeque::new(),
            stored: 0,
            owed: Vec::new(),
            unsure: false,
            failed: false,
            loading: None,
            conns: BTreeMap::new(),
            next_conn: 0,
            deferred: Vec::new(),
            fetches: Vec::new(),
            tasks: Vec::new(),
            known: HashMap::new(),
            held: BTreeMap::new(),
            ended: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    fn apply(&mut self, event: Event) {
        let mut fx = Effects::default();
        let shown = format!("{event:?}");
        self.core.handle(self.now, event, &mut fx);
        if let Err(broken) = self.core.check() {
            panic!("{broken} after {shown}");
        }
        for effect in fx.drain() {
            match effect {
                Effect::Append(change) => self.waiting.push_back(change),
                Effect::Send { conn, reply } => self.queue(conn, Queued::Reply(reply)),
                Effect::Hold { conn, ticket } => self.queue(conn, Queued::Place(ticket, None)),
                Effect::Fill { conn, ticket, reply } => self.fill(conn, ticket, reply),
                Effect::Fetch { number, priority } => self.fetches.push((number, priority)),
                Effect::Defer { conn, event } => {
                    self.counts.deferred += 1;
                    self.conns.get_mut(&conn).expect("it asked").deferred = true;
                    self.deferred.push((conn, *event));
                }
                Effect::Close { .. } => panic!("nobody goes beyond a limit here"),
                Effect::Note(_) => {}
            }
        }
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.deliver(conn));
    }

    fn queue(&mut self, conn: ConnId, queued: Queued) {
        self.conns.get_mut(&conn).unwrap_or_else(|| panic!("{queued:?} for nobody")).queue.push_back(queued);
    }

    fn fill(&mut self, conn: ConnId, ticket: u64, reply: Reply) {
        let queue = &mut self.conns.get_mut(&conn).expect("answers go to who is there").queue;
        let place = queue.iter_mut().find_map(|queued| match queued {
            Queued::Place(other, answer) if *other == ticket => Some(answer),
            _ => None,
        });
        assert_eq!(place.expect("a place was kept").replace(reply), None, "answered once");
    }

    /// What may leave reaches the peer.
    fn deliver(&mut self, conn: ConnId) {
        while let Some(queue) = self.conns.get_mut(&conn).map(|peer| &mut peer.queue) {
            match queue.pop_front() {
                None => return,
                Some(Queued::Place(ticket, None)) => {
                    return queue.push_front(Queued::Place(ticket, None));
                }
                Some(Queued::Reply(reply) | Queued::Place(_, Some(reply))) => self.see(conn, reply),
            }
        }
    }

    fn expect(&mut self, conn: ConnId, reply: &Reply) -> Ask {
        let peer = self.conns.get_mut(&conn).expect("it is there");
        peer.asks.pop_front().unwrap_or_else(|| panic!("nobody asked for {reply:?}"))
    }

    fn see(&mut self, conn: ConnId, reply: Reply) {
        match &reply {
            Reply::JobCreated(number) => {
                let Ask::Submit(task) = self.expect(conn, &reply) else { panic!("{reply:?} out of turn") };
                self.accepted(*number, task);
            }
            Reply::Error { text, .. } => match self.expect(conn, &reply) {
                Ask::Submit(task) => {
                    let may_refuse = self.failed || self.unsure;
                    assert!(may_refuse || *text == "Job queue is full", "{text} for {:?}", self.tasks[task]);
                    self.tasks[task].refused = true;
                    self.counts.refused += 1;
                }
                Ask::Other => {}
                Ask::Grab => panic!("{reply:?} for a GRAB"),
            },
            Reply::Assign { job, function, payload, .. } => {
                assert_eq!(self.expect(conn, &reply), Ask::Grab);
                self.assigned(conn, *job, function, payload);
            }
            Reply::NoJob => assert_eq!(self.expect(conn, &reply), Ask::Grab),
            Reply::StatusRes { .. } | Reply::StatusResUnique { .. } | Reply::Text(_) => {
                assert_eq!(self.expect(conn, &reply), Ask::Other);
            }
            _ => {}
        }
    }

    fn accepted(&mut self, number: JobNumber, task: usize) {
        let Task { function, unique, background, .. } = self.tasks[task].clone();
        let life = self.life;
        self.counts.accepted += 1;
        let known = self.known.entry(number).or_insert_with(|| Known {
            function: function.clone(),
            unique: unique.clone(),
            life,
            owed: false,
        });
        assert_eq!((&known.function, &known.unique), (&function, &unique), "{number:?} is two jobs");
        assert!(known.life == life || !unique.is_empty(), "{number:?} was given out twice");
        // An answer may come later than the end of what it is about.
        known.owed |= background && !self.ended.contains(&number);
        if known.owed && self.rules.durability == Durability::Sync {
            let on_disk = self.disk.jobs.keys().any(|(_, other)| *other == number);
            assert!(on_disk, "{number:?} was accepted and is not stored");
        }
    }

    fn assigned(&mut self, conn: ConnId, number: JobNumber, function: &Bytes, payload: &Bytes) {
        let text = std::str::from_utf8(payload).unwrap();
        let task: usize =
            text.trim_start_matches('p').trim_end_matches('.').parse().expect("a payload of ours");
        let task = &self.tasks[task];
        assert_eq!(task.function, *function, "a payload of another function");
        assert!(!task.refused || !task.unique.is_empty(), "{number:?} was refused and is run");
        if let Some(known) = self.known.get(&number) {
            assert_eq!((&known.function, &known.unique), (function, &task.unique));
        }
        assert_eq!(self.held.insert(number, conn), None, "{number:?} was handed out twice");
    }

    fn connect(&mut self) -> ConnId {
        self.next_conn += 1;
        let conn = ConnId { index: self.next_conn, generation: 1 };
        self.conns.insert(conn, Peerless::default());
        self.apply(Event::Connected { conn, peer: Peer::default() });
        conn
    }

    fn ask(&mut self, conn: ConnId, ask: Option<Ask>, request: Request) {
        self.conns.get_mut(&conn).expect("it is there").asks.extend(ask);
        self.apply(Event::Request { conn, request });
    }

    fn submit(&mut self, conn: ConnId) {
        let function = Bytes::from(*self.rng.pick(&FUNCTIONS));
        let unique = Bytes::from(*self.rng.pick(&["", "", "", "a", "b", "c", "-"]));
        let background = self.rng.chance(70);
        let priority = *self.rng.pick(&Priority::ALL);
        let number = self.tasks.len();
        let filling = if self.rng.chance(50) { 0 } else { self.rng.below(300) };
        let payload = Bytes::from(format!("p{number}{}", ".".repeat(filling)));
        self.tasks.push(Task {
            function: function.clone(),
            unique: unique.clone(),
            background,
            refused: false,
        });
        let kind = if background && self.rng.chance(10) {
            SubmitKind::Epoch { when: i64::try_from(self.now.0 / 1000).unwrap() + 2 }
        } else {
            SubmitKind::Job { priority, background }
        };
        self.ask(conn, Some(Ask::Submit(number)), Request::Submit { kind, function, unique, payload });
    }

    fn report(&mut self, conn: ConnId) {
        let own = self.held.iter().find(|(_, worker)| **worker == conn).map(|(number, _)| *number);
        let Some(number) = own else { return };
        self.held.remove(&number);
        self.ended(number);
        let handle = handle(number.0);
        let request = if self.rng.chance(80) {
            Request::WorkComplete { handle, payload: Bytes::new() }
        } else {
            Request::WorkFail { handle }
        };
        self.ask(conn, None, request);
    }

    fn ended(&mut self, number: JobNumber) {
        self.counts.done += 1;
        self.ended.insert(number);
        if let Some(known) = self.known.get_mut(&number) {
            known.owed = false;
        }
    }

    fn close(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        self.held.retain(|_, worker| *worker != conn);
        self.deferred.retain(|(other, _)| *other != conn);
        self.apply(Event::Closed { conn });
    }

    fn commit(&mut self, most: usize) {
        if self.failed || self.waiting.is_empty() {
            return;
        }
        let count = 1 + self.rng.below(most.min(self.waiting.len()));
        for change in self.owed.drain(..).chain(self.waiting.drain(..count)) {
            self.disk.apply(change);
        }
        self.stored += count as u64;
        self.apply(Event::Stored { through: self.stored });
    }

    /// The store is away for a moment: jobs are refused, everything else is made up for.
    fn refuse(&mut self, most: usize) {
        if self.failed || self.waiting.is_empty() {
            return;
        }
        let count = 1 + self.rng.below(most.min(self.waiting.len()));
        let kept = self.waiting.drain(..count).filter(|change| !matches!(change, Change::Added(_)));
        self.owed.extend(kept);
        self.counts.failures += 1;
        self.unsure = true;
        self.stored += count as u64;
        self.apply(Event::Refused { through: self.stored });
    }

    fn fail_store(&mut self) {
        self.failed = true;
        self.apply(Event::StoreFailed);
    }

    fn load(&mut self, most: usize) {
        let Some((after, reserved)) = self.loading else { return };
        let count = 1 + self.rng.below(most);
        let earlier = |(_, number): &(Priority, JobNumber)| number.0 <= reserved;
        let rows: Vec<Record> = self
            .disk
            .jobs
            .iter()
            .filter(|(key, _)| **key > after && earlier(key))
            .take(count)
            .map(|(_, record)| record.clone())
            .collect();
        let next = rows.last().map(|record| (record.priority, record.number));
        self.loading = next.map(|next| (next, reserved));
        let jobs = rows
            .into_iter()
            .map(|mut record| {
                let spilled = &record.unique[..] != b"-" && self.rng.chance(50);
                if spilled {
                    record.payload = Bytes::new();
                }
                StoredJob { record, spilled }
            })
            .collect();
        self.apply(Event::Loaded { jobs, next: next.map(|(priority, _)| priority) });
        for (conn, event) in std::mem::take(&mut self.deferred) {
            self.conns.get_mut(&conn).expect("it waits").deferred = false;
            self.apply(event);
        }
    }

    fn fetch(&mut self, may_fail: bool) {
        if self.fetches.is_empty() {
            return;
        }
        let at = self.rng.below(self.fetches.len());
        let (number, priority) = self.fetches.swap_remove(at);
        self.counts.fetched += 1;
        let stored = self.disk.jobs.get(&(priority, number)).map(|record| record.payload.clone());
        let payload = stored.filter(|_| !may_fail || self.rng.chance(95));
        self.apply(Event::Fetched { number, payload });
    }

    /// Kill -9, and the next life. What was being written may be there or not.
    fn restart(&mut self) {
        let written = if self.failed { 0 } else { self.rng.below(self.waiting.len() + 1) };
        if written > 0 || self.rng.chance(50) {
            self.owed.drain(..).for_each(|change| self.disk.apply(change));
        }
        self.owed.clear();
        for change in self.waiting.drain(..written) {
            self.disk.apply(change);
        }
        let reserved = self.disk.reserved.0;
        if self.failed || self.unsure || self.rules.durability == Durability::Relaxed {
            // Nobody waited for the reservation of these.
            self.known.retain(|number, known| known.owed || number.0 <= reserved);
            self.ended.retain(|number| number.0 <= reserved);
        }
        self.life += 1;
        self.counts.lives += 1;
        self.waiting.clear();
        self.conns.clear();
        self.deferred.clear();
        self.fetches.clear();
        self.held.clear();
        (self.stored, self.failed, self.unsure) = (0, false, false);
        if self.rules.durability == Durability::Sync {
            let on_disk: BTreeSet<JobNumber> = self.disk.jobs.keys().map(|(_, number)| *number).collect();
            let lost = self.known.iter().find(|(number, known)| known.owed && !on_disk.contains(number));
            assert!(lost.is_none(), "accepted and lost: {lost:?}");
        } else {
            let disk = &self.disk;
            self.known
                .retain(|number, known| !known.owed || disk.jobs.keys().any(|(_, other)| other == number));
        }
        self.core = Core::new(self.rules.clone());
        let (through, orders) = self.disk.reserved;
        self.core.restore(Change::NumbersReserved { through: JobNumber(through), orders });
        let functions = self.disk.functions.iter().cloned().collect();
        self.apply(Event::Loading { functions });
        self.loading = Some(((Priority::High, JobNumber(0)), through));
    }

    fn step(&mut self) {
        let able: Vec<ConnId> =
            self.conns.iter().filter(|(_, peer)| !peer.deferred).map(|(conn, _)| *conn).collect();
        if able.len() < 2 || (self.conns.len() < 6 && self.rng.chance(5)) {
            let conn = self.connect();
            let functions = &FUNCTIONS[..self.rng.below(4)];
            for function in functions {
                self.ask(conn, None, Request::CanDo { function: Bytes::from(*function) });
            }
            return;
        }
        let conn = *self.rng.pick(&able);
        match self.rng.below(100) {
            0..30 => self.submit(conn),
            30..45 => self.ask(conn, Some(Ask::Grab), Request::Grab(GrabForm::Plain)),
            45..58 => self.report(conn),
            58..60 => self.ask(conn, None, Request::PreSleep),
            60..63 => self.close(conn),
            63..75 => self.commit(20),
            75..82 => self.fetch(true),
            82..90 => self.load(5),
            90..92 => {
                self.now = self.now.plus(self.rng.next() % 2000);
                self.apply(Event::Tick);
            }
            92..94 => self.cancel(conn),
            94..96 => {
                let number = 1 + self.rng.next() % 50;
                self.ask(conn, Some(Ask::Other), Request::GetStatus { handle: handle(number) });
            }
            // What is on its way to it would come to somebody who has given it back.
            96..98 if self.conns[&conn].queue.is_empty() => {
                self.held.retain(|_, worker| *worker != conn);
                self.ask(conn, None, Request::ResetAbilities);
            }
            98 if self.rng.below(30) == 0 => self.fail_store(),
            98 if self.rng.chance(50) => self.refuse(20),
            99 if self.rng.below(8) == 0 => self.restart(),
            _ => {}
        }
    }

    fn cancel(&mut self, conn: ConnId) {
        let mut numbers: Vec<JobNumber> = self.known.keys().copied().collect();
        numbers.sort_unstable();
        if numbers.is_empty() || self.loading.is_some() {
            return;
        }
        let fetched = self.fetches.first().map(|(number, _)| *number).filter(|_| self.rng.chance(50));
        let number = fetched.unwrap_or(*self.rng.pick(&numbers));
        // Whoever has it goes on with it.
        self.ended.insert(number);
        if let Some(known) = self.known.get_mut(&number) {
            known.owed = false;
        }
        let handle = Bytes::copy_from_slice(HandlePrefix::new(PREFIX).write(number).as_bytes());
        self.conns.get_mut(&conn).expect("it is there").asks.push_back(Ask::Other);
        self.apply(Event::Command { conn, command: Command::CancelJob(handle) });
    }

    /// A good worker does everything that is left, in a last life.
    fn finish(mut self) -> Counts {
        self.restart();
        let worker = self.connect();
        for function in FUNCTIONS {
            self.ask(worker, None, Request::CanDo { function: Bytes::from(function) });
        }
        self.now = self.now.plus(100_000);
        self.apply(Event::Tick);
        while self.loading.is_some() {
            self.load(50);
        }
        loop {
            self.ask(worker, Some(Ask::Grab), Request::Grab(GrabForm::Plain));
            while self.conns.get(&worker).is_some_and(|peer| !peer.asks.is_empty()) {
                assert!(!self.fetches.is_empty(), "a GRAB is not answered and nothing is under way");
                self.fetch(false);
            }
            if self.held.is_empty() {
                break;
            }
            self.report(worker);
        }
        let left = self.known.iter().find(|(_, known)| known.owed);
        assert!(left.is_none(), "accepted and never done: {left:?}");
        assert_eq!(self.core.job_count(), 0, "jobs are left");
        self.commit(usize::MAX);
        while !self.waiting.is_empty() {
            self.commit(usize::MAX);
        }
        self.owed.drain(..).for_each(|change| self.disk.apply(change));
        assert!(self.disk.jobs.is_empty(), "done and still stored: {:?}", self.disk.jobs);
        self.counts
    }
}

/// Lives through one world.
pub(crate) fn run(seed: u64, steps: u64) -> Counts {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.finish()
}

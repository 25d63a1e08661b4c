//! Random worlds with a store that is slow, fails, dies and comes back, seen from outside: what was accepted is
//! done, answers come in the order of questions, nothing that was refused is done.

mod disk;
mod seen;
mod unread;

use crate::rig::{PREFIX, handle, rules};
use crate::rng::Rng;
use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, HandlePrefix, JobNumber, Millis, Priority};
use conveyor_server::core::{Change, Core, Durability, Effect, Effects, Event, Peer, Reply, Rules};
use disk::Disk;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use unread::Unread;

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
    /// What it asked last, while that waits for more to be read.
    deferred: Option<Event>,
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
    /// Batches that were read and have not come yet.
    flight: VecDeque<Event>,
    unread: Unread,
    finds: Vec<JobNumber>,
    conns: BTreeMap<ConnId, Peerless>,
    next_conn: u32,
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
    pub(crate) found: u64,
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
            flight: VecDeque::new(),
            unread: Unread::default(),
            finds: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
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
        self.core.handle(self.now, event.clone(), &mut fx);
        if let Err(broken) = self.core.check() {
            panic!("{broken} after {shown}");
        }
        for effect in fx.drain() {
            match effect {
                Effect::Append(change) => {
                    self.unread.note_change(&change);
                    self.waiting.push_back(change);
                }
                Effect::Send { conn, reply } => self.queue(conn, Queued::Reply(reply)),
                Effect::Hold { conn, ticket } => self.queue(conn, Queued::Place(ticket, None)),
                Effect::Fill { conn, ticket, reply } => self.fill(conn, ticket, reply),
                Effect::Fetch { number, priority } => self.fetches.push((number, priority)),
                Effect::Find { number } => self.finds.push(number),
                Effect::Pause { conn } => {
                    self.counts.deferred += 1;
                    self.conns.get_mut(&conn).expect("it asked").deferred = Some(event.clone());
                }
                Effect::Resume { conn } => {
                    if let Some(peer) = self.conns.get_mut(&conn) {
                        assert!(peer.deferred.take().is_some(), "it waited");
                    }
                }
                Effect::Close { .. } => panic!("nobody goes beyond a limit here"),
                Effect::Note(_) => {}
            }
        }
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.deliver(conn));
        self.check_unread();
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
        self.apply(Event::Closed { conn });
    }

    fn step(&mut self) {
        let able: Vec<ConnId> =
            self.conns.iter().filter(|(_, peer)| peer.deferred.is_none()).map(|(conn, _)| *conn).collect();
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
            75..80 => self.fetch(true),
            80..83 => self.find(),
            83..90 => self.load(5),
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
        if numbers.is_empty() {
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
        while self.is_loading() {
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

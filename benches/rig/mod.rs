//! A core without a server, and what the benchmarks do with it.
//!
//! The core and the decoder are used through their public interfaces; outboxes belong to the engine, so that
//! the root of each benchmark includes their file as its own module. Events are applied as the engine applies
//! them: effects are taken out after each one, and a tick is sent when one is due.

#![allow(dead_code, reason = "each benchmark uses a part of this")]

pub(crate) mod scenes;

use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, HandlePrefix, JobNumber, Millis, Priority};
use conveyor_server::core::{
    Compat, Core, Durability, Effect, Effects, Event, Identity, Keeps, Peer, Reply, Rules, Wakeup,
};
use std::hint::black_box;

/// What stands before the number in all handles here.
pub(crate) const PREFIX: &[u8] = b"H:bench";

/// Bytes in a small payload.
pub(crate) const SMALL: usize = 64;

/// Bytes in a large payload.
pub(crate) const LARGE: usize = 256 << 10;

/// A plain job that nobody waits for.
pub(crate) const BACKGROUND: SubmitKind = SubmitKind::Job { priority: Priority::Normal, background: true };

/// A plain job that its client waits for.
pub(crate) const FOREGROUND: SubmitKind = SubmitKind::Job { priority: Priority::Normal, background: false };

/// What an event led to; the last of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) created: Option<JobNumber>,
    pub(crate) assigned: Option<JobNumber>,
    pub(crate) woken: Option<ConnId>,
}

/// A core, its clock and its connections.
pub(crate) struct Rig {
    core: Core,
    now: Millis,
    fx: Effects,
    prefix: HandlePrefix,
    payload: Bytes,
    conns: u32,
}

impl Rig {
    /// A core with the rules of a server that was given no options.
    pub(crate) fn new() -> Self {
        let prefix = HandlePrefix::new(PREFIX);
        let rules = Rules {
            compat: Compat::V2_0,
            round_robin: false,
            max_losses: None,
            wakeup: Wakeup::AsNeeded,
            exceptions: false,
            prefix: prefix.clone(),
            durability: Durability::Memory,
            keeps: Keeps::default(),
            queue_bytes: usize::MAX,
            identity: Identity { version: "bench".to_owned(), pid: 1, verbose: "ERROR".to_owned() },
        };
        let payload = Bytes::from(vec![b'x'; SMALL]);
        Self { core: Core::new(rules), now: Millis(1000), fx: Effects::default(), prefix, payload, conns: 0 }
    }

    pub(crate) fn apply(&mut self, event: Event) -> Seen {
        self.core.handle(self.now, event, &mut self.fx);
        let mut seen = Seen::default();
        for effect in self.fx.drain() {
            match &effect {
                Effect::Send { reply: Reply::JobCreated(job), .. } => seen.created = Some(*job),
                Effect::Send { reply: Reply::Assign { job, .. }, .. } => seen.assigned = Some(*job),
                Effect::Send { conn, reply: Reply::Noop } => seen.woken = Some(*conn),
                _ => {}
            }
            black_box(effect);
        }
        seen
    }

    pub(crate) fn ask(&mut self, conn: ConnId, request: Request) -> Seen {
        self.apply(Event::Request { conn, request })
    }

    /// Lets time pass, and ticks when something is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        if self.core.next_deadline().is_some_and(|due| due <= self.now) {
            self.apply(Event::Tick);
        }
    }

    pub(crate) fn connect(&mut self) -> ConnId {
        self.conns += 1;
        let conn = ConnId { index: self.conns, generation: 1 };
        self.apply(Event::Connected { conn, peer: Peer::default() });
        conn
    }

    /// A connection that can do `functions`.
    pub(crate) fn worker(&mut self, functions: &[Bytes]) -> ConnId {
        let conn = self.connect();
        for function in functions {
            self.ask(conn, Request::CanDo { function: function.clone() });
        }
        conn
    }

    /// A connection whose jobs of `function` may take `timeout_ms`.
    pub(crate) fn timed_worker(&mut self, function: &Bytes, timeout_ms: i64) -> ConnId {
        let conn = self.connect();
        self.ask(conn, Request::CanDoTimeout { function: function.clone(), timeout_ms });
        conn
    }

    /// Submits a job with a small payload and no unique.
    pub(crate) fn submit(&mut self, conn: ConnId, kind: SubmitKind, function: &Bytes) -> Seen {
        let payload = self.payload.clone();
        self.ask(conn, Request::Submit { kind, function: function.clone(), unique: Bytes::new(), payload })
    }

    pub(crate) fn submit_many(&mut self, conn: ConnId, function: &Bytes, count: usize) {
        for _ in 0..count {
            self.submit(conn, BACKGROUND, function);
        }
    }

    pub(crate) fn grab(&mut self, worker: ConnId) -> Option<JobNumber> {
        self.ask(worker, Request::Grab(GrabForm::Unique)).assigned
    }

    /// Takes a job, if there is one, and finishes it.
    pub(crate) fn work(&mut self, worker: ConnId) -> bool {
        let Some(job) = self.grab(worker) else { return false };
        let (handle, payload) = (self.handle(job), self.payload.clone());
        self.ask(worker, Request::WorkComplete { handle, payload });
        true
    }

    /// Works until nothing is left.
    pub(crate) fn drain(&mut self, worker: ConnId) {
        while self.work(worker) {}
    }

    pub(crate) fn cancel(&mut self, conn: ConnId, job: JobNumber) {
        let command = Command::CancelJob(self.handle(job));
        self.apply(Event::Command { conn, command });
    }

    /// A wall-clock second that is `ms` away.
    pub(crate) fn second_in(&self, ms: u64) -> i64 {
        i64::try_from(self.now.plus(ms).0 / 1000).unwrap()
    }

    fn handle(&self, job: JobNumber) -> Bytes {
        Bytes::copy_from_slice(self.prefix.write(job).as_bytes())
    }
}

/// The names of `count` functions.
pub(crate) fn functions(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| Bytes::from(format!("function-{number}"))).collect()
}

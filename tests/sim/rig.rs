//! A core with a hand-held clock, and short words for what connections do.

use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, HandlePrefix, JobNumber, Millis, Priority};
use conveyor_server::core::{
    Compat, Core, Durability, Effect, Effects, Event, Identity, Keeps, Peer, Reply, Rules, Wakeup,
};

/// The prefix of all handles here.
pub(crate) const PREFIX: &[u8] = b"H:t";

/// Rules as a server without options has them.
pub(crate) fn rules() -> Rules {
    Rules {
        compat: Compat::V2_0,
        round_robin: false,
        max_losses: None,
        wakeup: Wakeup::AsNeeded,
        exceptions: false,
        prefix: HandlePrefix::new(PREFIX),
        durability: Durability::Relaxed,
        keeps: Keeps::default(),
        queue_bytes: usize::MAX,
        identity: Identity { version: "test".to_owned(), pid: 1, verbose: "ERROR".to_owned() },
    }
}

/// The handle of job `number`.
pub(crate) fn handle(number: u64) -> Bytes {
    Bytes::copy_from_slice(HandlePrefix::new(PREFIX).write(JobNumber(number)).as_bytes())
}

/// Bytes of a text.
pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A core and its clock. Every event is followed by a check of all invariants.
pub(crate) struct Rig {
    pub(crate) core: Core,
    pub(crate) now: Millis,
    conns: u32,
}

impl Rig {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { core: Core::new(rules), now: Millis(1000), conns: 0 }
    }

    /// Applies an event and returns its effects.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut fx = Effects::default();
        let shown = format!("{event:?}");
        self.core.handle(self.now, event, &mut fx);
        if let Err(broken) = self.core.check() {
            panic!("after {shown}: {broken}");
        }
        fx.drain().collect()
    }

    /// Applies an event and returns the replies alone.
    pub(crate) fn replies(&mut self, event: Event) -> Vec<(ConnId, Reply)> {
        let sent = |effect| match effect {
            Effect::Send { conn, reply } => Some((conn, reply)),
            _ => None,
        };
        self.apply(event).into_iter().filter_map(sent).collect()
    }

    pub(crate) fn connect(&mut self) -> ConnId {
        self.conns += 1;
        let conn = ConnId { index: self.conns, generation: 1 };
        self.apply(Event::Connected { conn, peer: Peer::default() });
        conn
    }

    pub(crate) fn close(&mut self, conn: ConnId) -> Vec<(ConnId, Reply)> {
        self.replies(Event::Closed { conn })
    }

    pub(crate) fn ask(&mut self, conn: ConnId, request: Request) -> Vec<(ConnId, Reply)> {
        self.replies(Event::Request { conn, request })
    }

    pub(crate) fn command(&mut self, conn: ConnId, line: &str) -> String {
        let command = Command::parse(&bytes(line)).unwrap();
        let replies = self.replies(Event::Command { conn, command });
        let text = replies.into_iter().filter(|(to, _)| *to == conn).find_map(|(_, reply)| match reply {
            Reply::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
            _ => None,
        });
        text.expect("every command is answered")
    }

    /// Lets time pass and ticks.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<(ConnId, Reply)> {
        self.now = self.now.plus(ms);
        self.replies(Event::Tick)
    }

    /// A connection that can do `functions`, the last one registered last.
    pub(crate) fn worker(&mut self, functions: &[&str]) -> ConnId {
        let conn = self.connect();
        for function in functions {
            self.ask(conn, Request::CanDo { function: bytes(function) });
        }
        conn
    }

    /// A worker that has gone to sleep.
    pub(crate) fn sleeper(&mut self, functions: &[&str]) -> ConnId {
        let conn = self.worker(functions);
        assert_eq!(self.ask(conn, Request::PreSleep), vec![], "nothing to do yet");
        conn
    }

    pub(crate) fn submit_kind(
        &mut self,
        conn: ConnId,
        kind: SubmitKind,
        function: &str,
        unique: &str,
        payload: &str,
    ) -> Vec<(ConnId, Reply)> {
        let (function, unique, payload) = (bytes(function), bytes(unique), bytes(payload));
        self.ask(conn, Request::Submit { kind, function, unique, payload })
    }

    /// Submits, and returns the job's number; what else was sent is dropped.
    pub(crate) fn submit(&mut self, conn: ConnId, job: Submit<'_>) -> u64 {
        let kind = SubmitKind::Job { priority: job.priority, background: job.background };
        let replies = self.submit_kind(conn, kind, job.function, job.unique, job.payload);
        let number = replies.iter().find_map(|(to, reply)| match reply {
            Reply::JobCreated(number) if *to == conn => Some(number.0),
            _ => None,
        });
        number.unwrap_or_else(|| panic!("no JOB_CREATED in {replies:?}"))
    }

    /// Grabs, and returns number and payload of the job.
    pub(crate) fn grab(&mut self, conn: ConnId) -> Option<(u64, String)> {
        let replies = self.ask(conn, Request::Grab(GrabForm::Plain));
        replies.into_iter().filter(|(to, _)| *to == conn).find_map(|(_, reply)| match reply {
            Reply::Assign { job, payload, .. } => Some((job.0, String::from_utf8(payload.to_vec()).unwrap())),
            Reply::NoJob => None,
            other => panic!("not an answer to GRAB_JOB: {other:?}"),
        })
    }

    pub(crate) fn complete(&mut self, conn: ConnId, number: u64, payload: &str) -> Vec<(ConnId, Reply)> {
        self.ask(conn, Request::WorkComplete { handle: handle(number), payload: bytes(payload) })
    }
}

/// A plain submission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submit<'a> {
    pub(crate) function: &'a str,
    pub(crate) unique: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) priority: Priority,
    pub(crate) background: bool,
}

impl<'a> Submit<'a> {
    pub(crate) const fn fg(function: &'a str) -> Self {
        Self { function, unique: "", payload: "p", priority: Priority::Normal, background: false }
    }

    pub(crate) const fn bg(function: &'a str) -> Self {
        Self { background: true, ..Self::fg(function) }
    }

    pub(crate) const fn unique(self, unique: &'a str) -> Self {
        Self { unique, ..self }
    }

    pub(crate) const fn payload(self, payload: &'a str) -> Self {
        Self { payload, ..self }
    }

    pub(crate) const fn at(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }
}

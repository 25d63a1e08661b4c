//! The core: decides what happens to jobs, and does nothing.
//!
//! A plain value. Events go in, effects come out, time is an argument; no socket, clock, file, randomness,
//! log or error inside. The engine runs it; tests and the simulator run it without one.
//!
//! What must hold after every step is written down, and checked, in `invariants`; see [`Core::check`].

mod abilities;
pub mod change;
mod conns;
mod control;
pub mod effect;
pub mod event;
mod fetch;
mod functions;
mod grab;
mod invariants;
mod job;
mod jobs;
mod journal;
mod loading;
mod numbers;
mod pool;
mod ready;
mod report;
mod restore;
mod submit;
mod timers;
mod uniques;
mod unread;
mod wake;
mod watchers;
mod work;

pub use change::{Change, Record};
pub use effect::{Effect, Effects, JobStatus, Note, Reply};
pub use event::{Count, Event, Peer, Row, StoredJob, Unread};
pub use wake::NOOP_PATIENCE_MS;

use bytes::Bytes;
use conns::{Conn, Conns};
use conveyor_common::limits::CLIENT_ID_BYTES;
use conveyor_common::protocol::{ErrorCode, Request};
use conveyor_common::{ConnId, HandlePrefix, JobNumber, Millis};
use fetch::Fetches;
use functions::Functions;
use jobs::Jobs;
use journal::Journal;
use std::num::NonZeroU8;
use timers::{Timer, Timers};
use unread::Loading;
use wake::Crews;
use work::{Outcome, Part, until_nul};

/// Most functions a server holds. gearmand has no limit; a peer that invents names must meet one.
pub const MAX_FUNCTIONS: usize = 1 << 20;

/// Most CAN_DO registrations of one connection.
pub const MAX_ABILITIES: usize = 1 << 17;

/// Jobs nobody wants that may stand in the queues of a function where no worker looks.
const STALE_JOBS_KEPT: usize = 10_000;

/// Which gearmand to behave like where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compat {
    /// Debian's 1.1.20: the newest registration is drained first.
    V1_1,
    /// 2.0: priorities are compared across functions, which take turns.
    V2_0,
}

/// Who is woken when a job becomes runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wakeup {
    /// As many as there are jobs.
    AsNeeded,
    /// Everybody able, as `--worker-wakeup=0`.
    All,
    /// This many, as `--worker-wakeup=N`.
    Count(u8),
}

/// What becomes of background jobs beside memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing: changes are not recorded.
    Memory,
    /// Changes are recorded by [`Effect::Append`]; nobody waits for that.
    Relaxed,
    /// A background job is accepted, and can be run, when it is stored.
    Sync,
}

/// What the store can do beside keeping background jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keeps {
    /// Start times: without, a submission with one is refused.
    pub start_times: bool,
    /// Single payloads can be read from it: without, all of them stay in memory.
    pub payloads: bool,
}

impl Default for Keeps {
    fn default() -> Self {
        Self { start_times: true, payloads: true }
    }
}

/// What the server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Answer to `version`.
    pub version: String,
    /// Answer to `getpid`.
    pub pid: u32,
    /// Answer to `verbose`: a level of gearmand's, such as `ERROR`.
    pub verbose: String,
}

/// How the core decides. Fixed for its life.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which gearmand to behave like.
    pub compat: Compat,
    /// Functions take turns under 1.1 too (`--round-robin`).
    pub round_robin: bool,
    /// A job that was lost this often with its worker is dropped; none is never.
    pub max_losses: Option<NonZeroU8>,
    /// Who is woken.
    pub wakeup: Wakeup,
    /// Connections start with the option `exceptions` on.
    pub exceptions: bool,
    /// What stands before the number in a handle.
    pub prefix: HandlePrefix,
    /// What becomes of background jobs beside memory.
    pub durability: Durability,
    /// What the store can do.
    pub keeps: Keeps,
    /// About so many bytes may be taken by unfinished jobs. What is stored leaves its payload to the store then,
    /// anything else is refused.
    pub queue_bytes: usize,
    /// What the server says about itself.
    pub identity: Identity,
}

/// All jobs, functions and connections of a server.
#[derive(Debug)]
pub struct Core {
    rules: Rules,
    conns: Conns,
    functions: Functions,
    jobs: Jobs,
    timers: Timers,
    crews: Crews,
    journal: Journal,
    fetches: Fetches,
    loading: Option<Loading>,
    next_number: JobNumber,
    next_order: u64,
    grabs: u64,
    connects: u64,
    wall_offset_ms: i64,
}

impl Core {
    /// An empty core.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            conns: Conns::default(),
            functions: Functions::default(),
            jobs: Jobs::default(),
            timers: Timers::default(),
            crews: Crews::default(),
            journal: Journal::default(),
            fetches: Fetches::default(),
            loading: None,
            next_number: JobNumber(1),
            next_order: 0,
            grabs: 0,
            connects: 0,
            wall_offset_ms: 0,
        }
    }

    /// Applies one event. Bad input from a peer becomes an effect, never an error. Effects are appended to
    /// what `fx` already holds.
    pub fn handle(&mut self, now: Millis, event: Event, fx: &mut Effects) {
        match event {
            Event::Request { conn, request } => self.request(now, conn, request, fx),
            Event::Command { conn, command } if self.conns.get(conn).is_some() => {
                self.command(now, conn, command, fx);
            }
            Event::Command { .. } => {}
            Event::Connected { conn, peer } => {
                self.connects += 1;
                let exceptions = self.rules.exceptions;
                self.conns.insert(Conn::new(conn, peer, exceptions, self.connects));
            }
            Event::Closed { conn } => self.closed(now, conn, fx),
            Event::Tick => self.tick(now, fx),
            Event::WallClock { offset_ms } => {
                self.set_wall_clock(offset_ms);
                self.tick(now, fx);
            }
            Event::Stored { through } => self.stored(now, through, fx),
            Event::Refused { through } => self.refused(now, through, fx),
            Event::StoreAway { away } => self.journal.set_away(away),
            Event::StoreFailed => self.store_failed(now, fx),
            Event::Loading { unread } => self.start_loading(&unread),
            Event::Loaded { jobs, next } => self.loaded(now, jobs, next, fx),
            Event::Found { number, row } => self.found(now, number, row, fx),
            Event::Fetched { number, payload } => self.fetched(now, number, payload, fx),
            Event::Stopping => self.stopping(fx),
        }
    }

    /// When a tick is next worth sending; early or repeated ticks are harmless.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        [self.timers.next(), self.next_noop_deadline()].into_iter().flatten().min()
    }

    /// Unfinished jobs.
    #[must_use]
    pub fn job_count(&self) -> usize {
        self.jobs.len()
    }

    /// Open connections.
    #[must_use]
    pub const fn connection_count(&self) -> usize {
        self.conns.len()
    }

    fn tick(&mut self, now: Millis, fx: &mut Effects) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Start(id) => self.start_scheduled(now, id, fx),
                Timer::Expiry(id) => self.expire(now, id, fx),
            }
        }
        self.escalate(now, fx);
    }

    /// A connection is gone: its jobs go back, what it waited for may be abandoned.
    fn closed(&mut self, now: Millis, conn: ConnId, fx: &mut Effects) {
        let Some(leaving) = self.conns.get_mut(conn) else { return };
        leaving.leaving = true;
        self.leave_watched(conn);
        self.drop_abilities(now, conn, None, fx);
        self.leave_crew(conn);
        self.conns.remove(conn);
    }

    fn request(&mut self, now: Millis, conn: ConnId, request: Request, fx: &mut Effects) {
        if self.conns.get(conn).is_none() {
            // It would leave a job that somebody is said to wait for.
            return;
        }
        match request {
            Request::Submit { kind, function, unique, payload } => {
                self.submit(now, conn, kind, (function, unique, payload), fx);
            }
            Request::Grab(form) => self.grab(now, conn, form, fx),
            Request::PreSleep => self.pre_sleep(now, conn, fx),
            Request::WorkComplete { handle, payload } => {
                self.work_outcome(conn, &handle, &Outcome::Complete(payload), fx);
            }
            Request::WorkFail { handle } => {
                self.work_outcome(conn, &handle, &Outcome::Fail(handle.clone()), fx);
            }
            Request::WorkException { handle, payload } => {
                self.work_outcome(conn, &handle, &Outcome::Exception(payload), fx);
            }
            Request::WorkStatus { handle, numerator, denominator } => {
                self.work_status(conn, &handle, &numerator, &denominator, fx);
            }
            Request::WorkData { handle, payload } => self.work_part(conn, &handle, &Part::Data(payload), fx),
            Request::WorkWarning { handle, payload } => {
                self.work_part(conn, &handle, &Part::Warning(payload), fx);
            }
            Request::CanDo { function } => self.can_do(now, conn, &function, 0, fx),
            Request::CanDoTimeout { function, timeout_ms } => {
                self.can_do(now, conn, &function, timeout_ms, fx);
            }
            Request::CantDo { function } => self.cant_do(now, conn, &function, fx),
            Request::ResetAbilities => self.drop_abilities(now, conn, None, fx),
            Request::SetClientId { id } => self.set_client_id(conn, &id),
            Request::GetStatus { handle } => self.get_status(conn, &handle, fx),
            Request::GetStatusUnique { unique } => self.get_status_unique(conn, &unique, fx),
            Request::Echo { payload } => fx.send(conn, Reply::Echo(payload)),
            Request::Option { option } => self.set_option(conn, option, fx),
            Request::AllYours | Request::SubmitSched { .. } => {
                let text = "Command not expected";
                fx.send(conn, Reply::Error { code: ErrorCode::InvalidCommand, text });
            }
        }
    }

    fn set_client_id(&mut self, conn: ConnId, id: &Bytes) {
        let Some(conn) = self.conns.get_mut(conn) else { return };
        let id = until_nul(&id.slice(..id.len().min(CLIENT_ID_BYTES)));
        conn.client_id = Bytes::copy_from_slice(&id);
    }

    fn set_option(&mut self, id: ConnId, option: Bytes, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if option.eq_ignore_ascii_case(b"exceptions") {
            conn.exceptions = true;
            fx.send(id, Reply::Option(option));
        } else {
            let text = "Server does not recognize given option";
            fx.send(id, Reply::Error { code: ErrorCode::UnknownOption, text });
        }
    }
}

//! What the shell tells the core.

use super::change::Record;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::Request;
use conveyor_common::protocol::text::Command;
use conveyor_common::{ConnId, JobNumber, Priority};

/// One thing that happened. Bad input never gets this far: the shell answers what cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a request, and events are not stored")]
pub enum Event {
    /// A connection was accepted.
    Connected {
        /// Its id, new to the core.
        conn: ConnId,
        /// What the `workers` list says about it.
        peer: Peer,
    },
    /// A connection ended, or its peer will send no more.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// A packet arrived.
    Request {
        /// From whom.
        conn: ConnId,
        /// What.
        request: Request,
    },
    /// An admin line arrived.
    Command {
        /// From whom.
        conn: ConnId,
        /// What.
        command: Command,
    },
    /// Time has passed; see [`super::Core::next_deadline`].
    Tick,
    /// The wall clock stands `offset_ms` ahead of the clock that `now` is read from. Sent at the start
    /// and whenever somebody set the clock; jobs with a start time follow it.
    WallClock {
        /// Milliseconds from `now` to milliseconds since 1970-01-01 UTC.
        offset_ms: i64,
    },
    /// All changes up to this one, counted from 1, are stored.
    Stored {
        /// Which.
        through: u64,
    },
    /// The store refused the changes behind the last one it told about, up to this one. Jobs in them were not stored and
    /// never will be; what else is in them will be, before anything later.
    Refused {
        /// Which.
        through: u64,
    },
    /// The store cannot be reached for the moment, or can be again. Says nothing about changes.
    StoreAway {
        /// Whether it is away.
        away: bool,
    },
    /// The store refuses: no change behind the last stored one ever will be.
    StoreFailed,
    /// The store holds jobs that will come by [`Event::Loaded`]. Only as the first event.
    Loading {
        /// How many, by function: what is submitted to these has to wait its turn. A count that is wrong holds things up
        /// until its priority is read, or not at all, and is forgotten then.
        unread: Vec<Unread>,
    },
    /// Jobs were read from the store, by priority, and of each priority those with low numbers first.
    Loaded {
        /// Which.
        jobs: Vec<StoredJob>,
        /// The next ones have this priority or a lower one; none means that these were the last.
        next: Option<Priority>,
    },
    /// A job was looked for in the store.
    Found {
        /// Its number.
        number: JobNumber,
        /// None when no job of this number is stored.
        row: Option<Row>,
    },
    /// A payload was read from the store.
    Fetched {
        /// Of which job.
        number: JobNumber,
        /// None when it cannot be read.
        payload: Option<Bytes>,
    },
    /// The server is about to stop in order: what was reserved and not used can be given back.
    Stopping,
}

/// Jobs of one function that the store has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The function.
    pub function: Bytes,
    /// How many.
    pub counts: PerPriority<Count>,
}

/// How many jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All.
    pub jobs: u64,
    /// Those with a unique.
    pub uniques: u64,
}

impl Count {
    /// Counts a job with this unique.
    pub const fn add(&mut self, unique: &[u8]) {
        self.jobs += 1;
        self.uniques += !unique.is_empty() as u64;
    }
}

/// What finds and counts a job in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its priority.
    pub priority: Priority,
    /// Its function.
    pub function: Bytes,
    /// It has a unique.
    pub unique: bool,
}

/// A job as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// All but the payload, if that is still in the store.
    pub record: Record,
    /// The payload is still in the store.
    pub spilled: bool,
}

/// How a connection is shown in the `workers` list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// File descriptor.
    pub descriptor: i32,
    /// Numeric address without port.
    pub address: Bytes,
}

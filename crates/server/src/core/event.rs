//! What the shell tells the core.

use bytes::Bytes;
use conveyor_common::ConnId;
use conveyor_common::protocol::Request;
use conveyor_common::protocol::text::Command;

/// One thing that happened. Bad input never gets this far: the shell answers what cannot be parsed.
#[derive(Clone, Debug)]
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
}

/// How a connection is shown in the `workers` list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// File descriptor.
    pub descriptor: i32,
    /// Numeric address without port.
    pub address: Bytes,
}

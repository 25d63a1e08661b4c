//! What a worker-manager and its performers say to each other, over the descriptor that a performer finds in
//! `CONVEYOR_CONTROL_FD`.
//!
//! Two encodings, told apart by the first byte of each message: a line of JSON (`{`), for everybody, and a frame for two
//! processes of Conveyor. Both begin with JSON; who has read in the [`codec`](ManagerHello::codec) of the other's hello
//! that it takes frames may write them.
//!
//! Orders say what is wanted from now on, and are numbered: the one with the highest number counts, one that comes twice
//! or late changes nothing. What is not known, a field or a whole message of a newer version, is passed over and told as a
//! note; what makes no sense ends the channel.
//!
//! ```
//! use bytes::BytesMut;
//! use conveyor_common::control::{Codec, Decoder, Order, Received, ToPerformer};
//!
//! let order = ToPerformer::Order { sequence: 3, order: Order::Pause };
//! let mut wire = BytesMut::new();
//! order.encode(Codec::Json, &mut wire);
//! assert_eq!(wire.as_ref(), b"{\"type\":\"pause\",\"sequence\":3}\n");
//! let read = Decoder::default().decode(&mut wire);
//! assert_eq!(read, Ok(Some(Received { message: Some(order), note: None })));
//! ```

mod decode;
mod frame;
mod json;

use crate::payload::Endpoints;
use bytes::BytesMut;
pub use decode::{Decoder, Malformed, Received};
use std::collections::BTreeMap;

/// The version both sides speak, told in their hellos. A higher one has more messages and fields.
pub const VERSION: u32 = 1;

/// Longest message in bytes, unless a [`Decoder`] is told otherwise.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// The variable that names the performer's descriptor.
pub const FD_VARIABLE: &str = "CONVEYOR_CONTROL_FD";

/// How messages become bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Lines of JSON, which everybody reads.
    #[default]
    Json,
    /// Frames of bincode, between two processes of Conveyor.
    Bincode,
}

impl Codec {
    /// The name in a hello.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Bincode => "bincode",
        }
    }
}

/// What a manager says to a performer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPerformer {
    /// First of all.
    Hello(ManagerHello),
    /// What is wanted from now on.
    Order {
        /// Rises with every order.
        sequence: u64,
        /// What.
        order: Order,
    },
}

/// What a manager wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take no jobs and stop at the next checkpoint, until further notice.
    Pause,
    /// Go on.
    Resume,
    /// End: take no further job; the one under way ends at its next checkpoint or by itself. Also while paused, and final.
    Terminate {
        /// For want of memory or processors: the job is to be done again, and that is not its fault.
        shed: bool,
    },
    /// Answer by an acknowledgement, and change nothing.
    Ping,
}

/// A manager's first message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagerHello {
    /// What it speaks: [`VERSION`].
    pub version: u32,
    /// What it can read.
    pub codec: Codec,
    /// The manager's number for this life of the performer.
    pub slot: u64,
    /// Where to find those who share limits with the performer.
    pub endpoints: Endpoints,
    /// Anything else, by name.
    pub settings: BTreeMap<String, String>,
}

/// A performer's first message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerformerHello {
    /// What it speaks: [`VERSION`].
    pub version: u32,
    /// What it can read.
    pub codec: Codec,
    /// Its process: a child of the one that was started, where a shell lies in between.
    pub pid: u32,
    /// Its name, for people.
    pub name: String,
    /// What it is, for people: `conveyor worker`, `php`.
    pub kind: String,
}

/// What a performer says to its manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToManager {
    /// First of all. Without it no order is sent.
    Hello(PerformerHello),
    /// The order was read.
    Ack {
        /// Of the order.
        sequence: u64,
    },
    /// Nothing works any more.
    Paused {
        /// Of the order.
        sequence: u64,
    },
    /// All goes on.
    Resumed {
        /// Of the order.
        sequence: u64,
    },
    /// A job was taken.
    JobStarted {
        /// The server's name for it.
        handle: String,
        /// Its function.
        function: String,
    },
    /// A job was answered or given back.
    JobEnded {
        /// The server's name for it.
        handle: String,
        /// It went well.
        ok: bool,
        /// How long it took, pauses included, in milliseconds.
        ms: u64,
    },
    /// Something for the manager's log.
    Note {
        /// In words.
        text: String,
    },
}

mod sealed {
    use super::json::{Fields, Object};
    use super::{Malformed, ToManager, ToPerformer};

    /// What both encodings need.
    pub trait Wire: Sized {
        fn to_json(&self) -> Object;
        /// None for a type that is not known.
        fn from_json(kind: &str, fields: &mut Fields) -> Result<Option<Self>, Malformed>;
        fn to_frame(&self) -> (u8, Vec<u8>);
        /// The message and how many bytes of `body` it took; none for a kind that is not known.
        fn from_frame(kind: u8, body: &[u8]) -> Result<Option<(Self, usize)>, Malformed>;
    }

    pub trait Sealed: Wire {}
    impl Sealed for ToPerformer {}
    impl Sealed for ToManager {}
}

/// [`ToPerformer`] or [`ToManager`].
pub trait Message: sealed::Sealed {}
impl Message for ToPerformer {}
impl Message for ToManager {}

fn encode(message: &impl sealed::Wire, codec: Codec, to: &mut BytesMut) {
    match codec {
        Codec::Json => json::write(&message.to_json(), to),
        Codec::Bincode => frame::write(message.to_frame(), to),
    }
}

impl ToPerformer {
    /// Appends the bytes of the message.
    pub fn encode(&self, codec: Codec, to: &mut BytesMut) {
        encode(self, codec, to);
    }
}

impl ToManager {
    /// Appends the bytes of the message.
    pub fn encode(&self, codec: Codec, to: &mut BytesMut) {
        encode(self, codec, to);
    }
}

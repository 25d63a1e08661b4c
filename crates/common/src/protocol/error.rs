//! What can be wrong with bytes from a peer, and the codes a server answers with.

use std::fmt;

/// A byte stream that cannot be followed any further: the connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The first byte was NUL and the four bytes are neither `\0REQ` nor `\0RES`.
    BadMagic([u8; 4]),
    /// A packet type that does not exist.
    UnknownType(u32),
    /// A body above the configured limit.
    PacketTooLarge {
        /// Bytes the header claims.
        claimed: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// An argument, or a body that consists of arguments, above the limit of a stock server.
    ArgumentTooLarge,
    /// A text line without an end within the limit.
    LineTooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMagic(bytes) => write!(f, "not a Gearman packet: magic {bytes:02x?}"),
            Self::UnknownType(number) => write!(f, "unknown packet type {number}"),
            Self::PacketTooLarge { claimed, limit } => {
                write!(f, "packet of {claimed} bytes exceeds the limit of {limit} bytes")
            }
            Self::ArgumentTooLarge => f.write_str("argument exceeds 8192 bytes"),
            Self::LineTooLong => f.write_str("admin line exceeds 8192 bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A well-framed packet whose body makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// A known type that nobody may send in this direction.
    Unexpected(super::Opcode),
    /// Fewer NUL terminators than the type needs.
    MissingArgument,
    /// An argument above the limit of a stock server.
    ArgumentTooLarge,
    /// A number that does not fit.
    NumberTooLarge,
    /// A value that cannot be (a status flag that is neither 0 nor 1, a number that is none).
    BadValue,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(opcode) => write!(f, "{opcode:?} is not expected in this direction"),
            Self::MissingArgument => f.write_str("the packet has fewer arguments than its type needs"),
            Self::ArgumentTooLarge => f.write_str("an argument exceeds 8192 bytes"),
            Self::NumberTooLarge => f.write_str("a number does not fit"),
            Self::BadValue => f.write_str("a value that cannot be"),
        }
    }
}

impl std::error::Error for ParseError {}

/// The first argument of an ERROR packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A response packet where a request belongs.
    InvalidMagic,
    /// A known packet that a client or worker may not send.
    InvalidCommand,
    /// An argument above its limit.
    ArgumentTooLarge,
    /// OPTION_REQ for an option that does not exist.
    UnknownOption,
    /// A report on a job that this connection does not hold.
    JobNotFound,
    /// The queue is full or its store refused the job.
    QueueError,
}

impl ErrorCode {
    /// The code as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidMagic => "INVALID_MAGIC",
            Self::InvalidCommand => "INVALID_COMMAND",
            Self::ArgumentTooLarge => "ARGUMENT_TOO_LARGE",
            Self::UnknownOption => "UNKNOWN_OPTION",
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::QueueError => "QUEUE_ERROR",
        }
    }
}

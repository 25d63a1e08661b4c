//! Packets from the server, typed.

use super::args::{Args, write_head};
use super::frame::RESPONSE_MAGIC;
use super::{Opcode, Packet, ParseError};
use bytes::{BufMut, Bytes, BytesMut};

/// A packet of the server. `B` is [`Bytes`] for a packet that was read and anything that is bytes for
/// one to be written, so that a server need not allocate to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of a packet are the arguments the protocol names")]
pub enum Response<B = Bytes> {
    /// Wakes a sleeping worker.
    Noop,
    /// Names the handle of a submission.
    JobCreated { handle: B },
    /// No job is runnable for this worker.
    NoJob,
    /// A job, to GRAB_JOB.
    JobAssign { handle: B, function: B, payload: B },
    /// A job with its unique, to GRAB_JOB_UNIQ.
    JobAssignUniq { handle: B, function: B, unique: B, payload: B },
    /// A job with its unique and reducer, to GRAB_JOB_ALL.
    JobAssignAll { handle: B, function: B, unique: B, reducer: B, payload: B },
    /// Progress.
    WorkStatus { handle: B, numerator: B, denominator: B },
    /// Result.
    WorkComplete { handle: B, payload: B },
    /// Failure.
    WorkFail { handle: B },
    /// Failure with a message, for clients that asked for exceptions.
    WorkException { handle: B, payload: B },
    /// Part of a result.
    WorkData { handle: B, payload: B },
    /// Warning.
    WorkWarning { handle: B, payload: B },
    /// The bytes of an ECHO_REQ.
    Echo { payload: B },
    /// A refusal: code and text.
    Error { code: B, text: B },
    /// Answer to GET_STATUS.
    StatusRes { handle: B, known: bool, running: bool, numerator: B, denominator: B },
    /// Answer to GET_STATUS_UNIQUE; `clients` counts those attached.
    StatusResUnique { unique: B, known: bool, running: bool, numerator: B, denominator: B, clients: B },
    /// An option was granted.
    Option { option: B },
}

/// A response laid out for writing: `args` each end with NUL, `last` does not.
struct Parts<'a> {
    opcode: Opcode,
    args: [&'a [u8]; 5],
    count: usize,
    last: &'a [u8],
}

const fn flag(value: bool) -> &'static [u8] {
    if value { b"1" } else { b"0" }
}

impl<B: AsRef<[u8]>> Response<B> {
    fn parts(&self) -> Parts<'_> {
        const NONE: &[u8] = b"";
        let parts = |opcode, args, count, last| Parts { opcode, args, count, last };
        let zero = |opcode, last| parts(opcode, [NONE; 5], 0, last);
        let one = |opcode, arg, last| parts(opcode, [arg, NONE, NONE, NONE, NONE], 1, last);
        match self {
            Self::Noop => zero(Opcode::Noop, NONE),
            Self::NoJob => zero(Opcode::NoJob, NONE),
            Self::JobCreated { handle } => zero(Opcode::JobCreated, handle.as_ref()),
            Self::JobAssign { handle, function, payload } => parts(
                Opcode::JobAssign,
                [handle.as_ref(), function.as_ref(), NONE, NONE, NONE],
                2,
                payload.as_ref(),
            ),
            Self::JobAssignUniq { handle, function, unique, payload } => parts(
                Opcode::JobAssignUniq,
                [handle.as_ref(), function.as_ref(), unique.as_ref(), NONE, NONE],
                3,
                payload.as_ref(),
            ),
            Self::JobAssignAll { handle, function, unique, reducer, payload } => parts(
                Opcode::JobAssignAll,
                [handle.as_ref(), function.as_ref(), unique.as_ref(), reducer.as_ref(), NONE],
                4,
                payload.as_ref(),
            ),
            Self::WorkStatus { handle, numerator, denominator } => parts(
                Opcode::WorkStatus,
                [handle.as_ref(), numerator.as_ref(), NONE, NONE, NONE],
                2,
                denominator.as_ref(),
            ),
            Self::WorkComplete { handle, payload } => {
                one(Opcode::WorkComplete, handle.as_ref(), payload.as_ref())
            }
            Self::WorkFail { handle } => zero(Opcode::WorkFail, handle.as_ref()),
            Self::WorkException { handle, payload } => {
                one(Opcode::WorkException, handle.as_ref(), payload.as_ref())
            }
            Self::WorkData { handle, payload } => one(Opcode::WorkData, handle.as_ref(), payload.as_ref()),
            Self::WorkWarning { handle, payload } => {
                one(Opcode::WorkWarning, handle.as_ref(), payload.as_ref())
            }
            Self::Echo { payload } => zero(Opcode::EchoRes, payload.as_ref()),
            Self::Error { code, text } => one(Opcode::Error, code.as_ref(), text.as_ref()),
            Self::StatusRes { handle, known, running, numerator, denominator } => parts(
                Opcode::StatusRes,
                [handle.as_ref(), flag(*known), flag(*running), numerator.as_ref(), NONE],
                4,
                denominator.as_ref(),
            ),
            Self::StatusResUnique { unique, known, running, numerator, denominator, clients } => parts(
                Opcode::StatusResUnique,
                [unique.as_ref(), flag(*known), flag(*running), numerator.as_ref(), denominator.as_ref()],
                5,
                clients.as_ref(),
            ),
            Self::Option { option } => zero(Opcode::OptionRes, option.as_ref()),
        }
    }

    /// Appends the whole packet to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let parts = self.parts();
        parts.write_head(out);
        out.put_slice(parts.last);
    }

    /// Appends the packet to `out` except for its last part (the payload, where there is one), which the
    /// caller sends right behind: a large payload need not be copied.
    pub fn encode_head(&self, out: &mut BytesMut) {
        self.parts().write_head(out);
    }

    /// The packet type.
    pub fn opcode(&self) -> Opcode {
        self.parts().opcode
    }
}

impl Parts<'_> {
    fn write_head(&self, out: &mut BytesMut) {
        let args = self.args.get(..self.count).unwrap_or_default();
        write_head(out, RESPONSE_MAGIC, self.opcode, args, self.last.len());
    }
}

impl Response {
    /// Gives a packet of the server its meaning.
    ///
    /// # Errors
    /// [`ParseError::Unexpected`] for a type that servers do not send, else a body that makes no sense.
    pub fn parse(opcode: Opcode, body: Bytes) -> Result<Self, ParseError> {
        let mut args = Args::new(body);
        let response = match opcode {
            Opcode::Noop => Self::Noop,
            Opcode::NoJob => Self::NoJob,
            Opcode::JobCreated => Self::JobCreated { handle: args.last()? },
            Opcode::JobAssign => Self::JobAssign {
                handle: args.terminated()?,
                function: args.terminated()?,
                payload: args.payload(),
            },
            Opcode::JobAssignUniq => Self::JobAssignUniq {
                handle: args.terminated()?,
                function: args.terminated()?,
                unique: args.terminated()?,
                payload: args.payload(),
            },
            Opcode::JobAssignAll => Self::JobAssignAll {
                handle: args.terminated()?,
                function: args.terminated()?,
                unique: args.terminated()?,
                reducer: args.terminated()?,
                payload: args.payload(),
            },
            Opcode::WorkStatus => Self::WorkStatus {
                handle: args.terminated()?,
                numerator: args.terminated()?,
                denominator: args.last()?,
            },
            Opcode::WorkComplete => {
                Self::WorkComplete { handle: args.terminated()?, payload: args.payload() }
            }
            Opcode::WorkFail => Self::WorkFail { handle: args.last()? },
            Opcode::WorkException => {
                Self::WorkException { handle: args.terminated()?, payload: args.payload() }
            }
            Opcode::WorkData => Self::WorkData { handle: args.terminated()?, payload: args.payload() },
            Opcode::WorkWarning => Self::WorkWarning { handle: args.terminated()?, payload: args.payload() },
            Opcode::EchoRes => Self::Echo { payload: args.payload() },
            Opcode::Error => Self::Error { code: args.terminated()?, text: args.last()? },
            Opcode::StatusRes => Self::StatusRes {
                handle: args.terminated()?,
                known: read_flag(&args.terminated()?)?,
                running: read_flag(&args.terminated()?)?,
                numerator: args.terminated()?,
                denominator: args.last()?,
            },
            Opcode::StatusResUnique => Self::StatusResUnique {
                unique: args.terminated()?,
                known: read_flag(&args.terminated()?)?,
                running: read_flag(&args.terminated()?)?,
                numerator: args.terminated()?,
                denominator: args.terminated()?,
                clients: args.last()?,
            },
            Opcode::OptionRes => Self::Option { option: args.last()? },
            _ => return Err(ParseError::Unexpected(opcode)),
        };
        Ok(response)
    }

    /// Gives `packet` its meaning, whatever its magic says.
    ///
    /// # Errors
    /// As [`Response::parse`].
    pub fn from_packet(packet: Packet) -> Result<Self, ParseError> {
        Self::parse(packet.opcode, packet.body)
    }
}

fn read_flag(text: &[u8]) -> Result<bool, ParseError> {
    match text {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(ParseError::BadValue),
    }
}

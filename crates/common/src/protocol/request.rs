//! Packets towards the server, typed.

use super::args::{Args, lenient_number, write_packet};
use super::frame::REQUEST_MAGIC;
use super::{Opcode, Packet, ParseError};
use crate::Priority;
use bytes::{Bytes, BytesMut};

/// What a worker wants to be told about the job it grabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrabForm {
    /// GRAB_JOB: handle, function, payload.
    Plain,
    /// GRAB_JOB_UNIQ: and the unique.
    Unique,
    /// GRAB_JOB_ALL: and the reducer.
    All,
}

/// The kinds of submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitKind {
    /// SUBMIT_JOB, with _HIGH, _LOW and _BG.
    Job {
        /// Which of the three queues.
        priority: Priority,
        /// Nobody waits for the result.
        background: bool,
    },
    /// SUBMIT_JOB_EPOCH: a background job not to start before a time.
    Epoch {
        /// Seconds since 1970-01-01 UTC; the past means now.
        when: i64,
    },
    /// SUBMIT_REDUCE_JOB and SUBMIT_REDUCE_JOB_BACKGROUND.
    Reduce {
        /// The reducer's function.
        reducer: Bytes,
        /// An argument that no server looks at.
        ignored: Bytes,
        /// Nobody waits for the result.
        background: bool,
    },
}

/// A packet of a client or worker. Field names are those of the protocol; every [`Bytes`] is a slice of
/// the buffer the packet arrived in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of a packet are the arguments the protocol names")]
pub enum Request {
    /// Registers a function.
    CanDo { function: Bytes },
    /// Registers a function with a limit on each job, in milliseconds; 0 or less means none.
    CanDoTimeout { function: Bytes, timeout_ms: i64 },
    /// Takes a registration back.
    CantDo { function: Bytes },
    /// Takes all registrations back.
    ResetAbilities,
    /// Goes to sleep until NOOP.
    PreSleep,
    /// Asks for a job.
    Grab(GrabForm),
    /// Names the worker.
    SetClientId { id: Bytes },
    /// Progress.
    WorkStatus { handle: Bytes, numerator: Bytes, denominator: Bytes },
    /// Result.
    WorkComplete { handle: Bytes, payload: Bytes },
    /// Failure; `handle` may hold NULs and is relayed as it is.
    WorkFail { handle: Bytes },
    /// Failure with a message.
    WorkException { handle: Bytes, payload: Bytes },
    /// Part of a result.
    WorkData { handle: Bytes, payload: Bytes },
    /// Warning.
    WorkWarning { handle: Bytes, payload: Bytes },
    /// Submits a job.
    Submit { kind: SubmitKind, function: Bytes, unique: Bytes, payload: Bytes },
    /// Asks about a job by handle.
    GetStatus { handle: Bytes },
    /// Asks about a job by unique.
    GetStatusUnique { unique: Bytes },
    /// Wants the same bytes back.
    Echo { payload: Bytes },
    /// Asks for an option.
    Option { option: Bytes },
    /// ALL_YOURS, which no server implements.
    AllYours,
    /// SUBMIT_JOB_SCHED, which no server implements: minute, hour, day of month, month, day of week.
    SubmitSched { function: Bytes, unique: Bytes, fields: [Bytes; 5], payload: Bytes },
}

impl Request {
    /// Gives a packet towards the server its meaning.
    ///
    /// # Errors
    /// [`ParseError::Unexpected`] for a type that only servers send; every other error means that the
    /// body makes no sense and the connection cannot go on.
    pub fn parse(opcode: Opcode, body: Bytes) -> Result<Self, ParseError> {
        let mut args = Args::new(body);
        let request = match opcode {
            Opcode::CanDo => Self::CanDo { function: args.last()? },
            Opcode::CanDoTimeout => Self::CanDoTimeout {
                function: args.terminated()?,
                timeout_ms: lenient_number(&args.last()?)?,
            },
            Opcode::CantDo => Self::CantDo { function: args.last()? },
            Opcode::ResetAbilities => Self::ResetAbilities,
            Opcode::PreSleep => Self::PreSleep,
            Opcode::GrabJob => Self::Grab(GrabForm::Plain),
            Opcode::GrabJobUniq => Self::Grab(GrabForm::Unique),
            Opcode::GrabJobAll => Self::Grab(GrabForm::All),
            Opcode::SetClientId => Self::SetClientId { id: args.last()? },
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
            Opcode::GetStatus => Self::GetStatus { handle: args.last()? },
            Opcode::GetStatusUnique => Self::GetStatusUnique { unique: args.last()? },
            Opcode::EchoReq => Self::Echo { payload: args.payload() },
            Opcode::OptionReq => Self::Option { option: args.last()? },
            Opcode::AllYours => Self::AllYours,
            Opcode::SubmitJobSched => Self::SubmitSched {
                function: args.terminated()?,
                unique: args.terminated()?,
                fields: [
                    args.terminated()?,
                    args.terminated()?,
                    args.terminated()?,
                    args.terminated()?,
                    args.terminated()?,
                ],
                payload: args.payload(),
            },
            Opcode::SubmitJob
            | Opcode::SubmitJobBg
            | Opcode::SubmitJobHigh
            | Opcode::SubmitJobHighBg
            | Opcode::SubmitJobLow
            | Opcode::SubmitJobLowBg
            | Opcode::SubmitJobEpoch
            | Opcode::SubmitReduceJob
            | Opcode::SubmitReduceJobBackground => return Self::parse_submit(opcode, args),
            Opcode::Unused
            | Opcode::Noop
            | Opcode::JobCreated
            | Opcode::NoJob
            | Opcode::JobAssign
            | Opcode::EchoRes
            | Opcode::Error
            | Opcode::StatusRes
            | Opcode::OptionRes
            | Opcode::JobAssignUniq
            | Opcode::JobAssignAll
            | Opcode::StatusResUnique => return Err(ParseError::Unexpected(opcode)),
        };
        Ok(request)
    }

    fn parse_submit(opcode: Opcode, mut args: Args) -> Result<Self, ParseError> {
        let function = args.terminated()?;
        let unique = args.terminated()?;
        let job = |priority, background| SubmitKind::Job { priority, background };
        let kind = match opcode {
            Opcode::SubmitJobBg => job(Priority::Normal, true),
            Opcode::SubmitJobHigh => job(Priority::High, false),
            Opcode::SubmitJobHighBg => job(Priority::High, true),
            Opcode::SubmitJobLow => job(Priority::Low, false),
            Opcode::SubmitJobLowBg => job(Priority::Low, true),
            Opcode::SubmitJobEpoch => SubmitKind::Epoch { when: lenient_number(&args.terminated()?)? },
            Opcode::SubmitReduceJob | Opcode::SubmitReduceJobBackground => SubmitKind::Reduce {
                reducer: args.terminated()?,
                ignored: args.terminated()?,
                background: opcode == Opcode::SubmitReduceJobBackground,
            },
            _ => job(Priority::Normal, false),
        };
        Ok(Self::Submit { kind, function, unique, payload: args.payload() })
    }

    /// Gives `packet` its meaning, whatever its magic says.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn from_packet(packet: Packet) -> Result<Self, ParseError> {
        Self::parse(packet.opcode, packet.body)
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut put = |opcode, terminated: &[&[u8]], last: &[u8]| {
            write_packet(out, REQUEST_MAGIC, opcode, terminated, last);
        };
        match self {
            Self::CanDo { function } => put(Opcode::CanDo, &[], function),
            Self::CanDoTimeout { function, timeout_ms } => {
                put(Opcode::CanDoTimeout, &[function], timeout_ms.to_string().as_bytes());
            }
            Self::CantDo { function } => put(Opcode::CantDo, &[], function),
            Self::ResetAbilities => put(Opcode::ResetAbilities, &[], b""),
            Self::PreSleep => put(Opcode::PreSleep, &[], b""),
            Self::Grab(GrabForm::Plain) => put(Opcode::GrabJob, &[], b""),
            Self::Grab(GrabForm::Unique) => put(Opcode::GrabJobUniq, &[], b""),
            Self::Grab(GrabForm::All) => put(Opcode::GrabJobAll, &[], b""),
            Self::SetClientId { id } => put(Opcode::SetClientId, &[], id),
            Self::WorkStatus { handle, numerator, denominator } => {
                put(Opcode::WorkStatus, &[handle, numerator], denominator);
            }
            Self::WorkComplete { handle, payload } => put(Opcode::WorkComplete, &[handle], payload),
            Self::WorkFail { handle } => put(Opcode::WorkFail, &[], handle),
            Self::WorkException { handle, payload } => put(Opcode::WorkException, &[handle], payload),
            Self::WorkData { handle, payload } => put(Opcode::WorkData, &[handle], payload),
            Self::WorkWarning { handle, payload } => put(Opcode::WorkWarning, &[handle], payload),
            Self::Submit { kind, function, unique, payload } => match kind {
                SubmitKind::Job { priority, background } => {
                    put(submit_opcode(*priority, *background), &[function, unique], payload);
                }
                SubmitKind::Epoch { when } => {
                    put(Opcode::SubmitJobEpoch, &[function, unique, when.to_string().as_bytes()], payload);
                }
                SubmitKind::Reduce { reducer, ignored, background } => {
                    let opcode =
                        if *background { Opcode::SubmitReduceJobBackground } else { Opcode::SubmitReduceJob };
                    put(opcode, &[function, unique, reducer, ignored], payload);
                }
            },
            Self::GetStatus { handle } => put(Opcode::GetStatus, &[], handle),
            Self::GetStatusUnique { unique } => put(Opcode::GetStatusUnique, &[], unique),
            Self::Echo { payload } => put(Opcode::EchoReq, &[], payload),
            Self::Option { option } => put(Opcode::OptionReq, &[], option),
            Self::AllYours => put(Opcode::AllYours, &[], b""),
            Self::SubmitSched { function, unique, fields: [a, b, c, d, e], payload } => {
                put(Opcode::SubmitJobSched, &[function, unique, a, b, c, d, e], payload);
            }
        }
    }
}

/// The packet type of a plain submission.
#[must_use]
pub const fn submit_opcode(priority: Priority, background: bool) -> Opcode {
    match (priority, background) {
        (Priority::High, false) => Opcode::SubmitJobHigh,
        (Priority::High, true) => Opcode::SubmitJobHighBg,
        (Priority::Normal, false) => Opcode::SubmitJob,
        (Priority::Normal, true) => Opcode::SubmitJobBg,
        (Priority::Low, false) => Opcode::SubmitJobLow,
        (Priority::Low, true) => Opcode::SubmitJobLowBg,
    }
}

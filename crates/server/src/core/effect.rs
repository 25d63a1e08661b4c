//! What the core wants done. The shell does it, in order, and decides nothing.

use super::change::Change;
use bytes::Bytes;
use conveyor_common::protocol::{ErrorCode, GrabForm};
use conveyor_common::{ConnId, JobNumber, Priority};

/// Effects of one or more events, in the order in which they must be carried out.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Queue a packet or text for a connection.
    Send {
        /// To whom.
        conn: ConnId,
        /// What.
        reply: Reply,
    },
    /// Record a change. Those of one core are counted from 1, and [`super::Event::Stored`] names them by that.
    Append(Change),
    /// Keep a place in what is queued for a connection: nothing queued behind it leaves before it is filled.
    Hold {
        /// For whom.
        conn: ConnId,
        /// Names the place. Rises with every place.
        ticket: u64,
    },
    /// Fill a place that was kept.
    Fill {
        /// For whom.
        conn: ConnId,
        /// Which place.
        ticket: u64,
        /// With what.
        reply: Reply,
    },
    /// Read the payload of a job from the store, and tell by [`super::Event::Fetched`].
    Fetch {
        /// Which.
        number: JobNumber,
        /// Its priority.
        priority: Priority,
    },
    /// Look for a job in the store, and tell by [`super::Event::Found`].
    Find {
        /// Its number.
        number: JobNumber,
    },
    /// What a connection asked cannot be answered before more is read from the store: take nothing else from it.
    Pause {
        /// Which.
        conn: ConnId,
    },
    /// Go on taking from a connection, if it is still there.
    Resume {
        /// Which.
        conn: ConnId,
    },
    /// Close a connection that went beyond a limit, once what is queued for it is out.
    Close {
        /// Which.
        conn: ConnId,
        /// Why, for the log.
        reason: &'static str,
    },
    /// Tell the operator.
    Note(Note),
}

/// What goes to a connection. Handles are numbers here; the shell writes them out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the packets, see protocol::response")]
pub enum Reply {
    /// NOOP.
    Noop,
    /// NO_JOB.
    NoJob,
    /// JOB_CREATED.
    JobCreated(JobNumber),
    /// JOB_ASSIGN, JOB_ASSIGN_UNIQ or JOB_ASSIGN_ALL.
    Assign { form: GrabForm, job: JobNumber, function: Bytes, unique: Bytes, reducer: Bytes, payload: Bytes },
    /// WORK_STATUS, relayed as the worker wrote it.
    Status { job: JobNumber, numerator: Bytes, denominator: Bytes },
    /// WORK_COMPLETE.
    Complete { job: JobNumber, payload: Bytes },
    /// WORK_DATA.
    Data { job: JobNumber, payload: Bytes },
    /// WORK_WARNING.
    Warning { job: JobNumber, payload: Bytes },
    /// WORK_EXCEPTION.
    Exception { job: JobNumber, payload: Bytes },
    /// WORK_FAIL of the server's own making.
    Fail(JobNumber),
    /// WORK_FAIL with the handle exactly as the worker sent it.
    FailAsSent(Bytes),
    /// WORK_FAIL with a NUL behind the handle: what a client without `exceptions` gets for an exception.
    FailTerminated(JobNumber),
    /// ERROR.
    Error { code: ErrorCode, text: &'static str },
    /// STATUS_RES.
    StatusRes { handle: Bytes, status: JobStatus },
    /// STATUS_RES_UNIQUE.
    StatusResUnique { unique: Bytes, status: JobStatus, clients: usize },
    /// ECHO_RES.
    Echo(Bytes),
    /// OPTION_RES.
    Option(Bytes),
    /// Answer to an admin line, complete with line ends.
    Text(Bytes),
}

impl Reply {
    /// The job whose handle the reply carries, when the core wrote it.
    #[must_use]
    pub const fn job(&self) -> Option<JobNumber> {
        match self {
            Self::JobCreated(job)
            | Self::Assign { job, .. }
            | Self::Status { job, .. }
            | Self::Complete { job, .. }
            | Self::Data { job, .. }
            | Self::Warning { job, .. }
            | Self::Exception { job, .. }
            | Self::Fail(job)
            | Self::FailTerminated(job) => Some(*job),
            Self::Noop
            | Self::NoJob
            | Self::FailAsSent(_)
            | Self::Error { .. }
            | Self::StatusRes { .. }
            | Self::StatusResUnique { .. }
            | Self::Echo(_)
            | Self::Option(_)
            | Self::Text(_) => None,
        }
    }
}

/// What GET_STATUS tells about a job; all zero for an unknown one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobStatus {
    /// The job exists.
    pub known: bool,
    /// A worker has it.
    pub running: bool,
    /// Progress.
    pub numerator: u32,
    /// Progress when done.
    pub denominator: u32,
}

/// Something for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A job was lost with its worker for the last time.
    JobDropped {
        /// Which.
        job: JobNumber,
        /// Its unique.
        unique: Bytes,
    },
    /// A job ran longer than its worker had allowed.
    JobTimedOut {
        /// Which.
        job: JobNumber,
        /// Whose it was.
        conn: ConnId,
    },
    /// The payload of a stored job cannot be read. It is tried again later.
    PayloadLost {
        /// Which.
        job: JobNumber,
    },
    /// A submission made a new job.
    JobAccepted {
        /// Its function.
        function: Bytes,
        /// Its unique.
        unique: Bytes,
    },
}

impl Effects {
    /// Queues `reply` for `conn`.
    pub(super) fn send(&mut self, conn: ConnId, reply: Reply) {
        self.list.push(Effect::Send { conn, reply });
    }

    pub(super) fn append(&mut self, change: Change) {
        self.list.push(Effect::Append(change));
    }

    pub(super) fn hold(&mut self, conn: ConnId, ticket: u64) {
        self.list.push(Effect::Hold { conn, ticket });
    }

    pub(super) fn fill(&mut self, conn: ConnId, ticket: u64, reply: Reply) {
        self.list.push(Effect::Fill { conn, ticket, reply });
    }

    pub(super) fn fetch(&mut self, number: JobNumber, priority: Priority) {
        self.list.push(Effect::Fetch { number, priority });
    }

    pub(super) fn find(&mut self, number: JobNumber) {
        self.list.push(Effect::Find { number });
    }

    pub(super) fn pause(&mut self, conn: ConnId) {
        self.list.push(Effect::Pause { conn });
    }

    pub(super) fn resume(&mut self, conn: ConnId) {
        self.list.push(Effect::Resume { conn });
    }

    pub(super) fn close(&mut self, conn: ConnId, reason: &'static str) {
        self.list.push(Effect::Close { conn, reason });
    }

    pub(super) fn note(&mut self, note: Note) {
        self.list.push(Effect::Note(note));
    }

    /// Takes all effects out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.list.drain(..)
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

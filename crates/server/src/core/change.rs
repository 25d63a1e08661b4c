//! What happened to the state that outlives a process.
//!
//! A change is complete: ids, handles and times in it are the core's own, given before it is appended. The
//! same changes applied to an empty core ([`super::Core::restore`]) give the same durable state, and
//! no reply depends on durable state that is not in an appended change. A log on one machine or on five can
//! stand behind the core without the core knowing.

use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::{JobNumber, Priority};

/// One change of durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Handle numbers and places in the FIFO order up to these may be given out: none of them is ever given
    /// out again.
    NumbersReserved {
        /// The last reserved number.
        through: JobNumber,
        /// The last reserved place.
        orders: u64,
    },
    /// A function came into being.
    FunctionCreated {
        /// Its name.
        name: Bytes,
    },
    /// A function went.
    FunctionDropped {
        /// Its name.
        name: Bytes,
    },
    /// The queue of a function got other limits; 0 is none.
    QueueLimited {
        /// The function.
        name: Bytes,
        /// Limits by the priority of the submission.
        limits: PerPriority<u32>,
    },
    /// A background job exists: submitted, or a foreground job that a background submission joined.
    Added(Record),
    /// A background job was lost with its worker and stands at the tail of its queue.
    Lost {
        /// Which.
        number: JobNumber,
        /// Its priority: number and priority together find a stored job.
        priority: Priority,
        /// How often that has happened now.
        retries: u32,
        /// Its new place among all jobs ever queued.
        order: u64,
    },
    /// A background job is over: complete, failed, cancelled, dropped.
    Removed {
        /// Which.
        number: JobNumber,
        /// Its priority.
        priority: Priority,
        /// Its function.
        function: Bytes,
        /// It has a unique: with its function, what a store needs that counts its jobs.
        unique: bool,
    },
}

/// Everything about a background job that must survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number in its handle.
    pub number: JobNumber,
    /// Its place among all jobs ever queued: FIFO order within a priority.
    pub order: u64,
    /// Function.
    pub function: Bytes,
    /// Unique as the first submitter sent it.
    pub unique: Bytes,
    /// Priority.
    pub priority: Priority,
    /// Reducer of a reduce job.
    pub reducer: Option<Bytes>,
    /// Not to start before this, in seconds since 1970-01-01 UTC; 0 is at once.
    pub when: i64,
    /// How often it was lost with its worker.
    pub retries: u32,
    /// Payload.
    pub payload: Bytes,
}

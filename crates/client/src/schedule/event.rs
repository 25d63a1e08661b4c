//! What a machine is told, and what it wants done.

use super::state::{How, Start, Where};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process begins to look after it.
    Opened,
    /// Time passed.
    Tick,
    /// Somebody looks: what waits may start, nothing new is due.
    Look,
    /// Somebody wants it to run now.
    RunNow,
    /// This start is about to leave.
    Sending {
        /// When it was due.
        due: i64,
    },
    /// This start has succeeded.
    Started {
        /// When it was due.
        due: i64,
        /// Where it runs.
        place: Where,
    },
    /// This start has failed, and nothing has left.
    NotStarted {
        /// When it was due.
        due: i64,
        /// Why.
        why: String,
        /// Whether it may succeed later.
        again: bool,
    },
    /// Whoever claimed this start is gone before anything left.
    Abandoned {
        /// When it was due.
        due: i64,
    },
    /// This run is over.
    Ended {
        /// When it was due.
        due: i64,
        /// How.
        how: How,
        /// More about it; may be empty.
        note: String,
    },
}

/// What is to be done, after the state was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start this.
    Start(Start),
    /// Stop this run.
    Stop {
        /// When it was due.
        due: i64,
    },
    /// Log that the due times from `first` to `last` are not started.
    PassedOver {
        /// The oldest.
        first: i64,
        /// The newest.
        last: i64,
        /// Why.
        why: String,
    },
    /// Log something else about a due time.
    Log {
        /// The due time.
        due: i64,
        /// The words.
        text: String,
    },
    /// `RunNow` has to wait: ask again.
    Busy,
}

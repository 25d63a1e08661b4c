//! Why a job should give up.

use std::fmt;

/// Why a job should give up: nobody will take its result any more, or its worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The worker was told to stop at once; the server gives the job to another.
    Stopped,
    /// The connection to the server broke; the server gives the job to another.
    ServerLost,
    /// Another job was given back to the server ([`Outcome::Return`](crate::Outcome::Return)), and with its connection
    /// this one.
    Returned,
    /// The job took longer than its function may.
    TimedOut,
    /// The worker was told to end soon. What the job answers still counts: it may give itself back
    /// ([`Outcome::Return`](crate::Outcome::Return)), fail, or come to its end if that is near.
    Terminated,
    /// The job has ended already, and this is a part of it that was left running.
    Ended,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "the worker stops",
            Self::ServerLost => "the server was lost",
            Self::Returned => "the job went back to the server",
            Self::TimedOut => "the job took too long",
            Self::Terminated => "the worker is to end",
            Self::Ended => "the job has ended",
        })
    }
}

impl std::error::Error for Cancelled {}

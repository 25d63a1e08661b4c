//! Jobs done by other programs: one process a job ([`Command::perform`]), or one after the other by processes that are
//! kept ([`Persistent`]).
//!
//! With a process a job, the payload is the command's standard input, its standard output is the result. What it says on the way, it
//! writes to descriptor 3, a line each (see [`Reports`]). A job whose command fails, fails with the last of what
//! the command wrote to standard error.

mod capture;
pub mod frames;
pub(crate) mod group;
mod hold;
mod kept;
pub(crate) mod noise;
mod persistent;
mod process;
mod reports;

pub use hold::Hold;
pub use persistent::{Keeping, Persistent, Reply};
pub use process::{Command, Context, Limits, Output};
pub use reports::{Report, Reports};

use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With exit code 0, and this on its standard output.
    Complete(Bytes),
    /// Otherwise.
    Failed(Failure),
}

/// Why a command gave no result, and the end of what it wrote to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// The end of standard error, at most [`Limits::stderr_bytes`], without blanks at its end. Of a kept process, the
    /// end of standard output and standard error together.
    pub stderr: Bytes,
}

/// Why a command gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It could not be started; holds the system's words.
    NotStarted(String),
    /// It ended with this exit code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It ran longer than [`Limits::timeout`] and was stopped.
    TimedOut,
    /// It wrote more than [`Limits::output_bytes`] and was stopped.
    TooMuchOutput,
    /// It broke the protocol of persistent commands and was stopped.
    Malformed(frames::Malformed),
    /// It did not say `ready` for so long and was stopped.
    NotReady(Duration),
    /// Its state was lost; holds the system's words.
    Lost(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "cannot be started: {error}"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("ran too long and was stopped"),
            Self::TooMuchOutput => f.write_str("wrote too much and was stopped"),
            Self::Malformed(malformed) => write!(f, "broke the protocol: {malformed}"),
            Self::NotReady(waited) => write!(
                f,
                "did not write \"ready {}\" to descriptor 3 within {} ms",
                frames::VERSION,
                waited.as_millis()
            ),
            Self::Lost(error) => write!(f, "was lost: {error}"),
        }
    }
}

impl fmt::Display for Failure {
    /// The reason, and on lines of its own the end of standard error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if !self.stderr.is_empty() {
            write!(f, "\n{}", String::from_utf8_lossy(&self.stderr))?;
        }
        Ok(())
    }
}

//! Why a job has no outcome, or a question no answer: which server, which job, and whether it may have run.

use bytes::Bytes;
use conveyor_common::payload::PayloadError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether a job may have been run although it has no outcome here. Ordered: the worse, the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MayHaveRun {
    /// It never left, or the server refused it: submitting it again is safe.
    No,
    /// It left, and nothing was heard of its work.
    Perhaps,
    /// A worker reported on it.
    Yes,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The job or question cannot be put on the wire; says what to change.
    Invalid(&'static str),
    /// No server could be reached; says what the last one tried answered.
    Unreachable(String),
    /// The connection broke and the job was not to be submitted again.
    Lost(String),
    /// The server answered ERROR: its code and text.
    Refused {
        /// Such as `QUEUE_ERROR`.
        code: String,
        /// The words.
        text: String,
    },
    /// A task cannot be written in the codec of its function, or a result is none in it.
    Payload(PayloadError),
    /// The deadline of the job or of its run has passed.
    Deadline,
    /// The job's updates were not taken for this long while more came in.
    SlowConsumer(Duration),
    /// The server did not answer a question in time.
    NoAnswer(Duration),
    /// Too much waits for one server already.
    Busy,
    /// The client is gone.
    Closed,
}

/// What an error says about its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobName {
    /// The function it was submitted to.
    pub function: Bytes,
    /// Its unique as it went over the wire; empty without one.
    pub unique: Bytes,
    /// The server's name for it, once there was one.
    pub handle: Option<Bytes>,
}

/// Why a job has no outcome, or a question no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The server it went wrong with, as given in the options.
    pub server: Option<Arc<str>>,
    /// The job, where there is one.
    pub job: Option<Box<JobName>>,
    /// Whether that job may have run.
    pub may_have_run: MayHaveRun,
}

impl Error {
    /// An error about no job and no server.
    pub(crate) const fn new(kind: ErrorKind) -> Self {
        Self { kind, server: None, job: None, may_have_run: MayHaveRun::No }
    }

    /// Says which server it was.
    pub(crate) fn at(mut self, server: &Arc<str>) -> Self {
        self.server = Some(Arc::clone(server));
        self
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => f.write_str(what),
            Self::Unreachable(why) => write!(f, "no server can be reached: {why}"),
            Self::Lost(why) => write!(f, "the connection was lost: {why}"),
            Self::Refused { code, text } => write!(f, "the server refused: {code} {text}"),
            Self::Payload(error) => write!(f, "{error}"),
            Self::Deadline => f.write_str("the deadline has passed"),
            Self::SlowConsumer(limit) => write!(f, "updates were not taken for {limit:?}"),
            Self::NoAnswer(limit) => write!(f, "no answer within {limit:?}"),
            Self::Busy => f.write_str("too much waits for the server"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(server) = &self.server {
            write!(f, " (server {server})")?;
        }
        let Some(job) = &self.job else { return Ok(()) };
        write!(f, " (job of {}", String::from_utf8_lossy(&job.function))?;
        if let Some(handle) = &job.handle {
            write!(f, ", {}", String::from_utf8_lossy(handle))?;
        }
        f.write_str(match self.may_have_run {
            MayHaveRun::No => ", it has not run)",
            MayHaveRun::Perhaps => ", it may have run)",
            MayHaveRun::Yes => ", it has run at least in part)",
        })
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_server_and_job_and_whether_it_may_have_run() {
        let job = JobName { function: "resize".into(), unique: Bytes::new(), handle: Some("H:box:7".into()) };
        let error = Error {
            job: Some(Box::new(job)),
            may_have_run: MayHaveRun::Perhaps,
            ..Error::new(ErrorKind::Deadline).at(&Arc::from("box:4730"))
        };
        let text = "the deadline has passed (server box:4730) (job of resize, H:box:7, it may have run)";
        assert_eq!(error.to_string(), text);
    }
}

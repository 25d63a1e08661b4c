//! How one try of a task went.

use crate::error::{Error, ErrorKind};
use crate::typed::TaskOutcome;
use bytes::Bytes;
use conveyor_common::payload::{Content, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a message that are kept; the rest is cut off.
pub const MESSAGE_BYTES: usize = 2000;

/// How one try of a task went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// Done.
    Ok,
    /// The performer answered with an error.
    Error,
    /// The performer answered that the whole run must end.
    Critical,
    /// The job failed or was refused, or the performer threw an exception.
    Failed,
    /// The connection was lost, or no server could be reached: it may have run.
    Lost,
    /// No answer within the deadline of the task: it may have run, and may be running.
    TimedOut,
    /// The answer cannot be read in the codec of the function.
    Malformed,
}

impl OutcomeKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Error, Self::Critical, Self::Failed, Self::Lost, Self::TimedOut, Self::Malformed];

    /// Those after which a task may be tried again.
    pub const RETRYABLE: [Self; 5] = [Self::Error, Self::Failed, Self::Lost, Self::TimedOut, Self::Malformed];

    /// The name in settings, journals and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::TimedOut => "timed-out",
            Self::Malformed => "malformed",
        }
    }

    /// Whether nobody answered: such a task is missing rather than wrong.
    #[must_use]
    pub const fn is_missing(self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut)
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one try of a task went, with what was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it went.
    pub kind: OutcomeKind,
    /// What went wrong, in the words of the performer, the server or the client, cut at [`MESSAGE_BYTES`].
    pub message: Option<String>,
    /// What a performer had to say; the result, when it is done.
    pub result: Option<Content>,
}

impl Verdict {
    /// A verdict without a word.
    #[must_use]
    pub const fn of(kind: OutcomeKind) -> Self {
        Self { kind, message: None, result: None }
    }

    /// A verdict with a reason.
    #[must_use]
    pub fn because(kind: OutcomeKind, message: &str) -> Self {
        Self { message: Some(cut(message)), ..Self::of(kind) }
    }

    /// What the end of a job means for its task. `raw` is what was answered, for an answer that cannot be read.
    #[must_use]
    pub fn of_end(end: Result<TaskOutcome, Error>, raw: Option<&Bytes>) -> Self {
        match end {
            Ok(TaskOutcome::Answered(result)) => {
                let kind = match result.outcome {
                    Outcome::Ok => OutcomeKind::Ok,
                    Outcome::Error => OutcomeKind::Error,
                    Outcome::Critical => OutcomeKind::Critical,
                };
                let message = result.error_message.map(|message| cut(&String::from_utf8_lossy(&message)));
                Self { kind, message, result: result.execution_message }
            }
            Ok(TaskOutcome::Failed) => Self::of(OutcomeKind::Failed),
            Ok(TaskOutcome::Exception(message)) => {
                Self::because(OutcomeKind::Failed, &String::from_utf8_lossy(&message))
            }
            Ok(TaskOutcome::Accepted(_)) => {
                Self::because(OutcomeKind::Malformed, "a task is no background job")
            }
            Err(error) => Self::of_error(&error, raw),
        }
    }

    fn of_error(error: &Error, raw: Option<&Bytes>) -> Self {
        let kind = match error.kind {
            ErrorKind::Payload(_) => OutcomeKind::Malformed,
            ErrorKind::Deadline => OutcomeKind::TimedOut,
            ErrorKind::Refused { .. } | ErrorKind::Invalid(_) => OutcomeKind::Failed,
            _ => OutcomeKind::Lost,
        };
        let message = match raw {
            Some(raw) if kind == OutcomeKind::Malformed => {
                let raw = raw.get(..MESSAGE_BYTES).unwrap_or(raw);
                format!("{}: {}", error.kind, String::from_utf8_lossy(raw).escape_debug())
            }
            _ => error.kind.to_string(),
        };
        Self::because(kind, &message)
    }
}

/// At most [`MESSAGE_BYTES`] of it, whole characters.
fn cut(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES);
    message.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_common::payload::{Codec, ExecutionResult, Limits, TaskId};

    #[test]
    fn every_end_of_a_job_has_its_verdict() {
        let answered = |result| Verdict::of_end(Ok(TaskOutcome::Answered(result)), None);
        assert_eq!(answered(ExecutionResult::ok(7, "done")).kind, OutcomeKind::Ok);
        assert_eq!(answered(ExecutionResult::error(7, "boom")).message.as_deref(), Some("boom"));
        assert_eq!(answered(ExecutionResult::critical(TaskId::from(7), "end")).kind, OutcomeKind::Critical);
        assert_eq!(Verdict::of_end(Ok(TaskOutcome::Failed), None).kind, OutcomeKind::Failed);
        let exception = Verdict::of_end(Ok(TaskOutcome::Exception("thrown".into())), None);
        assert_eq!(exception, Verdict::because(OutcomeKind::Failed, "thrown"));
        let error = |kind| Verdict::of_end(Err(Error::new(kind)), None).kind;
        assert_eq!(error(ErrorKind::Deadline), OutcomeKind::TimedOut);
        assert_eq!(error(ErrorKind::Lost(String::new())), OutcomeKind::Lost);
        assert_eq!(error(ErrorKind::Unreachable(String::new())), OutcomeKind::Lost);
        let refused = ErrorKind::Refused { code: "QUEUE_FULL".to_owned(), text: String::new() };
        assert_eq!(error(refused), OutcomeKind::Failed);
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_kept_in_part() {
        let raw = Bytes::from(vec![b'x'; 10 * MESSAGE_BYTES]);
        let unread = Codec::Json.decode::<ExecutionResult>(&raw, &Limits::default()).unwrap_err();
        let verdict = Verdict::of_end(Err(Error::new(ErrorKind::Payload(unread))), Some(&raw));
        assert_eq!(verdict.kind, OutcomeKind::Malformed);
        let message = verdict.message.unwrap();
        assert!(message.len() <= MESSAGE_BYTES && message.ends_with("xxx"), "{message}");
    }
}

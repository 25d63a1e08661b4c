//! What is written: results as they are, everything else on standard error, or events as JSON.

use conveyor_client::{Error, MayHaveRun, Outcome, Update};
use serde_json::{Value, json};
use std::io::{self, Write};

/// How a job ended, for the exit code and the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Failed,
    Unknown,
}

/// Writes for one job.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) function: String,
    pub(super) json: bool,
    pub(super) prefix: bool,
    pub(super) verbose: bool,
    /// Neither progress nor warnings.
    pub(super) quiet: bool,
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Text {
    Out(Vec<u8>),
    Err(String),
}

impl Text {
    /// Writes it.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(super) fn write(self) -> io::Result<()> {
        match self {
            Self::Out(bytes) => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()
            }
            Self::Err(line) => {
                eprintln!("{line}");
                Ok(())
            }
        }
    }
}

/// Bytes as JSON: text where they are text, else their Base16.
fn bytes_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Writer {
    /// What an update looks like.
    pub(super) fn update(&self, update: &Update) -> Option<Text> {
        if self.json {
            return Some(self.event(match update {
                Update::Created(handle) => json!({ "event": "created", "handle": lossy(handle) }),
                Update::Status { numerator, denominator } => {
                    json!({ "event": "status", "numerator": numerator, "denominator": denominator })
                }
                Update::Data(data) => json!({ "event": "data", "data": bytes_json(data) }),
                Update::Warning(text) => json!({ "event": "warning", "data": bytes_json(text) }),
                // It comes again as the outcome.
                Update::Exception(_) => return None,
            }));
        }
        match update {
            Update::Created(handle) => {
                self.verbose.then(|| Text::Err(format!("Task created: {}", lossy(handle))))
            }
            Update::Status { .. } | Update::Warning(_) if self.quiet => None,
            Update::Status { numerator, denominator } => {
                let percent = (*denominator > 0).then(|| numerator.saturating_mul(100) / denominator);
                percent.map(|percent| Text::Err(format!("{percent}% Complete")))
            }
            Update::Data(data) => Some(self.result(data)),
            Update::Warning(text) => Some(Text::Err(lossy(text).into_owned())),
            Update::Exception(_) => None,
        }
    }

    /// What the end of a job looks like.
    pub(super) fn outcome(&self, outcome: &Result<Outcome, Error>) -> (Ending, Option<Text>) {
        let ending = match outcome {
            Ok(Outcome::Complete(_) | Outcome::Accepted(_)) => Ending::Done,
            Ok(Outcome::Failed | Outcome::Exception(_)) => Ending::Failed,
            Err(_) => Ending::Unknown,
        };
        if self.json {
            return (ending, Some(self.event(outcome_json(outcome))));
        }
        let failed = |why: &str| Some(Text::Err(format!("{}: {why}", self.function)));
        let text = match outcome {
            Ok(Outcome::Complete(result)) => Some(self.result(result)),
            Ok(Outcome::Accepted(_)) => None,
            Ok(Outcome::Failed) => failed("Job failed"),
            Ok(Outcome::Exception(message)) => failed(&format!("Job failed: {}", lossy(message))),
            Err(error) => failed(&error.to_string()),
        };
        (ending, text)
    }

    /// What the end of a background job looks like, or why it is not waited for any longer.
    pub(super) fn gone(&self, handle: &[u8], gone: Result<(), String>) -> Option<Text> {
        match gone {
            Ok(()) if self.json => Some(self.event(json!({ "event": "gone", "handle": lossy(handle) }))),
            Ok(()) => self.verbose.then(|| Text::Err(format!("Task gone: {}", lossy(handle)))),
            Err(why) if self.json => Some(self.event(json!({ "event": "error", "error": why }))),
            Err(why) => Some(Text::Err(format!("{}: {}: {why}", self.function, lossy(handle)))),
        }
    }

    fn event(&self, mut event: Value) -> Text {
        if let Some(event) = event.as_object_mut() {
            event.insert("job".to_owned(), json!(self.number));
            event.insert("function".to_owned(), json!(self.function));
        }
        Text::Out(format!("{event}\n").into_bytes())
    }

    fn result(&self, bytes: &[u8]) -> Text {
        if !self.prefix {
            return Text::Out(bytes.to_vec());
        }
        // Once a packet and not once a line, as `gearman` has it.
        let out = [self.function.as_bytes(), b": ", bytes].concat();
        Text::Out(out)
    }
}

fn outcome_json(outcome: &Result<Outcome, Error>) -> Value {
    match outcome {
        Ok(Outcome::Complete(result)) => json!({ "event": "complete", "result": bytes_json(result) }),
        Ok(Outcome::Failed) => json!({ "event": "fail" }),
        Ok(Outcome::Exception(message)) => json!({ "event": "exception", "data": bytes_json(message) }),
        Ok(Outcome::Accepted(handle)) => json!({ "event": "accepted", "handle": lossy(handle) }),
        Err(error) => {
            let ran = match error.may_have_run {
                MayHaveRun::No => "no",
                MayHaveRun::Perhaps => "perhaps",
                MayHaveRun::Yes => "yes",
            };
            json!({ "event": "error", "error": error.to_string(), "may_have_run": ran })
        }
    }
}

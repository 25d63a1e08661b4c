//! How a run ended, for the shell: exit codes, and why there was no run.

use conveyor_client::payload::Content;
use conveyor_client::run::{JournalError, Report, RunError, RunOutcome, RunTask};
use conveyor_client::{ErrorKind, Priority};
use std::process::ExitCode;

const NOT_DONE: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;
const CRITICAL: u8 = 70;
const BUSY: u8 = 75;

/// Why there was no run, or none to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// Options, configuration or tasks.
    Usage(String),
    /// No server.
    Unreachable(String),
    /// Another run is alive.
    Busy(String),
    /// A signal: the exit code.
    Signal(u8),
    Other(String),
}

impl Failure {
    /// Why, if somebody has to do something about it: neither a signal nor another run needs a notice.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Usage(message) | Self::Unreachable(message) | Self::Other(message) => Some(message),
            Self::Busy(_) | Self::Signal(_) => None,
        }
    }

    /// Says so.
    pub(super) fn told(self, name: &str) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, USAGE),
            Self::Unreachable(message) => {
                let hint = "Is a job server running there? `conveyor server` starts one.";
                (format!("{message}\n{hint}"), UNREACHABLE)
            }
            Self::Busy(message) => {
                eprintln!("conveyor client run: {name} {message}");
                return ExitCode::from(BUSY);
            }
            Self::Signal(code) => ("stopped by a signal".to_owned(), code),
            Self::Other(message) => (message, NOT_DONE),
        };
        eprintln!("conveyor client run: {message}");
        ExitCode::from(code)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match &error {
            RunError::Client(client) => match client.kind {
                ErrorKind::Unreachable(_) => Self::Unreachable(error.to_string()),
                _ => Self::Usage(error.to_string()),
            },
            RunError::Mismatch(_) => Self::Usage(error.to_string()),
            RunError::Journal(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Busy { path } => {
                Self::Busy(format!("is running already: another client has {}", path.display()))
            }
            error => Self::Usage(error.to_string()),
        }
    }
}

/// What became of the lock of a run that was ended without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Somebody else has it.
    TakenOver,
    /// Its server cannot be reached.
    Unreachable,
}

/// The exit code of a run. `signal` is that of a signal, if there was one.
pub(super) fn code(report: &Report, signal: Option<u8>, lost: Option<Lost>) -> ExitCode {
    match (&report.outcome, signal, lost) {
        (RunOutcome::Complete, ..) => ExitCode::SUCCESS,
        (RunOutcome::Aborted { critical: true, .. }, ..) => ExitCode::from(CRITICAL),
        (RunOutcome::Aborted { .. }, Some(code), _) => ExitCode::from(code),
        (RunOutcome::Aborted { .. }, None, Some(Lost::TakenOver)) => ExitCode::from(BUSY),
        (RunOutcome::Aborted { .. }, None, Some(Lost::Unreachable)) => ExitCode::from(UNREACHABLE),
        _ => ExitCode::from(NOT_DONE),
    }
}

/// A priority by its name.
pub(super) const fn queue(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

/// A task on one line.
pub(super) fn task(task: &RunTask) -> String {
    let body = match &task.body {
        Content::Bytes(bytes) => String::from_utf8_lossy(bytes).chars().take(60).collect::<String>(),
        Content::Php(_) => "a PHP value".to_owned(),
    };
    let function = task.function.as_ref().map_or_else(String::new, |function| format!(" ({function})"));
    format!("{}{function}: {}", task.id.to_string().escape_debug(), body.escape_debug())
}

//! What travels between client and worker, whatever the codec.

use super::php;
use bytes::Bytes;
use std::fmt;

/// The name a client gave a task. Four that PHP's `==` and truth would mix up stay different: `7`, `"7"`, `0` and `""`.
///
/// ```
/// use conveyor_common::payload::TaskId;
///
/// assert_ne!(TaskId::from(7), TaskId::from("7"));
/// assert_ne!(TaskId::from(0), TaskId::from(""));
/// assert_eq!(TaskId::from("a-7").to_string(), "a-7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskId {
    /// A number.
    Int(i64),
    /// A string, mostly text; PHP's strings are bytes.
    Text(Bytes),
}

impl From<i64> for TaskId {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for TaskId {
    fn from(text: &str) -> Self {
        Self::Text(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
        }
    }
}

/// What a task or its answer is about: bytes, or a PHP value that is no string.
///
/// Made by `From`, so that a string is always [`Content::Bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Bytes; for PHP a string.
    Bytes(Bytes),
    /// A PHP value whose references, if any, stay within it. Codecs other than PHP's carry it serialized.
    Php(php::Value),
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<php::Value> for Content {
    fn from(value: php::Value) -> Self {
        match value {
            php::Value::Bytes(bytes) => Self::Bytes(bytes),
            value => Self::Php(value),
        }
    }
}

/// What a client asks of a worker.
///
/// In PHP it is either a value that names its own task, as the adapted DTOs of gearman-conveyor and arrays with a key
/// `task_id` do, or an array of the four fields; see [`Codec::Php`](super::Codec::Php).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPayload {
    /// The task, where it has a name.
    pub task_id: Option<TaskId>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The run of the client that asks, so that answers to another one are recognised.
    pub run: Option<String>,
    /// The parameters.
    pub body: Content,
}

impl TaskPayload {
    /// The first attempt of a task that belongs to no run.
    #[must_use]
    pub fn new(task_id: impl Into<TaskId>, body: impl Into<Content>) -> Self {
        Self { task_id: Some(task_id.into()), ..Self::anonymous(body) }
    }

    /// Parameters and nothing else.
    #[must_use]
    pub fn anonymous(body: impl Into<Content>) -> Self {
        Self { task_id: None, attempt: 1, run: None, body: body.into() }
    }
}

/// How a task went: `TasksInspector\Inventory\ExecutionDto` of PHP, all of whose properties are protected.
///
/// ```
/// use conveyor_common::payload::{ExecutionResult, Outcome, TaskId};
///
/// let result = ExecutionResult::critical(TaskId::from("pm-1"), "no database");
/// assert_eq!(result.outcome, Outcome::Critical);
/// assert!(result.error_exists(), "a critical error is an error");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionResult {
    /// `errorExist` and `criticalError` in one, since a critical error is an error: `setCriticalError` of the original
    /// sets both.
    pub outcome: Outcome,
    /// `errorMessage`: what went wrong.
    pub error_message: Option<Bytes>,
    /// `executionMessage`: the result, or what a worker has to say. PHP's null is none.
    pub execution_message: Option<Content>,
    /// `taskId`. Workers of the original leave it out when they fail, so answers are told apart by job handle.
    pub task_id: Option<TaskId>,
}

/// What a client makes of an [`ExecutionResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The task is done.
    Ok,
    /// It failed and may be tried again.
    Error,
    /// The whole run must end.
    Critical,
}

impl ExecutionResult {
    /// Done, with a result.
    #[must_use]
    pub fn ok(task_id: impl Into<TaskId>, message: impl Into<Content>) -> Self {
        Self { execution_message: Some(message.into()), ..Self::of(Some(task_id.into()), Outcome::Ok) }
    }

    /// Failed; the task may be tried again.
    #[must_use]
    pub fn error(task_id: impl Into<TaskId>, message: impl Into<Bytes>) -> Self {
        Self { error_message: Some(message.into()), ..Self::of(Some(task_id.into()), Outcome::Error) }
    }

    /// Failed in a way that ends the run.
    #[must_use]
    pub fn critical(task_id: impl Into<TaskId>, message: impl Into<Bytes>) -> Self {
        Self { error_message: Some(message.into()), ..Self::of(Some(task_id.into()), Outcome::Critical) }
    }

    /// An outcome without messages.
    #[must_use]
    pub const fn of(task_id: Option<TaskId>, outcome: Outcome) -> Self {
        Self { outcome, error_message: None, execution_message: None, task_id }
    }

    /// `errorExist`
    #[must_use]
    pub const fn error_exists(&self) -> bool {
        matches!(self.outcome, Outcome::Error | Outcome::Critical)
    }

    /// `criticalError`
    #[must_use]
    pub const fn critical_error(&self) -> bool {
        matches!(self.outcome, Outcome::Critical)
    }
}

impl Outcome {
    /// From the two flags. A DTO that is critical and no error was not made by the original, and is believed about
    /// what is worse.
    pub(super) const fn from_flags(error_exists: bool, critical_error: bool) -> Self {
        match (critical_error, error_exists) {
            (true, _) => Self::Critical,
            (false, true) => Self::Error,
            (false, false) => Self::Ok,
        }
    }
}

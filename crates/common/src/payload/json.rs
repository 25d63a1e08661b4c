//! JSON, for workers in any language.
//!
//! Bytes are a string where they are UTF-8 and `{"hex": "00ff"}` where not; a PHP value is `{"php": ...}` around its
//! serialized bytes.

use super::{
    Codec, Content, Endpoints, ExecutionResult, Limits, ManagerTask, Outcome, PayloadError, Problem, TaskId,
    TaskPayload, php,
};
use bytes::Bytes;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Hex(Hex),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Php {
    php: Text,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Body {
    Text(Text),
    Php(Php),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Id {
    Int(i64),
    Text(Text),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    #[serde(default)]
    task_id: Option<Id>,
    #[serde(default = "first")]
    attempt: u32,
    #[serde(default)]
    run: Option<String>,
    body: Body,
}

const fn first() -> u32 {
    1
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Execution {
    error_exists: bool,
    #[serde(default)]
    error_message: Option<Text>,
    #[serde(default)]
    execution_message: Option<Body>,
    #[serde(default)]
    task_id: Option<Id>,
    #[serde(default)]
    critical_error: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manager {
    #[serde(default)]
    manager_type: Option<String>,
    #[serde(default)]
    task_id: Option<Id>,
    #[serde(default)]
    tasks_number: u32,
    #[serde(default)]
    command: Option<Text>,
    #[serde(default)]
    most_at_once: Option<u32>,
    #[serde(default = "memory_percent")]
    memory_percent: u32,
    #[serde(default = "cpu_percent")]
    cpu_percent: u32,
    #[serde(default)]
    endpoints: Addresses,
    /// Only where there is one: it means something to PHP alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    php: Option<Text>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Addresses {
    request_pulsar: Option<String>,
    publisher_pulsar: Option<String>,
    push_pulsar: Option<String>,
    publisher_pm: Option<String>,
}

const fn memory_percent() -> u32 {
    ManagerTask::MEMORY_PERCENT
}

const fn cpu_percent() -> u32 {
    ManagerTask::CPU_PERCENT
}

fn to_text(bytes: &[u8]) -> Text {
    match std::str::from_utf8(bytes) {
        Ok(text) => Text::Plain(text.to_owned()),
        Err(_) => Text::Hex(Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() }),
    }
}

fn from_text(text: Text) -> Result<Bytes, PayloadError> {
    let hex = match text {
        Text::Plain(text) => return Ok(text.into()),
        Text::Hex(Hex { hex }) => hex,
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
    bytes
        .map(Bytes::from)
        .ok_or_else(|| PayloadError::new(Codec::Json, 0, Problem::Expected("two hex digits a byte")))
}

fn to_body(content: &Content, limits: &Limits) -> Result<Body, PayloadError> {
    Ok(match content {
        Content::Bytes(bytes) => Body::Text(to_text(bytes)),
        Content::Php(value) => Body::Php(Php { php: to_text(&php::encode(value, limits)?) }),
    })
}

fn from_body(body: Body, limits: &Limits) -> Result<Content, PayloadError> {
    match body {
        Body::Text(text) => from_text(text).map(Content::Bytes),
        Body::Php(Php { php }) => Ok(php::decode(&from_text(php)?, limits)?.into()),
    }
}

fn to_id(id: &TaskId) -> Id {
    match id {
        TaskId::Int(number) => Id::Int(*number),
        TaskId::Text(text) => Id::Text(to_text(text)),
    }
}

fn from_id(id: Id) -> Result<TaskId, PayloadError> {
    match id {
        Id::Int(number) => Ok(TaskId::Int(number)),
        Id::Text(text) => from_text(text).map(TaskId::Text),
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        to_id(self).serialize(serializer)
    }
}

/// What ids are.
const NO_ID: &str = "an id is a text, or a number of 64 bits without a fraction";

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = Id::deserialize(deserializer).map_err(|_| D::Error::custom(NO_ID))?;
        from_id(id).map_err(D::Error::custom)
    }
}

/// For what is written and read again on one machine: a content has to fit into memory, and no more.
const UNLIMITED: Limits = Limits { bytes: usize::MAX, values: usize::MAX, levels: Limits::MOST_LEVELS };

impl Serialize for Content {
    /// As it stands in a JSON payload.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        to_body(self, &UNLIMITED).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_body(Body::deserialize(deserializer)?, &UNLIMITED).map_err(D::Error::custom)
    }
}

fn write(value: &impl Serialize, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let format =
        |error: serde_json::Error| PayloadError::new(Codec::Json, 0, Problem::Format(error.to_string()));
    let bytes = serde_json::to_vec(value).map_err(format)?;
    limits.check_bytes(Codec::Json, bytes.len())?;
    Ok(bytes)
}

/// serde_json itself refuses nesting beyond 128 levels.
fn read<'a, T: Deserialize<'a>>(input: &'a [u8], limits: &Limits) -> Result<T, PayloadError> {
    limits.check_bytes(Codec::Json, input.len())?;
    serde_json::from_slice(input).map_err(|error| {
        let at = offset(input, error.line(), error.column());
        PayloadError::new(Codec::Json, at, Problem::Format(error.to_string()))
    })
}

/// Bytes before `column` of `line`, which serde_json counts from 1 (0: nothing read yet).
fn offset(input: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        input.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before.saturating_add(column.saturating_sub(1)).min(input.len())
}

pub(super) fn encode_task(task: &TaskPayload, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let task = Task {
        task_id: task.task_id.as_ref().map(to_id),
        attempt: task.attempt,
        run: task.run.clone(),
        body: to_body(&task.body, limits)?,
    };
    write(&task, limits)
}

pub(super) fn decode_task(input: &Bytes, limits: &Limits) -> Result<TaskPayload, PayloadError> {
    let Task { task_id, attempt, run, body } = read(input, limits)?;
    let task_id = task_id.map(from_id).transpose()?;
    Ok(TaskPayload { task_id, attempt, run, body: from_body(body, limits)? })
}

pub(super) fn encode_result(result: &ExecutionResult, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let message = result.execution_message.as_ref();
    let execution = Execution {
        error_exists: result.error_exists(),
        error_message: result.error_message.as_deref().map(to_text),
        execution_message: message.map(|message| to_body(message, limits)).transpose()?,
        task_id: result.task_id.as_ref().map(to_id),
        critical_error: result.critical_error(),
    };
    write(&execution, limits)
}

pub(super) fn decode_result(input: &Bytes, limits: &Limits) -> Result<ExecutionResult, PayloadError> {
    let execution: Execution = read(input, limits)?;
    Ok(ExecutionResult {
        error_message: execution.error_message.map(from_text).transpose()?,
        execution_message: execution.execution_message.map(|body| from_body(body, limits)).transpose()?,
        task_id: execution.task_id.map(from_id).transpose()?,
        outcome: Outcome::from_flags(execution.error_exists, execution.critical_error),
    })
}

pub(super) fn encode_manager(task: &ManagerTask, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let Endpoints { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm } = task.endpoints.clone();
    let original = task.original.as_ref().map(|value| php::encode(value, limits)).transpose()?;
    let manager = Manager {
        manager_type: task.manager_type.clone(),
        task_id: task.task_id.as_ref().map(to_id),
        tasks_number: task.tasks_number,
        command: task.command.as_deref().map(to_text),
        most_at_once: task.most_at_once,
        memory_percent: task.memory_percent,
        cpu_percent: task.cpu_percent,
        endpoints: Addresses { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm },
        php: original.as_deref().map(to_text),
    };
    write(&manager, limits)
}

pub(super) fn decode_manager(input: &Bytes, limits: &Limits) -> Result<ManagerTask, PayloadError> {
    let manager: Manager = read(input, limits)?;
    let Addresses { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm } = manager.endpoints;
    let original = manager.php.map(|text| php::decode(&from_text(text)?, limits)).transpose()?;
    Ok(ManagerTask {
        manager_type: manager.manager_type,
        task_id: manager.task_id.map(from_id).transpose()?,
        tasks_number: manager.tasks_number,
        command: manager.command.map(from_text).transpose()?,
        most_at_once: manager.most_at_once,
        memory_percent: manager.memory_percent,
        cpu_percent: manager.cpu_percent,
        endpoints: Endpoints { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm },
        original,
    })
}

//! bincode, between two processes of Conveyor: a version byte, then the fields.

use super::{
    Codec, Content, Endpoints, ExecutionResult, Limits, ManagerTask, Outcome, PayloadError, Problem, TaskId,
    TaskPayload, php,
};
use crate::binary::{self, BorrowDecode, Broken, Encode, VERSION};
use bytes::Bytes;

#[derive(Encode, BorrowDecode)]
enum Id<'a> {
    Int(i64),
    Text(&'a [u8]),
}

#[derive(Encode, BorrowDecode)]
enum Body<'a> {
    Bytes(&'a [u8]),
    Php(&'a [u8]),
}

#[derive(Encode, BorrowDecode)]
struct Task<'a> {
    task_id: Option<Id<'a>>,
    attempt: u32,
    run: Option<&'a str>,
    body: Body<'a>,
}

#[derive(Encode, BorrowDecode)]
struct Execution<'a> {
    error_exists: bool,
    error_message: Option<&'a [u8]>,
    execution_message: Option<Body<'a>>,
    task_id: Option<Id<'a>>,
    critical_error: bool,
}

#[derive(Encode, BorrowDecode)]
struct Manager<'a> {
    manager_type: Option<&'a str>,
    task_id: Option<Id<'a>>,
    tasks_number: u32,
    command: Option<&'a [u8]>,
    most_at_once: Option<u32>,
    memory_percent: u32,
    cpu_percent: u32,
    request_pulsar: Option<&'a str>,
    publisher_pulsar: Option<&'a str>,
    push_pulsar: Option<&'a str>,
    publisher_pm: Option<&'a str>,
    original: Option<&'a [u8]>,
}

const fn error(at: usize, problem: Problem) -> PayloadError {
    PayloadError::new(Codec::Bincode, at, problem)
}

fn write(value: &impl Encode, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let bytes = binary::write(&(VERSION, value)).map_err(|problem| error(0, Problem::Format(problem)))?;
    limits.check_bytes(Codec::Bincode, bytes.len())?;
    Ok(bytes)
}

fn read<'a, T: BorrowDecode<'a, ()>>(input: &'a [u8], limits: &Limits) -> Result<T, PayloadError> {
    limits.check_bytes(Codec::Bincode, input.len())?;
    let rest = match input.split_first() {
        Some((&VERSION, rest)) => rest,
        Some((version, _)) => return Err(error(0, Problem::UnknownVersion(*version))),
        None => return Err(error(0, Problem::Truncated)),
    };
    // bincode does not say where it was.
    let (value, used) = binary::read(rest).map_err(|broken| match broken {
        Broken::Truncated => error(input.len(), Problem::Truncated),
        Broken::Format(problem) => error(1, Problem::Format(problem)),
    })?;
    match rest.len().saturating_sub(used) {
        0 => Ok(value),
        bytes => Err(error(1 + used, Problem::TrailingBytes { bytes })),
    }
}

fn to_id(id: &TaskId) -> Id<'_> {
    match id {
        TaskId::Int(number) => Id::Int(*number),
        TaskId::Text(text) => Id::Text(text),
    }
}

fn from_id(input: &Bytes, id: &Id<'_>) -> TaskId {
    match id {
        Id::Int(number) => TaskId::Int(*number),
        Id::Text(text) => TaskId::Text(input.slice_ref(text)),
    }
}

/// The serialized form of a PHP value; nothing for bytes.
fn serialized(content: Option<&Content>, limits: &Limits) -> Result<Option<Vec<u8>>, PayloadError> {
    match content {
        Some(Content::Php(value)) => php::encode(value, limits).map(Some),
        Some(Content::Bytes(_)) | None => Ok(None),
    }
}

fn to_body<'a>(content: &'a Content, serialized: Option<&'a [u8]>) -> Body<'a> {
    match content {
        Content::Bytes(bytes) => Body::Bytes(bytes),
        Content::Php(_) => Body::Php(serialized.unwrap_or_default()),
    }
}

fn from_body(input: &Bytes, body: &Body<'_>, limits: &Limits) -> Result<Content, PayloadError> {
    match body {
        Body::Bytes(bytes) => Ok(Content::Bytes(input.slice_ref(bytes))),
        Body::Php(bytes) => Ok(php::decode(&input.slice_ref(bytes), limits)?.into()),
    }
}

pub(super) fn encode_task(task: &TaskPayload, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let php = serialized(Some(&task.body), limits)?;
    let task = Task {
        task_id: task.task_id.as_ref().map(to_id),
        attempt: task.attempt,
        run: task.run.as_deref(),
        body: to_body(&task.body, php.as_deref()),
    };
    write(&task, limits)
}

pub(super) fn decode_task(input: &Bytes, limits: &Limits) -> Result<TaskPayload, PayloadError> {
    let task: Task<'_> = read(input, limits)?;
    Ok(TaskPayload {
        task_id: task.task_id.map(|id| from_id(input, &id)),
        attempt: task.attempt,
        run: task.run.map(str::to_owned),
        body: from_body(input, &task.body, limits)?,
    })
}

pub(super) fn encode_result(result: &ExecutionResult, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let php = serialized(result.execution_message.as_ref(), limits)?;
    let execution = Execution {
        error_exists: result.error_exists(),
        error_message: result.error_message.as_deref(),
        execution_message: result.execution_message.as_ref().map(|message| to_body(message, php.as_deref())),
        task_id: result.task_id.as_ref().map(to_id),
        critical_error: result.critical_error(),
    };
    write(&execution, limits)
}

pub(super) fn decode_result(input: &Bytes, limits: &Limits) -> Result<ExecutionResult, PayloadError> {
    let execution: Execution<'_> = read(input, limits)?;
    let message = execution.execution_message.map(|body| from_body(input, &body, limits)).transpose()?;
    Ok(ExecutionResult {
        error_message: execution.error_message.map(|text| input.slice_ref(text)),
        execution_message: message,
        task_id: execution.task_id.map(|id| from_id(input, &id)),
        outcome: Outcome::from_flags(execution.error_exists, execution.critical_error),
    })
}

pub(super) fn encode_manager(task: &ManagerTask, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let original = task.original.as_ref().map(|value| php::encode(value, limits)).transpose()?;
    let manager = Manager {
        manager_type: task.manager_type.as_deref(),
        task_id: task.task_id.as_ref().map(to_id),
        tasks_number: task.tasks_number,
        command: task.command.as_deref(),
        most_at_once: task.most_at_once,
        memory_percent: task.memory_percent,
        cpu_percent: task.cpu_percent,
        request_pulsar: task.endpoints.request_pulsar.as_deref(),
        publisher_pulsar: task.endpoints.publisher_pulsar.as_deref(),
        push_pulsar: task.endpoints.push_pulsar.as_deref(),
        publisher_pm: task.endpoints.publisher_pm.as_deref(),
        original: original.as_deref(),
    };
    write(&manager, limits)
}

pub(super) fn decode_manager(input: &Bytes, limits: &Limits) -> Result<ManagerTask, PayloadError> {
    let manager: Manager<'_> = read(input, limits)?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let original = manager.original.map(|value| php::decode(&input.slice_ref(value), limits));
    Ok(ManagerTask {
        manager_type: owned(manager.manager_type),
        task_id: manager.task_id.map(|id| from_id(input, &id)),
        tasks_number: manager.tasks_number,
        command: manager.command.map(|command| input.slice_ref(command)),
        most_at_once: manager.most_at_once,
        memory_percent: manager.memory_percent,
        cpu_percent: manager.cpu_percent,
        endpoints: Endpoints {
            request_pulsar: owned(manager.request_pulsar),
            publisher_pulsar: owned(manager.publisher_pulsar),
            push_pulsar: owned(manager.push_pulsar),
            publisher_pm: owned(manager.publisher_pm),
        },
        original: original.transpose()?,
    })
}

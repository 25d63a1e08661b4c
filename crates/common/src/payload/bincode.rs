//! bincode, between two processes of Conveyor: a version byte, then the fields.
//!
//! The only module that names the crate: it is no longer maintained, and its place could be taken without anybody
//! noticing but this version byte. Everything is decoded as slices of the input, so nothing is allocated for a length
//! that is only claimed.

use super::{
    Codec, Content, ExecutionResult, Limits, Outcome, PayloadError, Problem, TaskId, TaskPayload, php,
};
use ::bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use ::bincode::error::DecodeError;
use ::bincode::{BorrowDecode, Encode, borrow_decode_from_slice, encode_to_vec};
use bytes::Bytes;

/// First byte of every payload.
const VERSION: u8 = 1;

/// Beyond this nothing is decoded, whatever [`Limits`] say: a packet is no larger unless configured.
const MOST_BYTES: usize = 1 << 30;

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

const fn configuration() -> Configuration<LittleEndian, Varint, Limit<MOST_BYTES>> {
    standard().with_limit::<MOST_BYTES>()
}

const fn error(at: usize, problem: Problem) -> PayloadError {
    PayloadError::new(Codec::Bincode, at, problem)
}

fn write(value: &impl Encode, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let bytes = encode_to_vec((VERSION, value), configuration())
        .map_err(|problem| error(0, Problem::Format(problem.to_string())))?;
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
    let (value, used) = borrow_decode_from_slice(rest, configuration()).map_err(|problem| match problem {
        DecodeError::UnexpectedEnd { .. } => error(input.len(), Problem::Truncated),
        problem => error(1, Problem::Format(problem.to_string())),
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

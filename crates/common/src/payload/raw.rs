//! The bytes themselves: for workers that know nothing of tasks.

use super::{Codec, Content, ExecutionResult, Limits, Outcome, PayloadError, Problem, TaskPayload, php};
use bytes::Bytes;

fn check(input: &Bytes, limits: &Limits) -> Result<(), PayloadError> {
    limits.check_bytes(Codec::Raw, input.len())
}

fn bytes_of(content: &Content, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let bytes = match content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Php(value) => php::encode(value, limits)?,
    };
    limits.check_bytes(Codec::Raw, bytes.len())?;
    Ok(bytes)
}

/// The body alone: who submits it knows the task by the handle of its job.
pub(super) fn encode_task(task: &TaskPayload, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    bytes_of(&task.body, limits)
}

pub(super) fn decode_task(input: &Bytes, limits: &Limits) -> Result<TaskPayload, PayloadError> {
    check(input, limits)?;
    Ok(TaskPayload::anonymous(input.clone()))
}

/// The message of a success. An error has no bytes here: it is WORK_FAIL or WORK_EXCEPTION.
pub(super) fn encode_result(result: &ExecutionResult, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    if result.outcome != Outcome::Ok {
        let problem = Problem::Refused("an error, which WORK_FAIL or WORK_EXCEPTION carries,");
        return Err(PayloadError::new(Codec::Raw, 0, problem));
    }
    result.execution_message.as_ref().map_or(Ok(Vec::new()), |message| bytes_of(message, limits))
}

pub(super) fn decode_result(input: &Bytes, limits: &Limits) -> Result<ExecutionResult, PayloadError> {
    check(input, limits)?;
    let result = ExecutionResult::of(None, Outcome::Ok);
    Ok(ExecutionResult { execution_message: Some(input.clone().into()), ..result })
}

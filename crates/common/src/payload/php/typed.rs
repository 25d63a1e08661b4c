//! Tasks and results as PHP values.

use super::value::{Key, Property, Value};
use crate::payload::{
    Codec, Content, ExecutionResult, Limits, Outcome, PayloadError, Problem, TaskId, TaskPayload,
};
use bytes::Bytes;

/// The class of an [`ExecutionResult`].
const RESULT_CLASS: &[u8] = b"TasksInspector\\Inventory\\ExecutionDto";

/// The fields of a task that does not name itself, in order.
const TASK_FIELDS: [&str; 4] = ["task_id", "attempt", "run", "body"];

/// Number of the value of the last of [`TASK_FIELDS`], for references: the array is 1.
const BODY_NUMBER: u64 = 5;

/// Number of `executionMessage`: the object is 1.
const MESSAGE_NUMBER: u64 = 4;

/// What is wrong with a value as a whole; it begins at byte 0.
pub(super) const fn wrong(problem: Problem) -> PayloadError {
    PayloadError::new(Codec::Php, 0, problem)
}

pub(super) const fn wrong_type(field: &'static str) -> PayloadError {
    wrong(Problem::WrongType { field })
}

pub(in crate::payload) fn encode_task(task: &TaskPayload, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let body = content_value(&task.body);
    // What names itself must arrive as it is: a worker in PHP expects its own DTO.
    let plain = task.attempt == 1 && task.run.is_none();
    let says_all = own_id(&body) == task.task_id && (plain || task.task_id.is_some());
    if says_all && envelope(&body).is_none() {
        return super::encode(&body, limits);
    }
    let run =
        task.run.as_ref().map_or(Value::Null, |run| Value::Bytes(Bytes::copy_from_slice(run.as_bytes())));
    let values = [
        id_value(task.task_id.as_ref()),
        Value::Int(i64::from(task.attempt)),
        run,
        moved(body, |number| number.checked_add(BODY_NUMBER - 1))?,
    ];
    let fields = TASK_FIELDS.iter().map(|name| Key::new(*name)).zip(values).collect();
    super::encode(&Value::Array(fields), limits)
}

pub(in crate::payload) fn decode_task(input: &Bytes, limits: &Limits) -> Result<TaskPayload, PayloadError> {
    let value = super::decode(input, limits)?;
    let Some([id, attempt, run, body]) = envelope(&value) else {
        let task_id = own_id(&value);
        return Ok(TaskPayload { task_id, ..TaskPayload::anonymous(value) });
    };
    let attempt = match attempt {
        Value::Int(attempt) => u32::try_from(*attempt).map_err(|_| wrong_type("attempt"))?,
        _ => return Err(wrong_type("attempt")),
    };
    let run = match run {
        Value::Null => None,
        Value::Bytes(run) => Some(String::from_utf8(run.to_vec()).map_err(|_| wrong_type("run"))?),
        _ => return Err(wrong_type("run")),
    };
    let task_id = id_of(id).ok_or_else(|| wrong_type("task_id"))?;
    let body = moved(body.clone(), |number| number.checked_sub(BODY_NUMBER - 1))?;
    Ok(TaskPayload { task_id, attempt, run, body: body.into() })
}

/// The values of an array of exactly [`TASK_FIELDS`].
fn envelope(value: &Value) -> Option<[&Value; 4]> {
    let Value::Array(entries) = value else { return None };
    let named = |((key, _), name): (&(Key, Value), &str)| matches!(key, Key::Bytes(key) if key == name);
    let [(_, id), (_, attempt), (_, run), (_, body)] = entries.as_slice() else { return None };
    entries.iter().zip(TASK_FIELDS).all(named).then_some([id, attempt, run, body])
}

/// The task that `value` names: key `task_id` of an array, or property `taskId` of an object.
fn own_id(value: &Value) -> Option<TaskId> {
    let id = match value {
        Value::Array(entries) => {
            entries.iter().find(|(key, _)| matches!(key, Key::Bytes(key) if key == "task_id"))?.1.clone()
        }
        Value::Object { properties, .. } => {
            let is_id = |property: &Property| property.name().is_some_and(|name| name == "taskId");
            properties.iter().find(|(property, _)| is_id(property))?.1.clone()
        }
        _ => return None,
    };
    id_of(&id)?
}

/// Outer `None`: no task can be called so.
pub(super) fn id_of(value: &Value) -> Option<Option<TaskId>> {
    match value {
        Value::Null => Some(None),
        Value::Int(number) => Some(Some(TaskId::Int(*number))),
        Value::Bytes(text) => Some(Some(TaskId::Text(text.clone()))),
        _ => None,
    }
}

pub(super) fn id_value(id: Option<&TaskId>) -> Value {
    match id {
        None => Value::Null,
        Some(TaskId::Int(number)) => Value::Int(*number),
        Some(TaskId::Text(text)) => Value::Bytes(text.clone()),
    }
}

fn content_value(content: &Content) -> Value {
    match content {
        Content::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Content::Php(value) => value.clone(),
    }
}

/// `value` at another place of a whole: its references change by `renumber`.
fn moved(mut value: Value, renumber: fn(u64) -> Option<u64>) -> Result<Value, PayloadError> {
    match &mut value {
        Value::Reference { number, .. } => {
            let within = renumber(*number).filter(|number| *number > 0);
            *number = within.ok_or_else(|| wrong(Problem::BadReference))?;
        }
        Value::Array(entries) => {
            for (_, value) in entries {
                *value = moved(std::mem::replace(value, Value::Null), renumber)?;
            }
        }
        Value::Object { properties, .. } => {
            for (_, value) in properties {
                *value = moved(std::mem::replace(value, Value::Null), renumber)?;
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Enum { .. } => {}
    }
    Ok(value)
}

pub(in crate::payload) fn encode_result(
    result: &ExecutionResult,
    limits: &Limits,
) -> Result<Vec<u8>, PayloadError> {
    let message = result.execution_message.as_ref().map_or(Value::Null, content_value);
    let fields = [
        ("errorExist", Value::Bool(result.error_exists())),
        ("errorMessage", result.error_message.clone().map_or(Value::Null, Value::Bytes)),
        ("executionMessage", moved(message, |number| number.checked_add(MESSAGE_NUMBER - 1))?),
        ("taskId", id_value(result.task_id.as_ref())),
        ("criticalError", Value::Bool(result.critical_error())),
    ];
    let protected = |(name, value): (&'static str, Value)| {
        (Property::Protected(Bytes::from_static(name.as_bytes())), value)
    };
    let properties = fields.into_iter().map(protected).collect();
    super::encode(&Value::Object { class: Bytes::from_static(RESULT_CLASS), properties }, limits)
}

/// The properties must be those of the class in its order, as PHP always writes them: references depend on it.
pub(in crate::payload) fn decode_result(
    input: &Bytes,
    limits: &Limits,
) -> Result<ExecutionResult, PayloadError> {
    let Value::Object { class, properties } = super::decode(input, limits)? else {
        return Err(wrong(Problem::Expected("an ExecutionDto")));
    };
    // Names of classes know no case in PHP, but PHP always writes them as they were declared.
    if class != RESULT_CLASS {
        return Err(wrong(Problem::WrongClass(String::from_utf8_lossy(&class).into_owned())));
    }
    let mut properties = properties.into_iter();
    let mut next = |field: &'static str| match properties.next() {
        Some((Property::Protected(name), value)) if name == field => Ok(value),
        Some((other, _)) => Err(unknown(&other)),
        None => Err(wrong(Problem::MissingField(field))),
    };
    let error_exists = flag(&next("errorExist")?, "errorExist")?;
    let error_message = match next("errorMessage")? {
        Value::Null => None,
        Value::Bytes(text) => Some(text),
        _ => return Err(wrong_type("errorMessage")),
    };
    let message = moved(next("executionMessage")?, |number| number.checked_sub(MESSAGE_NUMBER - 1))?;
    let execution_message = (message != Value::Null).then(|| message.into());
    let task_id = id_of(&next("taskId")?).ok_or_else(|| wrong_type("taskId"))?;
    let critical_error = flag(&next("criticalError")?, "criticalError")?;
    if let Some((other, _)) = properties.next() {
        return Err(unknown(&other));
    }
    let outcome = Outcome::from_flags(error_exists, critical_error);
    Ok(ExecutionResult { outcome, error_message, execution_message, task_id })
}

fn unknown(property: &Property) -> PayloadError {
    let name = property.name().map(|name| String::from_utf8_lossy(name).into_owned());
    wrong(Problem::UnknownField(name.unwrap_or_default()))
}

const fn flag(value: &Value, field: &'static str) -> Result<bool, PayloadError> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        _ => Err(wrong_type(field)),
    }
}

//! The tasks of a run, and how they are read.

mod php_body;

use conveyor_common::Priority;
use conveyor_common::payload::{Codec, Content, TaskId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

/// A task of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTask {
    /// Its name, which no other task of the run has.
    pub id: TaskId,
    /// What the performer is given.
    pub body: Content,
    /// The function that does it; none for that of the run.
    pub function: Option<String>,
    /// The queue it waits in; none for that of the run. The manager's task is the one at high priority.
    pub priority: Option<Priority>,
}

impl RunTask {
    /// A task of the function and priority of the run.
    #[must_use]
    pub fn new(id: impl Into<TaskId>, body: impl Into<Content>) -> Self {
        Self { id: id.into(), body: body.into(), function: None, priority: None }
    }
}

/// Why a list of tasks cannot be used.
#[derive(Debug)]
pub enum TaskError {
    /// It cannot be read.
    Io(io::Error),
    /// A line is no task.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "tasks cannot be read: {error}"),
            Self::Line { line, what } => write!(f, "line {line} is no task: {what}"),
        }
    }
}

impl std::error::Error for TaskError {}

impl From<io::Error> for TaskError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A line of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<TaskId>,
    #[serde(default)]
    body: Option<Box<RawValue>>,
    #[serde(default)]
    function: Option<String>,
    #[serde(default)]
    priority: Option<Queue>,
}

/// Priorities of performer tasks.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Queue {
    Normal,
    Low,
}

/// Reads tasks of a run with `codec`, one JSON object a line: `{"id": 7, "body": "photo 17"}`, with `function` and `priority` (`normal` or `low`)
/// where they differ from those of the run. A body that is no string is passed on as the JSON it is; with PHP's codec as the
/// value it means, objects as arrays. Without `id` a task is
/// called by its number, from 1. Empty lines are passed over.
///
/// # Errors
/// The first line that is no task, or has the id of an earlier one: nothing is to be submitted then.
pub fn read_tasks(input: impl BufRead, codec: Codec) -> Result<Vec<RunTask>, TaskError> {
    let mut tasks = Vec::new();
    let mut seen: HashMap<TaskId, usize> = HashMap::new();
    for (index, line) in input.split(b'\n').enumerate() {
        let number = index.saturating_add(1);
        let line = line?;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let wrong = |what: String| TaskError::Line { line: number, what };
        let Line { id, body, function, priority } =
            serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        let next = i64::try_from(tasks.len()).unwrap_or(i64::MAX).saturating_add(1);
        let id = id.unwrap_or(TaskId::Int(next));
        if let Some(earlier) = seen.insert(id.clone(), number) {
            return Err(wrong(format!("line {earlier} has the id {id} already")));
        }
        let body = body_of(body.as_deref(), codec).map_err(|error| wrong(error.to_string()))?;
        let priority = priority.map(|queue| match queue {
            Queue::Normal => Priority::Normal,
            Queue::Low => Priority::Low,
        });
        tasks.push(RunTask { id, body, function, priority });
    }
    Ok(tasks)
}

/// The body of a line, as it is written there.
fn body_of(body: Option<&RawValue>, codec: Codec) -> serde_json::Result<Content> {
    let text = body.map_or("null", RawValue::get);
    match text.as_bytes().first() {
        Some(b'n') => Ok(Content::from("")),
        Some(b'"') => serde_json::from_str::<String>(text).map(|text| Content::from(text.as_str())),
        _ if codec == Codec::Php => php_body::read(text).map(Content::from),
        _ => Ok(Content::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<RunTask>, String> {
        read_tasks(text.as_bytes(), Codec::Json).map_err(|error| error.to_string())
    }

    #[test]
    fn ids_that_look_alike_are_different_tasks() {
        let tasks =
            read("{\"id\":7}\n{\"id\":\"7\"}\n{\"id\":\"a-7\"}\n{\"id\":0}\n{\"id\":\"\"}\n{\"id\":\"0\"}\n");
        let ids: Vec<TaskId> = tasks.unwrap().into_iter().map(|task| task.id).collect();
        let expected: [TaskId; 6] = [7.into(), "7".into(), "a-7".into(), 0.into(), "".into(), "0".into()];
        assert_eq!(ids, expected);
    }

    #[test]
    fn a_line_has_what_differs_from_the_run() {
        let tasks = read("\n{\"body\":{\"w\":[1,2]},\"function\":\"crop\",\"priority\":\"low\"}\n\n{}");
        let crop = RunTask {
            function: Some("crop".to_owned()),
            priority: Some(Priority::Low),
            ..RunTask::new(1, "{\"w\":[1,2]}")
        };
        assert_eq!(tasks, Ok(vec![crop, RunTask::new(2, "")]));
    }

    #[test]
    fn what_is_no_task_is_refused_by_its_line() {
        assert_eq!(
            read("{\"id\":1}\n\n{\"id\":1}").unwrap_err(),
            "line 3 is no task: line 1 has the id 1 already"
        );
        assert!(read("{}\n{\"id\":1.5}").unwrap_err().starts_with("line 2 is no task"));
        assert!(read("{\"priority\":\"high\"}").unwrap_err().contains("normal"));
        assert!(read("{\"bdy\":1}").unwrap_err().contains("bdy"));
    }
}

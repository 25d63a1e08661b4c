//! Jobs as JSON: what is text is text, other bytes are base64 in a field of another name.

use super::{name_of, priority};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use conveyor_common::JobNumber;
use conveyor_common::priority::PerPriority;
use conveyor_server::store::sqlite::{Entry, Head};
use serde::{Deserialize, Serialize};

/// Version of what `export` writes.
const FORMAT: u32 = 1;

/// A line of an export: the head, the limits of a function, or a job.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    conveyor_export: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    places: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_base64: Option<String>,
    /// Limits for high, normal and low.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_queue: Option<[u32; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reducer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reducer_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// What a line of an export says.
#[derive(Debug)]
pub(super) enum Said {
    /// Nothing below these is given out again.
    Head(Head),
    /// The queue of a function is limited.
    Limits(Bytes, PerPriority<u32>),
    /// A job, with its payload.
    Job(Box<Entry>),
}

/// Text, or base64.
fn split(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

fn joined(text: Option<String>, base64: Option<String>, field: &str) -> Result<Option<Bytes>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("{field} and {field}_base64 exclude each other")),
        (Some(text), None) => Ok(Some(Bytes::from(text))),
        (None, Some(base64)) => {
            let bytes = BASE64.decode(base64).map_err(|error| format!("{field}_base64: {error}"))?;
            Ok(Some(Bytes::from(bytes)))
        }
        (None, None) => Ok(None),
    }
}

impl Line {
    pub(super) fn head(head: &Head) -> Self {
        let (numbers, places) = (Some(head.numbers), Some(head.orders));
        Self { conveyor_export: Some(FORMAT), numbers, places, ..Self::default() }
    }

    pub(super) fn limits(name: &[u8], limits: &PerPriority<u32>) -> Self {
        let (function, function_base64) = split(name);
        let max_queue = Some([limits.high, limits.normal, limits.low]);
        Self { function, function_base64, max_queue, ..Self::default() }
    }

    pub(super) fn job(job: &Entry) -> Self {
        let (function, function_base64) = split(&job.function);
        let (unique, unique_base64) = split(&job.unique);
        let (reducer, reducer_base64) = job.reducer.as_deref().map_or((None, None), split);
        let (payload, payload_base64) = job.payload.as_deref().map_or((None, None), split);
        Self {
            number: Some(job.number.0),
            function,
            function_base64,
            priority: Some(name_of(job.priority).to_owned()),
            unique,
            unique_base64,
            reducer,
            reducer_base64,
            start: Some(job.start),
            retries: Some(job.retries),
            place: Some(job.place),
            bytes: Some(job.size),
            payload,
            payload_base64,
            ..Self::default()
        }
    }

    /// What it says, or what is wrong with it.
    pub(super) fn said(self) -> Result<Said, String> {
        if let Some(format) = self.conveyor_export {
            if format != FORMAT {
                return Err(format!("it is of format {format}, and this version reads {FORMAT}"));
            }
            let (numbers, orders) = (self.numbers.unwrap_or(0), self.places.unwrap_or(0));
            return Ok(Said::Head(Head { format: 0, numbers, orders }));
        }
        let function =
            joined(self.function, self.function_base64, "function")?.ok_or("function is missing")?;
        if let (Some([high, normal, low]), None) = (self.max_queue, self.number) {
            return Ok(Said::Limits(function, PerPriority { high, normal, low }));
        }
        let payload = joined(self.payload, self.payload_base64, "payload")?.ok_or("payload is missing")?;
        Ok(Said::Job(Box::new(Entry {
            number: JobNumber(self.number.ok_or("number is missing")?),
            priority: priority(self.priority.as_deref().unwrap_or("normal"))?,
            function,
            unique: joined(self.unique, self.unique_base64, "unique")?.unwrap_or_default(),
            reducer: joined(self.reducer, self.reducer_base64, "reducer")?,
            place: self.place.unwrap_or(0),
            start: self.start.unwrap_or(0),
            retries: self.retries.unwrap_or(0),
            size: payload.len() as u64,
            payload: Some(payload),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_common::Priority;

    #[test]
    fn a_job_comes_back_as_it_went() {
        for payload in [&b"text \"\n"[..], b"\xff\0", b""] {
            let job = Entry {
                number: JobNumber(7),
                priority: Priority::Low,
                function: Bytes::from_static(b"f\xfe"),
                unique: Bytes::from_static(b"u"),
                reducer: Some(Bytes::from_static(b"r")),
                place: 9,
                start: 11,
                retries: 2,
                size: payload.len() as u64,
                payload: Some(Bytes::from_static(payload)),
            };
            let text = serde_json::to_string(&Line::job(&job)).unwrap();
            let Said::Job(back) = serde_json::from_str::<Line>(&text).unwrap().said().unwrap() else {
                panic!("{text} is no job")
            };
            assert_eq!(*back, job);
        }
    }

    #[test]
    fn a_line_that_is_no_job_says_why() {
        for (line, why) in [
            (r#"{"number":1,"payload":""}"#, "function is missing"),
            (r#"{"number":1,"function":"f"}"#, "payload is missing"),
            (r#"{"function":"f","payload":""}"#, "number is missing"),
            (r#"{"number":1,"function":"f","payload":"","payload_base64":""}"#, "exclude"),
            (r#"{"number":1,"function":"f","payload":"","priority":"x"}"#, "choose high"),
            (r#"{"conveyor_export":2}"#, "format 2"),
        ] {
            let error = serde_json::from_str::<Line>(line).unwrap().said().unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}

//! Messages as lines of JSON: one object each, with its `type`.

use super::sealed::Wire;
use super::{Codec, Malformed, ManagerHello, Order, PerformerHello, ToManager, ToPerformer};
use crate::payload::Endpoints;
use bytes::BytesMut;
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields in the order in which they are written.
pub(super) type Object = Vec<(&'static str, Value)>;

/// Names of fields that a note tells, at most.
const NAMES_TOLD: usize = 8;

pub(super) fn write(object: &Object, to: &mut BytesMut) {
    for (at, (name, value)) in object.iter().enumerate() {
        to.extend_from_slice(if at == 0 { b"{" } else { b"," });
        to.extend_from_slice(Value::from(*name).to_string().as_bytes());
        to.extend_from_slice(b":");
        to.extend_from_slice(value.to_string().as_bytes());
    }
    to.extend_from_slice(b"}\n");
}

/// The type of a line and its other fields.
pub(super) fn read(line: &[u8]) -> Result<(String, Fields), Malformed> {
    let map: serde_json::Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| Malformed::Json(error.to_string()))?;
    let mut fields = Fields(map.into_iter().collect());
    let kind = fields.text("type")?;
    Ok((kind, fields))
}

/// Fields that were not asked for yet.
#[derive(Debug)]
pub struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn text(&mut self, name: &'static str) -> Result<String, Malformed> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Malformed::Field(name)),
        }
    }

    /// None when it is missing or null.
    fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Malformed> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Malformed::Field(name)),
        }
    }

    fn number(&mut self, name: &'static str) -> Result<u64, Malformed> {
        self.0.remove(name).and_then(|value| value.as_u64()).ok_or(Malformed::Field(name))
    }

    fn small_number(&mut self, name: &'static str) -> Result<u32, Malformed> {
        u32::try_from(self.number(name)?).map_err(|_| Malformed::Field(name))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, Malformed> {
        self.0.remove(name).and_then(|value| value.as_bool()).ok_or(Malformed::Field(name))
    }

    /// JSON where there is nothing, or something that this version does not know.
    fn codec(&mut self) -> Result<Codec, Malformed> {
        let named = self.optional_text("codec")?;
        Ok(if named.as_deref() == Some(Codec::Bincode.as_str()) { Codec::Bincode } else { Codec::Json })
    }

    fn texts(&mut self, name: &'static str) -> Result<BTreeMap<String, String>, Malformed> {
        let of = |(name_of, value): (String, Value)| match value {
            Value::String(text) => Ok((name_of, text)),
            _ => Err(Malformed::Field(name)),
        };
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map.into_iter().map(of).collect(),
            // PHP has no other empty object.
            Some(Value::Array(list)) if list.is_empty() => Ok(BTreeMap::new()),
            Some(_) => Err(Malformed::Field(name)),
        }
    }

    /// Names of fields that nobody asked for.
    pub(super) fn left_over(&self) -> Option<String> {
        let names: Vec<&str> = self.0.keys().map(String::as_str).take(NAMES_TOLD).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

impl Wire for ToPerformer {
    fn to_json(&self) -> Object {
        match self {
            Self::Hello(hello) => {
                let endpoints = &hello.endpoints;
                vec![
                    ("type", "hello".into()),
                    ("version", hello.version.into()),
                    ("codec", hello.codec.as_str().into()),
                    ("slot", hello.slot.into()),
                    ("request_pulsar_rs", endpoints.request_pulsar.clone().into()),
                    ("publisher_pulsar", endpoints.publisher_pulsar.clone().into()),
                    ("push_pulsar", endpoints.push_pulsar.clone().into()),
                    ("publisher_pm", endpoints.publisher_pm.clone().into()),
                    (
                        "settings",
                        hello.settings.iter().map(|(k, v)| (k.clone(), Value::from(v.clone()))).collect(),
                    ),
                ]
            }
            Self::Order { sequence, order } => {
                let kind = match order {
                    Order::Pause => "pause",
                    Order::Resume => "resume",
                    Order::Terminate { .. } => "terminate",
                    Order::Ping => "ping",
                };
                let mut object: Object = vec![("type", kind.into()), ("sequence", (*sequence).into())];
                if let Order::Terminate { shed } = order {
                    object.push(("shed", (*shed).into()));
                }
                object
            }
        }
    }

    fn from_json(kind: &str, fields: &mut Fields) -> Result<Option<Self>, Malformed> {
        let order = match kind {
            "hello" => {
                return Ok(Some(Self::Hello(ManagerHello {
                    version: fields.small_number("version")?,
                    codec: fields.codec()?,
                    slot: fields.number("slot")?,
                    endpoints: Endpoints {
                        request_pulsar: fields.optional_text("request_pulsar_rs")?,
                        publisher_pulsar: fields.optional_text("publisher_pulsar")?,
                        push_pulsar: fields.optional_text("push_pulsar")?,
                        publisher_pm: fields.optional_text("publisher_pm")?,
                    },
                    settings: fields.texts("settings")?,
                })));
            }
            "pause" => Order::Pause,
            "resume" => Order::Resume,
            // Without the field somebody simply wants it to end.
            "terminate" => Order::Terminate { shed: fields.flag("shed").unwrap_or(false) },
            "ping" => Order::Ping,
            _ => return Ok(None),
        };
        Ok(Some(Self::Order { sequence: fields.number("sequence")?, order }))
    }

    fn to_frame(&self) -> (u8, Vec<u8>) {
        super::frame::of_performer(self)
    }

    fn from_frame(kind: u8, body: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        super::frame::to_performer(kind, body)
    }
}

impl Wire for ToManager {
    fn to_json(&self) -> Object {
        let numbered = |kind: &str, sequence: u64| -> Object {
            vec![("type", kind.into()), ("sequence", sequence.into())]
        };
        match self {
            Self::Hello(hello) => vec![
                ("type", "hello".into()),
                ("version", hello.version.into()),
                ("codec", hello.codec.as_str().into()),
                ("pid", hello.pid.into()),
                ("name", hello.name.clone().into()),
                ("kind", hello.kind.clone().into()),
            ],
            Self::Ack { sequence } => numbered("ack", *sequence),
            Self::Paused { sequence } => numbered("paused", *sequence),
            Self::Resumed { sequence } => numbered("resumed", *sequence),
            Self::JobStarted { handle, function } => vec![
                ("type", "job_started".into()),
                ("handle", handle.clone().into()),
                ("function", function.clone().into()),
            ],
            Self::JobEnded { handle, ok, ms } => vec![
                ("type", "job_ended".into()),
                ("handle", handle.clone().into()),
                ("ok", (*ok).into()),
                ("ms", (*ms).into()),
            ],
            Self::Note { text } => vec![("type", "note".into()), ("text", text.clone().into())],
        }
    }

    fn from_json(kind: &str, fields: &mut Fields) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            "hello" => Self::Hello(PerformerHello {
                version: fields.small_number("version")?,
                codec: fields.codec()?,
                pid: fields.small_number("pid")?,
                name: fields.optional_text("name")?.unwrap_or_default(),
                kind: fields.optional_text("kind")?.unwrap_or_default(),
            }),
            "ack" => Self::Ack { sequence: fields.number("sequence")? },
            "paused" => Self::Paused { sequence: fields.number("sequence")? },
            "resumed" => Self::Resumed { sequence: fields.number("sequence")? },
            "job_started" => {
                Self::JobStarted { handle: fields.text("handle")?, function: fields.text("function")? }
            }
            "job_ended" => Self::JobEnded {
                handle: fields.text("handle")?,
                ok: fields.flag("ok")?,
                ms: fields.number("ms")?,
            },
            "note" => Self::Note { text: fields.text("text")? },
            _ => return Ok(None),
        }))
    }

    fn to_frame(&self) -> (u8, Vec<u8>) {
        super::frame::of_manager(self)
    }

    fn from_frame(kind: u8, body: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        super::frame::to_manager(kind, body)
    }
}

//! Messages as frames: the version, how many bytes follow (u32, little endian), a kind, the fields.
//!
//! Newer versions add kinds, and fields behind those that are there.

use super::{Codec, Malformed, ManagerHello, Order, PerformerHello, ToManager, ToPerformer};
use crate::binary::{self, BorrowDecode, Broken, Encode};
use crate::payload::Endpoints;
use bytes::{Buf, BufMut, BytesMut};

/// First byte of a frame, and of no JSON.
pub(super) const VERSION: u8 = binary::VERSION;

/// Version and length.
const HEAD_BYTES: usize = 5;

const HELLO: u8 = 0;
const PAUSE: u8 = 1;
const RESUME: u8 = 2;
const TERMINATE: u8 = 3;
const PING: u8 = 4;
const ACK: u8 = 1;
const PAUSED: u8 = 2;
const RESUMED: u8 = 3;
const JOB_STARTED: u8 = 4;
const JOB_ENDED: u8 = 5;
const NOTE: u8 = 6;

#[derive(Encode, BorrowDecode)]
struct OfManager<'a> {
    version: u32,
    frames: bool,
    slot: u64,
    endpoints: [Option<&'a str>; 4],
    /// A JSON object: a list would take memory for a length that is only claimed.
    settings: &'a str,
}

#[derive(Encode, BorrowDecode)]
struct OfPerformer<'a> {
    version: u32,
    frames: bool,
    pid: u32,
    name: &'a str,
    kind: &'a str,
}

pub(super) fn write((kind, fields): (u8, Vec<u8>), to: &mut BytesMut) {
    to.put_u8(VERSION);
    // Texts of 4 GiB are in no message; the other side would refuse it.
    to.put_u32_le(u32::try_from(fields.len() + 1).unwrap_or(u32::MAX));
    to.put_u8(kind);
    to.extend_from_slice(&fields);
}

/// Takes the frame at the head of `input`, which begins with the version: its kind and fields.
pub(super) fn take(input: &mut BytesMut, limit: usize) -> Result<Option<(u8, BytesMut)>, Malformed> {
    let Some(mut length) = input.get(1..HEAD_BYTES) else { return Ok(None) };
    let length = usize::try_from(length.get_u32_le()).unwrap_or(usize::MAX);
    if length > limit {
        return Err(Malformed::TooLarge { limit });
    }
    if length == 0 {
        return Err(Malformed::Frame("it has no kind".to_owned()));
    }
    if input.len() < HEAD_BYTES + length {
        return Ok(None);
    }
    input.advance(HEAD_BYTES);
    let mut body = input.split_to(length);
    let kind = body.get_u8();
    Ok(Some((kind, body)))
}

/// Writing into memory cannot fail for these types.
fn fields(value: &impl Encode) -> Vec<u8> {
    let written = binary::write(value);
    debug_assert!(written.is_ok(), "{written:?}");
    written.unwrap_or_default()
}

fn read<'a, T: BorrowDecode<'a, ()>>(body: &'a [u8]) -> Result<(T, usize), Malformed> {
    binary::read(body).map_err(|broken| {
        Malformed::Frame(match broken {
            Broken::Truncated => "it ends within its fields".to_owned(),
            Broken::Format(why) => why,
        })
    })
}

const fn codec(frames: bool) -> Codec {
    if frames { Codec::Bincode } else { Codec::Json }
}

pub(super) fn of_performer(message: &ToPerformer) -> (u8, Vec<u8>) {
    match message {
        ToPerformer::Hello(hello) => {
            let endpoints = &hello.endpoints;
            // Texts by text are always JSON.
            let settings = serde_json::to_string(&hello.settings).unwrap_or_else(|_| "{}".to_owned());
            let value = OfManager {
                version: hello.version,
                frames: hello.codec == Codec::Bincode,
                slot: hello.slot,
                endpoints: [
                    endpoints.request_pulsar.as_deref(),
                    endpoints.publisher_pulsar.as_deref(),
                    endpoints.push_pulsar.as_deref(),
                    endpoints.publisher_pm.as_deref(),
                ],
                settings: &settings,
            };
            (HELLO, fields(&value))
        }
        ToPerformer::Order { sequence, order } => match order {
            Order::Pause => (PAUSE, fields(sequence)),
            Order::Resume => (RESUME, fields(sequence)),
            Order::Terminate { shed } => (TERMINATE, fields(&(*sequence, *shed))),
            Order::Ping => (PING, fields(sequence)),
        },
    }
}

pub(super) fn to_performer(kind: u8, body: &[u8]) -> Result<Option<(ToPerformer, usize)>, Malformed> {
    let plain = |order: Order| {
        read::<u64>(body).map(|(sequence, used)| Some((ToPerformer::Order { sequence, order }, used)))
    };
    match kind {
        HELLO => {
            let (hello, used): (OfManager<'_>, usize) = read(body)?;
            let [request_pulsar, publisher_pulsar, push_pulsar, publisher_pm] =
                hello.endpoints.map(|address| address.map(str::to_owned));
            let settings = serde_json::from_str(hello.settings)
                .map_err(|error| Malformed::Frame(format!("its settings are wrong: {error}")))?;
            let hello = ManagerHello {
                version: hello.version,
                codec: codec(hello.frames),
                slot: hello.slot,
                endpoints: Endpoints { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm },
                settings,
            };
            Ok(Some((ToPerformer::Hello(hello), used)))
        }
        PAUSE => plain(Order::Pause),
        RESUME => plain(Order::Resume),
        TERMINATE => {
            let ((sequence, shed), used): ((u64, bool), usize) = read(body)?;
            Ok(Some((ToPerformer::Order { sequence, order: Order::Terminate { shed } }, used)))
        }
        PING => plain(Order::Ping),
        _ => Ok(None),
    }
}

pub(super) fn of_manager(message: &ToManager) -> (u8, Vec<u8>) {
    match message {
        ToManager::Hello(hello) => {
            let value = OfPerformer {
                version: hello.version,
                frames: hello.codec == Codec::Bincode,
                pid: hello.pid,
                name: &hello.name,
                kind: &hello.kind,
            };
            (HELLO, fields(&value))
        }
        ToManager::Ack { sequence } => (ACK, fields(sequence)),
        ToManager::Paused { sequence } => (PAUSED, fields(sequence)),
        ToManager::Resumed { sequence } => (RESUMED, fields(sequence)),
        ToManager::JobStarted { handle, function } => {
            (JOB_STARTED, fields(&(handle.as_str(), function.as_str())))
        }
        ToManager::JobEnded { handle, ok, ms } => (JOB_ENDED, fields(&(handle.as_str(), *ok, *ms))),
        ToManager::Note { text } => (NOTE, fields(&text.as_str())),
    }
}

pub(super) fn to_manager(kind: u8, body: &[u8]) -> Result<Option<(ToManager, usize)>, Malformed> {
    Ok(Some(match kind {
        HELLO => {
            let (hello, used): (OfPerformer<'_>, usize) = read(body)?;
            let hello = PerformerHello {
                version: hello.version,
                codec: codec(hello.frames),
                pid: hello.pid,
                name: hello.name.to_owned(),
                kind: hello.kind.to_owned(),
            };
            (ToManager::Hello(hello), used)
        }
        ACK => read(body).map(|(sequence, used)| (ToManager::Ack { sequence }, used))?,
        PAUSED => read(body).map(|(sequence, used)| (ToManager::Paused { sequence }, used))?,
        RESUMED => read(body).map(|(sequence, used)| (ToManager::Resumed { sequence }, used))?,
        JOB_STARTED => {
            let ((handle, function), used): ((&str, &str), usize) = read(body)?;
            (ToManager::JobStarted { handle: handle.to_owned(), function: function.to_owned() }, used)
        }
        JOB_ENDED => {
            let ((handle, ok, ms), used): ((&str, bool, u64), usize) = read(body)?;
            (ToManager::JobEnded { handle: handle.to_owned(), ok, ms }, used)
        }
        NOTE => {
            let (text, used): (&str, usize) = read(body)?;
            (ToManager::Note { text: text.to_owned() }, used)
        }
        _ => return Ok(None),
    }))
}

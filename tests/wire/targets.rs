//! What must hold for any bytes at all. These functions panic when it does not: the fuzz targets in `fuzz/`
//! and the tests of `tests/wire` both run them.

use bytes::{Bytes, BytesMut};
use conveyor_common::control::{
    self, Malformed as Broken, Message as Word, Received, ToManager, ToPerformer,
};
use conveyor_common::payload::php::{self, Key, Property, Value};
use conveyor_common::payload::{Codec, ExecutionResult, Limits, ManagerTask, TaskPayload};
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{Decoder, Frame, FrameError, Magic, Opcode, Packet, Request, Response};
use conveyor_worker::performer::frames::{Frames, HEADER_BYTES, Malformed, Message};

/// Body limit for the decoders here, low enough for random lengths to meet it.
const PACKET_LIMIT_BYTES: u64 = 1 << 20;

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Every frame, in order.
    pub frames: Vec<Frame>,
    /// Why the stream cannot be followed to its end.
    pub error: Option<FrameError>,
    /// Bytes of a frame that is not complete; empty after an error.
    pub rest: Vec<u8>,
}

/// Feeds `pieces` to a decoder, one after the other as they would arrive.
pub fn run(pieces: &[&[u8]]) -> Outcome {
    let mut decoder = Decoder::new(PACKET_LIMIT_BYTES);
    let mut input = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            match decoder.decode(&mut input) {
                Ok(Some(frame)) => {
                    assert!(input.len() < before, "{frame:?} took no byte");
                    frames.push(frame);
                }
                Ok(None) => {
                    assert_eq!(input.len(), before, "an incomplete frame lost bytes");
                    break;
                }
                Err(error) => return Outcome { frames, error: Some(error), rest: Vec::new() },
            }
        }
    }
    Outcome { frames, error: None, rest: input.to_vec() }
}

/// Cuts `data` into frames: at any split the same ones, with no byte lost or made up.
pub fn frame(data: &[u8]) {
    let whole = run(&[data]);
    for size in [1, 2, 3, 5, 11, 12, 13, 64, 4096] {
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(run(&pieces), whole, "in pieces of {size} bytes");
    }
    // A cut per stream that depends on nothing but the stream.
    let sum = data.iter().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (left, right) = data.split_at(sum % (data.len() + 1));
    assert_eq!(run(&[left, right]), whole, "cut at {}", left.len());
    assert_all_bytes_accounted_for(data, &whole);
}

/// The frames, written again, are the stream they were read from.
fn assert_all_bytes_accounted_for(data: &[u8], whole: &Outcome) {
    let mut at = 0;
    for frame in &whole.frames {
        let rest = data.get(at..).unwrap_or_default();
        match frame {
            Frame::Packet(packet) => {
                let bytes = packet_bytes(packet);
                assert!(rest.starts_with(&bytes), "{packet:?} is not what was sent");
                at += bytes.len();
            }
            Frame::Line(line) => {
                assert!(rest.starts_with(line), "{line:?} is not what was sent");
                at += line.len();
                let end = data.get(at..).unwrap_or_default();
                at += if end.starts_with(b"\r\n") { 2 } else { 1 };
                assert_eq!(data.get(at - 1), Some(&b'\n'), "{line:?} has no end");
            }
        }
    }
    if whole.error.is_none() {
        assert_eq!(data.get(at..), Some(whole.rest.as_slice()), "bytes were lost behind the last frame");
    }
}

fn packet_bytes(packet: &Packet) -> Vec<u8> {
    let length = u32::try_from(packet.body.len()).unwrap_or(u32::MAX);
    let head = [packet.magic.bytes(), packet.opcode.to_wire().to_be_bytes(), length.to_be_bytes()].concat();
    [head.as_slice(), &packet.body].concat()
}

/// Reads requests: those of the stream, and `data` as the body of a type that its first byte chooses.
/// What is accepted keeps its meaning when it is written again.
pub fn request(data: &[u8]) {
    for packet in packets(data) {
        if let Ok(request) = Request::from_packet(packet) {
            let mut out = BytesMut::new();
            request.encode(&mut out);
            let again = one_packet(&out);
            assert_eq!(again.magic, Magic::Request);
            assert_eq!(Request::from_packet(again), Ok(request));
        }
    }
}

/// As [`request`], for responses.
pub fn response(data: &[u8]) {
    for packet in packets(data) {
        if let Ok(response) = Response::from_packet(packet) {
            let mut out = BytesMut::new();
            response.encode(&mut out);
            let again = one_packet(&out);
            assert_eq!((again.magic, again.opcode), (Magic::Response, response.opcode()));
            assert_eq!(Response::from_packet(again), Ok(response));
        }
    }
}

/// The packets in `data`, and `data` itself as a body.
fn packets(data: &[u8]) -> Vec<Packet> {
    let mut packets: Vec<Packet> = run(&[data])
        .frames
        .into_iter()
        .filter_map(|frame| match frame {
            Frame::Packet(packet) => Some(packet),
            Frame::Line(_) => None,
        })
        .collect();
    if let Some((choice, body)) = data.split_first() {
        let opcode = Opcode::ALL.iter().cycle().nth(usize::from(*choice));
        packets.extend(opcode.map(|opcode| Packet {
            magic: Magic::Request,
            opcode: *opcode,
            body: Bytes::copy_from_slice(body),
        }));
    }
    packets
}

fn one_packet(bytes: &[u8]) -> Packet {
    let mut input = BytesMut::from(bytes);
    let read = Decoder::new(u64::MAX).decode(&mut input);
    assert!(input.is_empty(), "{} bytes are left", input.len());
    match read {
        Ok(Some(Frame::Packet(packet))) => packet,
        other => panic!("not one packet: {other:?}"),
    }
}

/// Reads admin lines: those of the stream, and `data` as one line. A command keeps its meaning when it is
/// written again, and everything else has an answer that is one line, or none when the connection must go.
pub fn text(data: &[u8]) {
    let lines = run(&[data]).frames.into_iter().filter_map(|frame| match frame {
        Frame::Line(line) => Some(line),
        Frame::Packet(_) => None,
    });
    for line in lines.chain([Bytes::copy_from_slice(data)]) {
        match Command::parse(&line) {
            Ok(command) => {
                let written = command.to_line();
                let words = written.strip_suffix(b"\r\n").unwrap_or_default();
                let read = Command::parse(&Bytes::copy_from_slice(words));
                assert_eq!(read, Ok(command), "from {line:?}");
            }
            Err(error) => {
                if let Some(reply) = error.reply() {
                    assert!(reply.starts_with(b"ERR ") && reply.ends_with(b"\r\n"), "{reply:?}");
                    assert!(reply.len() <= line.len() + 128, "an answer longer than its question");
                }
            }
        }
    }
}

/// Bytes that a decoded PHP value may take for each byte it came from, beside the bytes themselves: an entry of an
/// array takes six at least, and a vector has room for four.
const PHP_MEMORY: usize = 100;

/// Bytes of vectors in `value`.
fn memory(value: &Value) -> usize {
    match value {
        Value::Array(entries) => {
            let inner: usize = entries.iter().map(|(_, value)| memory(value)).sum();
            inner + entries.capacity() * size_of::<(Key, Value)>()
        }
        Value::Object { properties, .. } => {
            let inner: usize = properties.iter().map(|(_, value)| memory(value)).sum();
            inner + properties.capacity() * size_of::<(Property, Value)>()
        }
        _ => 0,
    }
}

/// A PHP value that is accepted is written again byte for byte, and takes no more memory than its bytes justify.
pub fn php(data: &[u8]) {
    let limits = Limits { values: 10_000, ..Limits::default() };
    let input = Bytes::copy_from_slice(data);
    match php::decode(&input, &limits) {
        Ok(value) => {
            assert!(memory(&value) <= PHP_MEMORY * data.len(), "{} bytes for {}", memory(&value), data.len());
            assert_eq!(php::encode(&value, &limits).as_deref(), Ok(data), "{value:?}");
        }
        Err(error) => {
            assert!(error.at <= data.len(), "{error}");
            assert_eq!(error.codec, Codec::Php);
        }
    }
}

/// What a codec accepts is read back equal after it is written again.
pub fn payload(data: &[u8]) {
    let limits = Limits::default();
    let input = Bytes::copy_from_slice(data);
    for codec in Codec::ALL {
        if let Ok(task) = codec.decode::<TaskPayload>(&input, &limits) {
            let bytes = codec.encode(&task, &limits).expect("what was read can be written");
            let again: TaskPayload = codec.decode(&bytes.into(), &limits).expect("and read again");
            assert_eq!((&again.task_id, &again.body), (&task.task_id, &task.body), "{codec}");
            // A PHP value that names its own task has no place for them.
            if codec != Codec::Php {
                assert_eq!((again.attempt, again.run), (task.attempt, task.run), "{codec}");
            }
        }
        if let Ok(result) = codec.decode::<ExecutionResult>(&input, &limits) {
            let bytes = codec.encode(&result, &limits).expect("what was read can be written");
            assert_eq!(codec.decode(&bytes.into(), &limits), Ok(result), "{codec}");
        }
        if let Ok(task) = codec.decode::<ManagerTask>(&input, &limits) {
            manager(codec, &task, data);
        }
    }
}

/// The task of a manager: PHP's bytes stay as they are, and with one field changed nothing else changes.
fn manager(codec: Codec, task: &ManagerTask, data: &[u8]) {
    let limits = Limits::default();
    // An original that only another codec carried may be anything.
    let Ok(bytes) = codec.encode(task, &limits) else { return assert_ne!(codec, Codec::Php) };
    if codec == Codec::Php {
        assert_eq!(bytes, data, "{task:?}");
    }
    assert_eq!(codec.decode(&bytes.into(), &limits).as_ref(), Ok(task), "{codec}");
    let changes: [fn(&mut ManagerTask); 7] = [
        |task| task.tasks_number ^= 1,
        |task| task.manager_type = Some("other".to_owned()),
        |task| task.task_id = None,
        |task| task.command = Some("rev".into()),
        |task| task.most_at_once = None,
        |task| task.memory_percent ^= 1,
        |task| task.endpoints.push_pulsar = Some("tcp://h:1".to_owned()),
    ];
    for change in changes {
        let mut more = task.clone();
        change(&mut more);
        // A value that another one refers to cannot be changed alone.
        if let Ok(bytes) = codec.encode(&more, &limits) {
            let again: ManagerTask =
                codec.decode(&bytes.into(), &limits).expect("what was changed can be read");
            let original = again.original.clone();
            assert_eq!(again, ManagerTask { original, ..more }, "{codec}");
        }
    }
}

/// Most bytes of a message here, low enough for random lengths to meet it.
const MESSAGE_BYTES: usize = 4096;

/// What a persistent command says in pieces, and what is wrong with it.
fn messages(pieces: &[&[u8]]) -> (Vec<Message>, Option<Malformed>) {
    let (mut frames, mut found) = (Frames::new(MESSAGE_BYTES), Vec::new());
    for piece in pieces {
        frames.input().extend_from_slice(piece);
        loop {
            match frames.take() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => {
                    let held = frames.input().len();
                    assert!(
                        held <= MESSAGE_BYTES.max(HEADER_BYTES),
                        "{held} bytes are held without a message"
                    );
                    break;
                }
                Err(malformed) => return (found, Some(malformed)),
            }
        }
    }
    (found, None)
}

/// The messages of a persistent command are the same at any split, and what is held of an incomplete one is limited.
pub fn performer(data: &[u8]) {
    let whole = messages(&[data]);
    for size in [1, 2, 3, 7, 255, 256, 257, 4096] {
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(messages(&pieces), whole, "in pieces of {size} bytes");
    }
    let bytes: usize = whole.0.iter().map(body_bytes).sum();
    assert!(bytes <= data.len(), "{bytes} bytes of messages from {}", data.len());
}

fn body_bytes(message: &Message) -> usize {
    match message {
        Message::Ready | Message::Progress { .. } => 0,
        Message::Data(bytes)
        | Message::Warning(bytes)
        | Message::Complete(bytes)
        | Message::Fail(bytes)
        | Message::Exception(bytes) => bytes.len(),
    }
}

/// What a control channel says in pieces, what is wrong with it, and how much is left.
fn words<M: Word>(pieces: &[&[u8]]) -> (Vec<Received<M>>, Option<Broken>, usize) {
    let (mut decoder, mut input, mut found) =
        (control::Decoder::new(MESSAGE_BYTES), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(received)) => found.push(received),
                Ok(None) => {
                    assert!(input.len() <= MESSAGE_BYTES + 5, "{} bytes are held", input.len());
                    break;
                }
                Err(broken) => return (found, Some(broken), 0),
            }
        }
    }
    (found, None, input.len())
}

fn channel<M: Word + Clone + std::fmt::Debug + PartialEq>(
    data: &[u8],
    encode: fn(&M, control::Codec, &mut BytesMut),
) {
    let whole = words::<M>(&[data]);
    for size in [1, 2, 3, 5, 7, 64, 4096] {
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(words::<M>(&pieces), whole, "in pieces of {size} bytes");
    }
    for message in whole.0.into_iter().filter_map(|received| received.message) {
        for codec in [control::Codec::Json, control::Codec::Bincode] {
            let mut wire = BytesMut::new();
            encode(&message, codec, &mut wire);
            // Escapes may make a line longer than it was.
            let again = control::Decoder::new(8 * MESSAGE_BYTES).decode(&mut wire);
            assert_eq!(again, Ok(Some(Received { message: Some(message.clone()), note: None })), "{codec:?}");
            assert!(wire.is_empty(), "{message:?}");
        }
    }
}

/// Both directions of a control channel mean the same at any split, and what was read can be written and read again.
pub fn control(data: &[u8]) {
    channel::<ToPerformer>(data, ToPerformer::encode);
    channel::<ToManager>(data, ToManager::encode);
}

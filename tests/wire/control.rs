//! The control channel of performers: what its messages look like, in both encodings, and what is passed over or refused.

use bytes::BytesMut;
use conveyor_common::control::{
    Codec, Decoder, Malformed, ManagerHello, Message, Order, PerformerHello, Received, ToManager, ToPerformer,
};
use conveyor_common::payload::Endpoints;
use proptest::prelude::*;
use std::fmt::Debug;

fn read<M: Message>(bytes: &[u8]) -> Result<Option<Received<M>>, Malformed> {
    let mut input = BytesMut::from(bytes);
    let read = Decoder::default().decode(&mut input);
    assert!(input.is_empty() || read.is_err(), "{} bytes are left", input.len());
    read
}

fn hello() -> ToPerformer {
    let endpoints =
        Endpoints { publisher_pm: Some("tcp://127.0.0.1:6268".to_owned()), ..Endpoints::default() };
    let settings = [("name".to_owned(), "resize".to_owned())].into();
    ToPerformer::Hello(ManagerHello { version: 1, codec: Codec::Bincode, slot: 7, endpoints, settings })
}

fn to_performer() -> Vec<(ToPerformer, &'static str, &'static [u8])> {
    let order = |sequence, order| ToPerformer::Order { sequence, order };
    vec![
        (
            hello(),
            r#"{"type":"hello","version":1,"codec":"bincode","slot":7,"request_pulsar_rs":null,"publisher_pulsar":null,"push_pulsar":null,"publisher_pm":"tcp://127.0.0.1:6268","settings":{"name":"resize"}}"#,
            b"\x01\x2f\0\0\0\0\x01\x01\x07\0\0\0\x01\x14tcp://127.0.0.1:6268\x11{\"name\":\"resize\"}",
        ),
        (order(1, Order::Pause), r#"{"type":"pause","sequence":1}"#, b"\x01\x02\0\0\0\x01\x01"),
        (order(2, Order::Resume), r#"{"type":"resume","sequence":2}"#, b"\x01\x02\0\0\0\x02\x02"),
        (
            order(3, Order::Terminate { shed: true }),
            r#"{"type":"terminate","sequence":3,"shed":true}"#,
            b"\x01\x03\0\0\0\x03\x03\x01",
        ),
        (order(4, Order::Ping), r#"{"type":"ping","sequence":4}"#, b"\x01\x02\0\0\0\x04\x04"),
    ]
}

fn to_manager() -> Vec<(ToManager, &'static str, &'static [u8])> {
    let hello = PerformerHello {
        version: 1,
        codec: Codec::Json,
        pid: 100,
        name: "a".to_owned(),
        kind: "php".to_owned(),
    };
    let handle = || "H:a:1".to_owned();
    vec![
        (
            ToManager::Hello(hello),
            r#"{"type":"hello","version":1,"codec":"json","pid":100,"name":"a","kind":"php"}"#,
            b"\x01\x0a\0\0\0\0\x01\0\x64\x01a\x03php",
        ),
        (ToManager::Ack { sequence: 1 }, r#"{"type":"ack","sequence":1}"#, b"\x01\x02\0\0\0\x01\x01"),
        (ToManager::Paused { sequence: 2 }, r#"{"type":"paused","sequence":2}"#, b"\x01\x02\0\0\0\x02\x02"),
        (ToManager::Resumed { sequence: 3 }, r#"{"type":"resumed","sequence":3}"#, b"\x01\x02\0\0\0\x03\x03"),
        (
            ToManager::JobStarted { handle: handle(), function: "f".to_owned() },
            r#"{"type":"job_started","handle":"H:a:1","function":"f"}"#,
            b"\x01\x09\0\0\0\x04\x05H:a:1\x01f",
        ),
        (
            ToManager::JobEnded { handle: handle(), ok: false, ms: 12 },
            r#"{"type":"job_ended","handle":"H:a:1","ok":false,"ms":12}"#,
            b"\x01\x09\0\0\0\x05\x05H:a:1\0\x0c",
        ),
        (
            ToManager::Note { text: "x".to_owned() },
            r#"{"type":"note","text":"x"}"#,
            b"\x01\x03\0\0\0\x06\x01x",
        ),
    ]
}

/// Bytes of every message, for the fuzz target.
pub(crate) fn known() -> Vec<Vec<u8>> {
    let lines = to_performer().into_iter().map(|(_, line, frame)| (line, frame));
    let lines = lines.chain(to_manager().into_iter().map(|(_, line, frame)| (line, frame)));
    lines.flat_map(|(line, frame)| [format!("{line}\n").into_bytes(), frame.to_vec()]).collect()
}

fn check<M: Message + Clone + Debug + PartialEq>(
    table: Vec<(M, &str, &[u8])>,
    encode: fn(&M, Codec, &mut BytesMut),
) {
    for (message, line, frame) in table {
        let line = format!("{line}\n").into_bytes();
        for (codec, expected) in [(Codec::Json, line.as_slice()), (Codec::Bincode, frame)] {
            let mut wire = BytesMut::new();
            encode(&message, codec, &mut wire);
            assert_eq!(wire, expected, "{message:?}: {}", wire.escape_ascii());
            let received = Received { message: Some(message.clone()), note: None };
            assert_eq!(read::<M>(expected), Ok(Some(received)));
            // Nothing is taken before all is there.
            for end in 0..expected.len() {
                let mut input = BytesMut::from(&expected[..end]);
                assert_eq!(Decoder::<M>::default().decode(&mut input), Ok(None));
                assert_eq!(input.len(), end);
            }
        }
    }
}

#[test]
fn every_message_is_a_line_and_a_frame() {
    check(to_performer(), ToPerformer::encode);
    check(to_manager(), ToManager::encode);
}

#[test]
fn what_a_newer_version_says_is_passed_over_and_noted() {
    let line = b"{\"type\":\"pause\",\"sequence\":1,\"until\":5,\"why\":{}}\n";
    let received = read::<ToPerformer>(line).unwrap().unwrap();
    assert_eq!(received.message, Some(ToPerformer::Order { sequence: 1, order: Order::Pause }));
    assert!(received.note.unwrap().contains("until, why"));
    let received = read::<ToPerformer>(b"{\"type\":\"dance\",\"sequence\":1}\n").unwrap().unwrap();
    assert_eq!(received.message, None);
    assert!(received.note.unwrap().contains("dance"));
    // A frame with two bytes more, and one of a kind that is not there yet.
    let received = read::<ToPerformer>(b"\x01\x04\0\0\0\x01\x01xy").unwrap().unwrap();
    assert_eq!(received.message, Some(ToPerformer::Order { sequence: 1, order: Order::Pause }));
    assert!(received.note.unwrap().contains("2 bytes"));
    let received = read::<ToManager>(b"\x01\x02\0\0\0\x63\x01").unwrap().unwrap();
    assert!(received.message.is_none() && received.note.unwrap().contains("kind 99"));
}

#[test]
fn a_hand_written_line_may_have_blanks_and_leave_out_what_can_be_guessed() {
    let received = read::<ToManager>(b"\r\n{ \"version\": 1, \"pid\": 5,\"type\":\"hello\" }\r\n".as_slice());
    // The line end before the line, and nothing after it.
    let hello = PerformerHello { version: 1, pid: 5, ..PerformerHello::default() };
    assert_eq!(received, Ok(Some(Received { message: Some(ToManager::Hello(hello)), note: None })));
    let received = read::<ToPerformer>(b"{\"type\":\"terminate\",\"sequence\":9}\n").unwrap().unwrap();
    let terminate = ToPerformer::Order { sequence: 9, order: Order::Terminate { shed: false } };
    assert_eq!(received.message, Some(terminate));
    // PHP writes an empty object like this.
    let line = b"{\"type\":\"hello\",\"version\":1,\"slot\":2,\"settings\":[]}\n";
    let hello = ManagerHello { version: 1, slot: 2, ..ManagerHello::default() };
    assert_eq!(read::<ToPerformer>(line).unwrap().unwrap().message, Some(ToPerformer::Hello(hello)));
}

#[test]
fn what_makes_no_sense_ends_the_channel() {
    for bytes in [
        b"pause\n".as_slice(),
        b"\x02\0\0\0\0",
        b"{\"type\":\"pause\"}\n",
        b"{\"type\":\"pause\",\"sequence\":-1}\n",
        b"{\"type\":\"pause\",\"sequence\":\"1\"}\n",
        b"{\"sequence\":1}\n",
        b"{\"type\":\"pause\",\"sequence\":1}}\n",
        b"{\n",
        b"{\"type\":\"pa\xff\"}\n",
        b"\x01\0\0\0\0",
        b"\x01\x01\0\0\0\x01",
        b"\x01\xff\xff\xff\xff",
    ] {
        assert!(read::<ToPerformer>(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_message_without_end_is_not_held_beyond_the_limit() {
    let mut input = BytesMut::from("{\"type\":\"note\",\"text\":\"");
    let mut decoder = Decoder::<ToManager>::new(1000);
    let ended = std::iter::repeat_with(|| {
        input.extend_from_slice(&[b'x'; 100]);
        decoder.decode(&mut input)
    });
    let ended = ended.take(11).find_map(Result::err);
    assert_eq!(ended, Some(Malformed::TooLarge { limit: 1000 }));
    let frame = [b"\x01".as_slice(), &1001_u32.to_le_bytes()].concat();
    let ended = Decoder::<ToManager>::new(1000).decode(&mut BytesMut::from(frame.as_slice()));
    assert_eq!(ended, Err(Malformed::TooLarge { limit: 1000 }));
}

fn some_to_manager() -> impl Strategy<Value = ToManager> {
    let hello = (any::<u32>(), any::<bool>(), any::<u32>(), ".*", ".*");
    prop_oneof![
        hello.prop_map(|(version, frames, pid, name, kind)| {
            let codec = if frames { Codec::Bincode } else { Codec::Json };
            ToManager::Hello(PerformerHello { version, codec, pid, name, kind })
        }),
        any::<u64>().prop_map(|sequence| ToManager::Ack { sequence }),
        any::<u64>().prop_map(|sequence| ToManager::Paused { sequence }),
        any::<u64>().prop_map(|sequence| ToManager::Resumed { sequence }),
        (".*", ".*").prop_map(|(handle, function)| ToManager::JobStarted { handle, function }),
        (".*", any::<bool>(), any::<u64>()).prop_map(|(handle, ok, ms)| ToManager::JobEnded {
            handle,
            ok,
            ms
        }),
        ".*".prop_map(|text| ToManager::Note { text }),
    ]
}

fn some_to_performer() -> impl Strategy<Value = ToPerformer> {
    let address = || proptest::option::of(".*");
    let endpoints = (address(), address(), address(), address());
    let settings = proptest::collection::btree_map(".*", ".*", 0..4);
    let order = prop_oneof![
        Just(Order::Pause),
        Just(Order::Resume),
        Just(Order::Ping),
        any::<bool>().prop_map(|shed| Order::Terminate { shed }),
    ];
    prop_oneof![
        (any::<u32>(), any::<bool>(), any::<u64>(), endpoints, settings).prop_map(
            |(
                version,
                frames,
                slot,
                (request_pulsar, publisher_pulsar, push_pulsar, publisher_pm),
                settings,
            )| {
                let codec = if frames { Codec::Bincode } else { Codec::Json };
                let endpoints = Endpoints { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm };
                ToPerformer::Hello(ManagerHello { version, codec, slot, endpoints, settings })
            }
        ),
        (any::<u64>(), order).prop_map(|(sequence, order)| ToPerformer::Order { sequence, order }),
    ]
}

fn round<M: Message + Clone + Debug + PartialEq>(
    messages: &[(M, bool)],
    pieces: &[usize],
    encode: fn(&M, Codec, &mut BytesMut),
) {
    let mut wire = BytesMut::new();
    for (message, frames) in messages {
        encode(message, if *frames { Codec::Bincode } else { Codec::Json }, &mut wire);
    }
    let (mut decoder, mut input, mut found) = (Decoder::default(), BytesMut::new(), Vec::<M>::new());
    let mut sizes = pieces.iter().copied().cycle();
    while !wire.is_empty() {
        let size = sizes.next().unwrap().min(wire.len());
        input.extend_from_slice(&wire.split_to(size));
        while let Some(received) = decoder.decode(&mut input).unwrap() {
            assert_eq!(received.note, None);
            found.push(received.message.unwrap());
        }
    }
    let expected: Vec<M> = messages.iter().map(|(message, _)| message.clone()).collect();
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn messages_of_both_encodings_mixed_are_read_at_any_split(
        up in proptest::collection::vec((some_to_manager(), any::<bool>()), 0..6),
        down in proptest::collection::vec((some_to_performer(), any::<bool>()), 0..6),
        pieces in proptest::collection::vec(1_usize..200, 1..8),
    ) {
        round(&up, &pieces, ToManager::encode);
        round(&down, &pieces, ToPerformer::encode);
    }
}

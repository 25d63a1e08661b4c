//! Tasks and results in every codec.

use crate::{manager, php, php_strategy, targets};
use bytes::Bytes;
use conveyor_common::payload::php::{Key, Value};
use conveyor_common::payload::{
    Codec, Content, ExecutionResult, Limits, Outcome, Payload, PayloadError, Problem, TaskId, TaskPayload,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn decode<P: Payload>(codec: Codec, bytes: &[u8]) -> Result<P, PayloadError> {
    codec.decode(&Bytes::copy_from_slice(bytes), &Limits::default())
}

pub(crate) fn encode(codec: Codec, value: &impl Payload) -> Vec<u8> {
    codec.encode(value, &Limits::default()).unwrap()
}

pub(crate) fn recorded(name: &str) -> Vec<u8> {
    php::fixtures().into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// Payloads of every codec, to start from.
pub(crate) fn known() -> Vec<Vec<u8>> {
    let body = Value::Array(vec![(Key::new("width"), Value::Int(640))]);
    let task =
        TaskPayload { attempt: 2, run: Some("run".to_owned()), ..TaskPayload::new("a-7", body.clone()) };
    let binary = TaskPayload::new(7, Bytes::from_static(b"\xff\0"));
    let results = [
        ExecutionResult::ok(42, "done"),
        ExecutionResult::ok(42, body),
        ExecutionResult::error("", Bytes::from_static(b"\xff")),
        ExecutionResult::critical("pm-1", "x"),
    ];
    let mut known = php::known();
    known.extend(manager::known());
    for codec in Codec::ALL {
        known.extend([encode(codec, &task), encode(codec, &binary)]);
        known.extend(results.iter().filter_map(|result| codec.encode(result, &Limits::default()).ok()));
    }
    known
}

#[test]
fn concept_05_results_in_php_and_in_json_are_the_same() {
    // Decoded from PHP's bytes, and the same from JSON.
    let of = |name: &str| {
        let result: ExecutionResult = decode(Codec::Php, &recorded(name)).unwrap();
        let json = encode(Codec::Json, &result);
        assert_eq!(decode(Codec::Json, &json), Ok(result.clone()), "{}", json.escape_ascii());
        result
    };
    let json = br#"{"error_exists":true,"error_message":"boom","execution_message":null,"task_id":"t-7","critical_error":false}"#;
    assert_eq!(decode(Codec::Json, json), Ok(of("ExecutionDto error (InspectionHelper)")));
    assert_eq!(of("ExecutionDto default"), ExecutionResult::of(None, Outcome::Ok));
    assert_eq!(of("ExecutionDto ok"), ExecutionResult::ok(42, "done"));
    assert_eq!(of("ExecutionDto error (InspectionHelper)"), ExecutionResult::error("t-7", "boom"));
    assert_eq!(of("ExecutionDto critical"), ExecutionResult::critical("pm-1", "x"));
}

#[test]
fn results_are_written_as_php_writes_them() {
    assert_eq!(encode(Codec::Php, &ExecutionResult::ok(42, "done")), recorded("ExecutionDto ok"));
    assert_eq!(
        encode(Codec::Php, &ExecutionResult::critical("pm-1", "x")),
        recorded("ExecutionDto critical")
    );
}

#[test]
fn an_object_of_another_class_is_no_result() {
    let error = decode::<ExecutionResult>(Codec::Php, &recorded("PmStateDto")).unwrap_err();
    assert!(matches!(error.problem, Problem::WrongClass(_)), "{error}");
    let error = decode::<ExecutionResult>(Codec::Php, b"b:0;").unwrap_err();
    assert_eq!(error.problem, Problem::Expected("an ExecutionDto"));
}

#[test]
fn concept_05_a_critical_result_is_an_error_even_when_its_bytes_deny_it() {
    let denied = String::from_utf8(recorded("ExecutionDto critical")).unwrap().replacen("b:1", "b:0", 1);
    let result: ExecutionResult = decode(Codec::Php, denied.as_bytes()).unwrap();
    assert_eq!((result.outcome, result.error_exists()), (Outcome::Critical, true));
    let result: ExecutionResult =
        decode(Codec::Json, br#"{"error_exists":false,"critical_error":true}"#).unwrap();
    assert_eq!(result.outcome, Outcome::Critical);
}

#[test]
fn a_message_that_is_a_dto_keeps_its_references() {
    let message = b"a:2:{i:0;O:1:\"A\":0:{}i:1;r:2;}";
    let value =
        conveyor_common::payload::php::decode(&message.as_slice().into(), &Limits::default()).unwrap();
    let result = ExecutionResult::ok(7, value);
    let bytes = encode(Codec::Php, &result);
    assert!(
        String::from_utf8_lossy(&bytes).contains("a:2:{i:0;O:1:\"A\":0:{}i:1;r:5;}"),
        "counted from the DTO"
    );
    for codec in [Codec::Json, Codec::Bincode, Codec::Php] {
        assert_eq!(decode(codec, &encode(codec, &result)), Ok(result.clone()));
    }
    let outside = String::from_utf8(bytes).unwrap().replace("r:5", "r:1");
    let error = decode::<ExecutionResult>(Codec::Php, outside.as_bytes()).unwrap_err();
    assert_eq!(error.problem, Problem::BadReference, "a message cannot mean what is around it");
}

#[test]
fn a_dto_that_names_its_task_is_a_task_and_stays_as_it_is() {
    for (bytes, id) in [
        (recorded("GearmanDto"), Some(TaskId::from("pm-1"))),
        (b"a:2:{s:7:\"task_id\";i:0;s:1:\"w\";i:640;}".to_vec(), Some(TaskId::from(0))),
        (b"a:1:{s:1:\"w\";i:640;}".to_vec(), None),
        (b"s:4:\"body\";".to_vec(), None),
    ] {
        let task: TaskPayload = decode(Codec::Php, &bytes).unwrap();
        assert_eq!(task.task_id, id);
        assert_eq!(encode(Codec::Php, &task), bytes);
    }
    let retried = TaskPayload { attempt: 2, ..decode(Codec::Php, &recorded("GearmanDto")).unwrap() };
    assert_eq!(encode(Codec::Php, &retried), recorded("GearmanDto"), "its worker knows nothing of attempts");
}

#[test]
fn concept_03_ids_that_php_would_mix_up_stay_different_in_tasks_and_answers() {
    let ids = [TaskId::from(7), TaskId::from("7"), TaskId::from("a-7"), TaskId::from(0), TaskId::from("")];
    for codec in [Codec::Json, Codec::Bincode, Codec::Php] {
        for id in &ids {
            let task = TaskPayload { task_id: Some(id.clone()), ..TaskPayload::anonymous("x") };
            assert_eq!(
                decode::<TaskPayload>(codec, &encode(codec, &task)).unwrap().task_id.as_ref(),
                Some(id)
            );
            let answer = ExecutionResult::ok(id.clone(), "x");
            let answer: ExecutionResult = decode(codec, &encode(codec, &answer)).unwrap();
            assert_eq!(answer.task_id.as_ref(), Some(id), "{codec}");
        }
    }
}

#[test]
fn raw_is_the_body_and_refuses_an_error() {
    assert_eq!(encode(Codec::Raw, &TaskPayload::new(7, "body")), b"body");
    let error = Codec::Raw.encode(&ExecutionResult::error(7, "boom"), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("WORK_FAIL"), "{error}");
}

#[test]
fn errors_say_where() {
    for (codec, bytes, text) in [
        (Codec::Json, &b"{\"body\":\"x\",\n \"b\":1}"[..], "json payload, byte 16: unknown field"),
        (Codec::Json, b"{\"body\":\"x\"} y", "json payload, byte 13: trailing characters"),
        (Codec::Bincode, b"", "bincode payload, byte 0: ends within a value"),
        (
            Codec::Bincode,
            b"\x02\0\x01\0\0\0",
            "bincode payload, byte 0: version 2 of the encoding is not known",
        ),
        (Codec::Bincode, b"\x01\0\x01\0\0\0x", "bincode payload, byte 6: 1 bytes after the value"),
        (Codec::Php, b"i:042;", "php payload, byte 2: a number"),
    ] {
        let error = decode::<TaskPayload>(codec, bytes).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn a_length_claimed_in_bincode_is_no_reason_to_allocate() {
    // Attempt 1, no run, and a body of 2^63 bytes.
    let mut bytes = vec![1, 0, 1, 0, 0, 253];
    bytes.extend((1_u64 << 63).to_le_bytes());
    let error = decode::<TaskPayload>(Codec::Bincode, &bytes).unwrap_err();
    assert!(matches!(error.problem, Problem::Format(_) | Problem::Truncated), "{error}");
}

#[test]
fn every_codec_keeps_to_the_limit_of_bytes() {
    let limits = Limits { bytes: 20, ..Limits::default() };
    let task = TaskPayload::new(7, "x".repeat(40).as_str());
    for codec in Codec::ALL {
        assert!(codec.encode(&task, &limits).is_err(), "{codec}");
        let whole = Bytes::from(encode(codec, &task));
        let error = codec.decode::<TaskPayload>(&whole, &limits).unwrap_err();
        assert_eq!(error.problem, Problem::TooLarge { bytes: whole.len(), limit: 20 });
    }
}

#[test]
fn codecs_have_names() {
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse(), Ok(codec));
        assert_eq!(serde_json::to_string(&codec).unwrap(), format!("\"{codec}\""));
    }
    assert!("xml".parse::<Codec>().unwrap_err().to_string().contains("raw, json, bincode and php"));
}

#[test]
fn no_truncation_and_no_changed_byte_breaks_a_codec() {
    for bytes in known() {
        for at in 0..bytes.len() {
            targets::payload(&bytes[..at]);
            let mut changed = bytes.clone();
            for byte in
                [0, 1, b'"', b'0', b'9', b'{', 0x7f, 0x80, 0xfd, 0xff, changed[at] ^ 1, changed[at] ^ 0x80]
            {
                changed[at] = byte;
                targets::payload(&changed);
            }
        }
    }
}

pub(crate) fn some_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..20).prop_map(Bytes::from), "\\PC{0,10}".prop_map(Bytes::from)]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![some_bytes().prop_map(Content::Bytes), php_strategy::value().prop_map(Content::from)]
}

pub(crate) fn id() -> impl Strategy<Value = TaskId> {
    prop_oneof![any::<i64>().prop_map(TaskId::Int), some_bytes().prop_map(TaskId::Text)]
}

fn task() -> impl Strategy<Value = TaskPayload> {
    let parts = (option::of(id()), any::<u32>(), option::of("\\PC{0,10}"), content());
    parts.prop_map(|(task_id, attempt, run, body)| TaskPayload { task_id, attempt, run, body })
}

fn result() -> impl Strategy<Value = ExecutionResult> {
    let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::Error), Just(Outcome::Critical)];
    let message =
        option::of(content()).prop_map(|message| message.filter(|it| *it != Content::Php(Value::Null)));
    (outcome, option::of(some_bytes()), message, option::of(id())).prop_map(
        |(outcome, error_message, execution_message, task_id)| ExecutionResult {
            outcome,
            error_message,
            execution_message,
            task_id,
        },
    )
}

proptest! {
    #[test]
    fn tasks_are_read_back_equal(task in task()) {
        for codec in [Codec::Json, Codec::Bincode, Codec::Php] {
            prop_assert_eq!(decode(codec, &encode(codec, &task)), Ok(task.clone()), "{}", codec);
        }
        if let Content::Bytes(body) = &task.body {
            prop_assert_eq!(&encode(Codec::Raw, &task), body);
        }
    }

    #[test]
    fn results_are_read_back_equal(result in result()) {
        for codec in [Codec::Json, Codec::Bincode, Codec::Php] {
            prop_assert_eq!(decode(codec, &encode(codec, &result)), Ok(result.clone()), "{}", codec);
        }
    }
}

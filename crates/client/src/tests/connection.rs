//! A connection fed with the bytes of a server, without a socket.

use super::*;
use conveyor_common::Priority;
use conveyor_common::protocol::SubmitKind;
use proptest::prelude::*;

fn submit(connection: &mut Connection, key: u64, background: bool) {
    let kind = SubmitKind::Job { priority: Priority::Normal, background };
    let request = Request::Submit { kind, function: "f".into(), unique: Bytes::new(), payload: Bytes::new() };
    connection.submit(JobKey(key), background, &request);
}

fn feed(connection: &mut Connection, responses: &[Response]) -> Vec<Happened> {
    let mut input = BytesMut::new();
    responses.iter().for_each(|response| response.encode(&mut input));
    let mut happened = Vec::new();
    connection.receive(&mut input, &mut happened).unwrap();
    happened
}

fn created(handle: &str) -> Response {
    Response::JobCreated { handle: Bytes::copy_from_slice(handle.as_bytes()) }
}

fn complete(handle: &str, payload: &'static str) -> Response {
    Response::WorkComplete { handle: Bytes::copy_from_slice(handle.as_bytes()), payload: payload.into() }
}

fn error(code: &'static str) -> Response {
    Response::Error { code: code.into(), text: "words".into() }
}

proptest! {
    /// Answers in order, outcomes in any order, bytes cut anywhere: every job gets its own.
    #[test]
    fn answers_belong_to_submissions_by_order_and_the_rest_by_handle(
        refused in prop::collection::vec(any::<bool>(), 1..40),
        shuffle: u64,
        cut in 1_usize..40,
    ) {
        let mut connection = Connection::default();
        (0..refused.len()).for_each(|key| submit(&mut connection, key as u64, false));
        let mut bytes = BytesMut::new();
        for (number, refused) in refused.iter().enumerate() {
            let answer = if *refused { error("QUEUE_ERROR") } else { created(&format!("H:{number}")) };
            answer.encode(&mut bytes);
        }
        let mut kept: Vec<usize> = (0..refused.len()).filter(|number| !refused[*number]).collect();
        kept.sort_by_key(|number| (*number as u64 + 1).wrapping_mul(shuffle | 1));
        for number in &kept {
            let payload = Bytes::from(number.to_string());
            Response::WorkComplete { handle: format!("H:{number}").into(), payload }.encode(&mut bytes);
        }
        let (mut input, mut happened) = (BytesMut::new(), Vec::new());
        for part in bytes.chunks(cut) {
            input.extend_from_slice(part);
            connection.receive(&mut input, &mut happened).unwrap();
        }
        let mut ended = Vec::new();
        for event in happened {
            match event {
                Happened::Created(key, handle) => prop_assert_eq!(handle, format!("H:{}", key.0)),
                Happened::Refused { key, .. } => prop_assert!(refused[key.0 as usize]),
                Happened::Done(key, outcome) => {
                    prop_assert_eq!(outcome, Outcome::Complete(key.0.to_string().into()));
                    ended.push(key.0 as usize);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(ended, kept);
        prop_assert_eq!(connection.waiting(), 0);
    }
}

#[test]
fn coalesced_submissions_share_a_handle_and_each_gets_its_copy() {
    let mut connection = Connection::default();
    (1..=3).for_each(|key| submit(&mut connection, key, false));
    let data = Response::WorkData { handle: "H:1".into(), payload: "d".into() };
    let responses = [
        created("H:1"),
        created("H:1"),
        data.clone(),
        data.clone(),
        created("H:1"),
        data.clone(),
        data.clone(),
        data,
        complete("H:1", "r"),
        complete("H:1", "r"),
        complete("H:1", "r"),
    ];
    let happened = feed(&mut connection, &responses);
    for key in 1..=3 {
        let updates =
            happened.iter().filter(|event| matches!(event, Happened::Update(of, _) if of.0 == key)).count();
        let done =
            happened.iter().filter(|event| matches!(event, Happened::Done(of, _) if of.0 == key)).count();
        assert_eq!((updates, done), (if key == 3 { 1 } else { 2 }, 1), "job {key}");
    }
    assert_eq!(feed(&mut connection, &[complete("H:1", "r")]), [Happened::Stray(Opcode::WorkComplete)]);
}

#[test]
fn an_error_answers_the_oldest_submission_and_an_unknown_option_the_option() {
    let mut connection = Connection::default();
    connection.ask(Token(9), &Request::Option { option: "x".into() });
    submit(&mut connection, 1, false);
    submit(&mut connection, 2, true);
    let happened = feed(&mut connection, &[error("UNKNOWN_OPTION"), error("QUEUE_ERROR"), created("H:2")]);
    assert!(matches!(happened[0], Happened::Answered(Token(9), Answer::Refused { .. })));
    assert!(matches!(happened[1], Happened::Refused { key: JobKey(1), .. }));
    assert_eq!(happened[2], Happened::Created(JobKey(2), "H:2".into()));
    assert_eq!(connection.waiting(), 0, "nobody waits for a background job");
}

#[test]
fn packets_that_belong_to_nothing_are_told_and_change_nothing() {
    let mut connection = Connection::default();
    submit(&mut connection, 1, false);
    let strays = [
        Response::Noop,
        complete("H:7", ""),
        Response::Echo { payload: "?".into() },
        Response::Option { option: "?".into() },
        error("UNKNOWN_OPTION"),
        Response::NoJob,
    ];
    let happened = feed(&mut connection, &strays);
    assert_eq!(happened.len(), strays.len());
    assert!(happened.iter().all(|event| matches!(event, Happened::Stray(_))), "{happened:?}");
    assert_eq!(feed(&mut connection, &[created("H:1")]), [Happened::Created(JobKey(1), "H:1".into())]);
    assert_eq!(
        feed(&mut connection, &[error("QUEUE_ERROR")]),
        [Happened::Stray(Opcode::Error)],
        "no submission is left that it could answer"
    );
}

#[test]
fn questions_are_answered_by_type_and_name() {
    let mut connection = Connection::default();
    connection.ask(Token(1), &Request::GetStatus { handle: "H:1".into() });
    connection.ask(Token(2), &Request::GetStatusUnique { unique: "u".into() });
    connection.ask(Token(3), &Request::Echo { payload: "e".into() });
    let (numerator, denominator) = (Bytes::from("3"), Bytes::from("4"));
    let responses = [
        Response::Echo { payload: "e".into() },
        Response::StatusResUnique {
            unique: "u".into(),
            known: true,
            running: false,
            numerator: "x".into(),
            denominator: "0".into(),
            clients: "2".into(),
        },
        Response::StatusRes { handle: "H:1".into(), known: true, running: true, numerator, denominator },
    ];
    let by_unique = Status { known: true, clients: Some(2), ..Status::default() };
    let by_handle = Status { known: true, running: true, numerator: 3, denominator: 4, clients: None };
    let answers = [
        Happened::Answered(Token(3), Answer::Echo("e".into())),
        Happened::Answered(Token(2), Answer::Status(by_unique)),
        Happened::Answered(Token(1), Answer::Status(by_handle)),
    ];
    assert_eq!(feed(&mut connection, &responses), answers);
}

#[test]
fn an_exception_is_told_with_its_message_and_a_failure_with_a_nul_is_found() {
    let mut connection = Connection::default();
    (1..=2).for_each(|key| submit(&mut connection, key, false));
    let responses = [
        created("H:1"),
        created("H:2"),
        Response::WorkException { handle: "H:1".into(), payload: "why".into() },
        Response::WorkFail { handle: "H:2\0".into() },
    ];
    let happened = feed(&mut connection, &responses);
    let told = [
        Happened::Update(JobKey(1), Update::Exception("why".into())),
        Happened::Done(JobKey(1), Outcome::Exception("why".into())),
        Happened::Done(JobKey(2), Outcome::Failed),
    ];
    assert_eq!(happened[2..], told);
}

#[test]
fn a_lost_connection_gives_back_what_has_no_end() {
    let mut connection = Connection::default();
    (1..=4).for_each(|key| submit(&mut connection, key, key == 1));
    connection.ask(Token(8), &Request::Echo { payload: Bytes::new() });
    feed(&mut connection, &[created("H:1"), created("H:2"), created("H:3"), complete("H:2", "")]);
    assert_eq!(connection.lose(), (vec![JobKey(3), JobKey(4)], vec![Token(8)]));
}

#[test]
fn bytes_that_make_no_sense_end_the_connection() {
    for bytes in [&b"OK\r\n"[..], b"\0BAD", b"\0RES\0\0\0\x07\0\0\0\0"] {
        let mut connection = Connection::default();
        assert!(connection.receive(&mut BytesMut::from(bytes), &mut Vec::new()).is_err(), "{bytes:?}");
    }
}

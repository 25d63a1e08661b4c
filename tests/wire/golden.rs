//! The bytes of every packet type in both directions.

use crate::{packet, packet_of, request, response, text};
use bytes::BytesMut;
use conveyor_common::Priority;
use conveyor_common::protocol::{
    ErrorCode, GrabForm, Magic, Opcode, ParseError, Request, Response, SubmitKind,
};
use std::collections::BTreeSet;

/// Every packet a client or worker may send, as it stands on the wire and as it is understood.
pub(crate) fn requests() -> Vec<(&'static [u8], Request)> {
    let mut all = worker_requests();
    all.extend(reports());
    all.extend(submissions());
    all.extend(other_requests());
    all
}

fn worker_requests() -> Vec<(&'static [u8], Request)> {
    vec![
        (b"\0REQ\0\0\0\x01\0\0\0\x07reverse", Request::CanDo { function: text(b"reverse") }),
        (b"\0REQ\0\0\0\x02\0\0\0\x07reverse", Request::CantDo { function: text(b"reverse") }),
        (b"\0REQ\0\0\0\x03\0\0\0\0", Request::ResetAbilities),
        (b"\0REQ\0\0\0\x04\0\0\0\0", Request::PreSleep),
        (b"\0REQ\0\0\0\x09\0\0\0\0", Request::Grab(GrabForm::Plain)),
        (b"\0REQ\0\0\0\x1e\0\0\0\0", Request::Grab(GrabForm::Unique)),
        (b"\0REQ\0\0\0\x27\0\0\0\0", Request::Grab(GrabForm::All)),
        (b"\0REQ\0\0\0\x16\0\0\0\x08worker 1", Request::SetClientId { id: text(b"worker 1") }),
        (
            b"\0REQ\0\0\0\x17\0\0\0\x0creverse\x001500",
            Request::CanDoTimeout { function: text(b"reverse"), timeout_ms: 1500 },
        ),
        (b"\0REQ\0\0\0\x17\0\0\0\x04f\0-1", Request::CanDoTimeout { function: text(b"f"), timeout_ms: -1 }),
    ]
}

fn reports() -> Vec<(&'static [u8], Request)> {
    vec![
        (
            b"\0REQ\0\0\0\x0c\0\0\0\x0bH:box:1\x003\x007",
            Request::WorkStatus { handle: text(b"H:box:1"), numerator: text(b"3"), denominator: text(b"7") },
        ),
        (
            b"\0REQ\0\0\0\x0d\0\0\0\x0cH:box:1\0done",
            Request::WorkComplete { handle: text(b"H:box:1"), payload: text(b"done") },
        ),
        (b"\0REQ\0\0\0\x0e\0\0\0\x07H:box:1", Request::WorkFail { handle: text(b"H:box:1") }),
        (
            b"\0REQ\0\0\0\x19\0\0\0\x0cH:box:1\0oops",
            Request::WorkException { handle: text(b"H:box:1"), payload: text(b"oops") },
        ),
        (
            b"\0REQ\0\0\0\x1c\0\0\0\x0cH:box:1\0part",
            Request::WorkData { handle: text(b"H:box:1"), payload: text(b"part") },
        ),
        (
            b"\0REQ\0\0\0\x1d\0\0\0\x0cH:box:1\0hmm!",
            Request::WorkWarning { handle: text(b"H:box:1"), payload: text(b"hmm!") },
        ),
    ]
}

/// A submission of function `f` with unique `u` and payload `p`.
fn submit(kind: SubmitKind) -> Request {
    Request::Submit { kind, function: text(b"f"), unique: text(b"u"), payload: text(b"p") }
}

fn submissions() -> Vec<(&'static [u8], Request)> {
    let job = |priority, background| submit(SubmitKind::Job { priority, background });
    let reduce =
        |background| submit(SubmitKind::Reduce { reducer: text(b"sum"), ignored: text(b"x"), background });
    vec![
        (b"\0REQ\0\0\0\x07\0\0\0\x05f\0u\0p", job(Priority::Normal, false)),
        (b"\0REQ\0\0\0\x12\0\0\0\x05f\0u\0p", job(Priority::Normal, true)),
        (b"\0REQ\0\0\0\x15\0\0\0\x05f\0u\0p", job(Priority::High, false)),
        (b"\0REQ\0\0\0\x20\0\0\0\x05f\0u\0p", job(Priority::High, true)),
        (b"\0REQ\0\0\0\x21\0\0\0\x05f\0u\0p", job(Priority::Low, false)),
        (b"\0REQ\0\0\0\x22\0\0\0\x05f\0u\0p", job(Priority::Low, true)),
        (
            b"\0REQ\0\0\0\x24\0\0\0\x10f\0u\x001234567890\0p",
            submit(SubmitKind::Epoch { when: 1_234_567_890 }),
        ),
        (b"\0REQ\0\0\0\x25\0\0\0\x0bf\0u\0sum\0x\0p", reduce(false)),
        (b"\0REQ\0\0\0\x26\0\0\0\x0bf\0u\0sum\0x\0p", reduce(true)),
        (
            b"\0REQ\0\0\0\x23\0\0\0\x0ff\0u\x000\x001\x002\x003\x004\0p",
            Request::SubmitSched {
                function: text(b"f"),
                unique: text(b"u"),
                fields: [text(b"0"), text(b"1"), text(b"2"), text(b"3"), text(b"4")],
                payload: text(b"p"),
            },
        ),
    ]
}

fn other_requests() -> Vec<(&'static [u8], Request)> {
    vec![
        (b"\0REQ\0\0\0\x0f\0\0\0\x07H:box:1", Request::GetStatus { handle: text(b"H:box:1") }),
        (b"\0REQ\0\0\0\x29\0\0\0\x05order", Request::GetStatusUnique { unique: text(b"order") }),
        (b"\0REQ\0\0\0\x10\0\0\0\x04p\0ng", Request::Echo { payload: text(b"p\0ng") }),
        (b"\0REQ\0\0\0\x1a\0\0\0\x0aexceptions", Request::Option { option: text(b"exceptions") }),
        (b"\0REQ\0\0\0\x18\0\0\0\0", Request::AllYours),
    ]
}

/// Every packet a server may send.
pub(crate) fn responses() -> Vec<(&'static [u8], Response)> {
    let mut all = answers();
    all.extend(assignments());
    all.extend(relays());
    all
}

fn answers() -> Vec<(&'static [u8], Response)> {
    vec![
        (b"\0RES\0\0\0\x06\0\0\0\0", Response::Noop),
        (b"\0RES\0\0\0\x0a\0\0\0\0", Response::NoJob),
        (b"\0RES\0\0\0\x08\0\0\0\x07H:box:1", Response::JobCreated { handle: text(b"H:box:1") }),
        (b"\0RES\0\0\0\x11\0\0\0\x04p\0ng", Response::Echo { payload: text(b"p\0ng") }),
        (b"\0RES\0\0\0\x1b\0\0\0\x0aexceptions", Response::Option { option: text(b"exceptions") }),
        (
            b"\0RES\0\0\0\x13\0\0\0\x1dQUEUE_ERROR\0Job queue is full",
            Response::Error { code: text(b"QUEUE_ERROR"), text: text(b"Job queue is full") },
        ),
        (
            b"\0RES\0\0\0\x14\0\0\0\x10H:box:1\x001\x000\x003\x0010",
            Response::StatusRes {
                handle: text(b"H:box:1"),
                known: true,
                running: false,
                numerator: text(b"3"),
                denominator: text(b"10"),
            },
        ),
        (
            b"\0RES\0\0\0\x2a\0\0\0\x10order\x001\x001\x003\x0010\x002",
            Response::StatusResUnique {
                unique: text(b"order"),
                known: true,
                running: true,
                numerator: text(b"3"),
                denominator: text(b"10"),
                clients: text(b"2"),
            },
        ),
    ]
}

fn assignments() -> Vec<(&'static [u8], Response)> {
    vec![
        (
            b"\0RES\0\0\0\x0b\0\0\0\x0bH:box:1\0f\0p",
            Response::JobAssign { handle: text(b"H:box:1"), function: text(b"f"), payload: text(b"p") },
        ),
        (
            b"\0RES\0\0\0\x1f\0\0\0\x0dH:box:1\0f\0u\0p",
            Response::JobAssignUniq {
                handle: text(b"H:box:1"),
                function: text(b"f"),
                unique: text(b"u"),
                payload: text(b"p"),
            },
        ),
        (
            b"\0RES\0\0\0\x28\0\0\0\x11H:box:1\0f\0u\0sum\0p",
            Response::JobAssignAll {
                handle: text(b"H:box:1"),
                function: text(b"f"),
                unique: text(b"u"),
                reducer: text(b"sum"),
                payload: text(b"p"),
            },
        ),
    ]
}

fn relays() -> Vec<(&'static [u8], Response)> {
    let (handle, done) = (text(b"H:box:1"), text(b"done"));
    vec![
        (
            b"\0RES\0\0\0\x0c\0\0\0\x0bH:box:1\x003\x007",
            Response::WorkStatus { handle: handle.clone(), numerator: text(b"3"), denominator: text(b"7") },
        ),
        (
            b"\0RES\0\0\0\x0d\0\0\0\x0cH:box:1\0done",
            Response::WorkComplete { handle: handle.clone(), payload: done.clone() },
        ),
        (b"\0RES\0\0\0\x0e\0\0\0\x07H:box:1", Response::WorkFail { handle: handle.clone() }),
        (
            b"\0RES\0\0\0\x19\0\0\0\x0cH:box:1\0done",
            Response::WorkException { handle: handle.clone(), payload: done.clone() },
        ),
        (
            b"\0RES\0\0\0\x1c\0\0\0\x0cH:box:1\0done",
            Response::WorkData { handle: handle.clone(), payload: done.clone() },
        ),
        (b"\0RES\0\0\0\x1d\0\0\0\x0cH:box:1\0done", Response::WorkWarning { handle, payload: done }),
    ]
}

#[test]
fn every_request_is_written_as_these_bytes() {
    for (bytes, request) in requests() {
        let mut out = BytesMut::new();
        request.encode(&mut out);
        assert_eq!(out, bytes, "{request:?}");
    }
}

#[test]
fn every_request_is_read_from_these_bytes() {
    for (bytes, expected) in requests() {
        assert_eq!(packet(bytes).magic, Magic::Request, "{expected:?}");
        assert_eq!(request(bytes), Ok(expected));
    }
}

#[test]
fn every_response_is_written_as_these_bytes() {
    for (bytes, response) in responses() {
        let mut out = BytesMut::new();
        response.encode(&mut out);
        assert_eq!(out, bytes, "{response:?}");
        assert_eq!(response.opcode(), packet(bytes).opcode);
    }
}

#[test]
fn every_response_is_read_from_these_bytes() {
    for (bytes, expected) in responses() {
        assert_eq!(packet(bytes).magic, Magic::Response, "{expected:?}");
        assert_eq!(response(bytes), Ok(expected));
    }
}

#[test]
fn the_head_of_a_response_is_the_whole_without_its_last_part() {
    for (bytes, response) in responses() {
        let mut out = BytesMut::new();
        response.encode_head(&mut out);
        let last = match &response {
            Response::Noop | Response::NoJob => text(b""),
            Response::JobCreated { handle } | Response::WorkFail { handle } => handle.clone(),
            Response::JobAssign { payload, .. }
            | Response::JobAssignUniq { payload, .. }
            | Response::JobAssignAll { payload, .. }
            | Response::WorkComplete { payload, .. }
            | Response::WorkException { payload, .. }
            | Response::WorkData { payload, .. }
            | Response::WorkWarning { payload, .. }
            | Response::Echo { payload } => payload.clone(),
            Response::WorkStatus { denominator, .. } | Response::StatusRes { denominator, .. } => {
                denominator.clone()
            }
            Response::Error { text, .. } => text.clone(),
            Response::StatusResUnique { clients, .. } => clients.clone(),
            Response::Option { option } => option.clone(),
        };
        out.extend_from_slice(&last);
        assert_eq!(out, bytes, "{response:?}");
    }
}

#[test]
fn a_response_may_be_written_from_borrowed_bytes() {
    let mut out = BytesMut::new();
    Response::<&[u8]>::JobCreated { handle: b"H:box:1" }.encode(&mut out);
    assert_eq!(out, &b"\0RES\0\0\0\x08\0\0\0\x07H:box:1"[..]);
}

#[test]
fn packets_are_written_one_behind_the_other() {
    let mut out = BytesMut::new();
    Request::PreSleep.encode(&mut out);
    Request::Grab(GrabForm::All).encode(&mut out);
    assert_eq!(out, &b"\0REQ\0\0\0\x04\0\0\0\0\0REQ\0\0\0\x27\0\0\0\0"[..]);
}

#[test]
fn the_tables_hold_every_type_but_the_unused_one() {
    let of = |bytes: &[u8]| packet(bytes).opcode;
    let mut seen: BTreeSet<Opcode> = requests().iter().map(|(bytes, _)| of(bytes)).collect();
    seen.extend(responses().iter().map(|(bytes, _)| of(bytes)));
    let missing: Vec<Opcode> = Opcode::ALL.into_iter().filter(|opcode| !seen.contains(opcode)).collect();
    assert_eq!(missing, [Opcode::Unused]);
}

#[test]
fn what_only_a_server_sends_is_no_request() {
    let unexpected = [5_u32, 6, 8, 10, 11, 17, 19, 20, 27, 31, 40, 42];
    for opcode in Opcode::ALL {
        let refused =
            Request::parse(opcode, text(b"a\0b\0c\0d\0e\0f\0g\0h")) == Err(ParseError::Unexpected(opcode));
        assert_eq!(refused, unexpected.contains(&opcode.to_wire()), "{opcode:?}");
    }
}

#[test]
fn what_only_a_client_or_worker_sends_is_no_response() {
    let expected = [6_u32, 8, 10, 11, 12, 13, 14, 17, 19, 20, 25, 27, 28, 29, 31, 40, 42];
    for opcode in Opcode::ALL {
        let refused =
            Response::parse(opcode, text(b"a\x000\x001\0d\0e\0f")) == Err(ParseError::Unexpected(opcode));
        assert_eq!(refused, !expected.contains(&opcode.to_wire()), "{opcode:?}");
    }
}

#[test]
fn refusals_are_these_bytes() {
    let refusals: [(ErrorCode, &str, &[u8]); 6] = [
        (ErrorCode::InvalidMagic, "Request magic expected", b"INVALID_MAGIC\0Request magic expected"),
        (ErrorCode::InvalidCommand, "Command not expected", b"INVALID_COMMAND\0Command not expected"),
        (
            ErrorCode::ArgumentTooLarge,
            "Unique value too large",
            b"ARGUMENT_TOO_LARGE\0Unique value too large",
        ),
        (
            ErrorCode::UnknownOption,
            "Server does not recognize given option",
            b"UNKNOWN_OPTION\0Server does not recognize given option",
        ),
        (
            ErrorCode::JobNotFound,
            "Job does not exist on server",
            b"JOB_NOT_FOUND\0Job does not exist on server",
        ),
        (ErrorCode::QueueError, "Job queue is full", b"QUEUE_ERROR\0Job queue is full"),
    ];
    for (code, text, body) in refusals {
        let mut out = BytesMut::new();
        Response::Error { code: code.as_str(), text }.encode(&mut out);
        assert_eq!(out, packet_of(b"\0RES", 19, body));
    }
}

#[test]
fn an_unknown_handle_is_answered_with_zeros() {
    let unknown = Response::StatusRes {
        handle: &b"H:box:9"[..],
        known: false,
        running: false,
        numerator: b"0",
        denominator: b"0",
    };
    let mut out = BytesMut::new();
    unknown.encode(&mut out);
    assert_eq!(out, &b"\0RES\0\0\0\x14\0\0\0\x0fH:box:9\x000\x000\x000\x000"[..]);
}

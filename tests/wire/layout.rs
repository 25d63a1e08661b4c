//! How a body is cut into arguments: what belongs to which, what is missing, what is too long.

use crate::{packet_of, request, response, text};
use conveyor_common::Priority;
use conveyor_common::limits::ARGUMENT_BYTES;
use conveyor_common::protocol::{GrabForm, Opcode, ParseError, Request, Response, SubmitKind};

const REQ: &[u8; 4] = b"\0REQ";
const RES: &[u8; 4] = b"\0RES";

const FOREGROUND: SubmitKind = SubmitKind::Job { priority: Priority::Normal, background: false };

/// Types of requests and how many NULs their bodies need.
const TERMINATORS: [(Opcode, usize); 18] = [
    (Opcode::CanDoTimeout, 1),
    (Opcode::WorkStatus, 2),
    (Opcode::WorkComplete, 1),
    (Opcode::WorkException, 1),
    (Opcode::WorkData, 1),
    (Opcode::WorkWarning, 1),
    (Opcode::SubmitJob, 2),
    (Opcode::SubmitJobBg, 2),
    (Opcode::SubmitJobHigh, 2),
    (Opcode::SubmitJobHighBg, 2),
    (Opcode::SubmitJobLow, 2),
    (Opcode::SubmitJobLowBg, 2),
    (Opcode::SubmitJobEpoch, 3),
    (Opcode::SubmitReduceJob, 4),
    (Opcode::SubmitReduceJobBackground, 4),
    (Opcode::SubmitJobSched, 7),
    (Opcode::CanDo, 0),
    (Opcode::EchoReq, 0),
];

#[test]
fn extra_nuls_belong_to_the_payload() {
    assert_eq!(
        request(b"\0REQ\0\0\0\x07\0\0\0\x09f\0u\0p\0q\0\0"),
        Ok(Request::Submit {
            kind: FOREGROUND,
            function: text(b"f"),
            unique: text(b"u"),
            payload: text(b"p\0q\0\0")
        })
    );
    assert_eq!(
        request(b"\0REQ\0\0\0\x0d\0\0\0\x04h\0\0\0"),
        Ok(Request::WorkComplete { handle: text(b"h"), payload: text(b"\0\0") })
    );
    assert_eq!(request(b"\0REQ\0\0\0\x10\0\0\0\x02\0\0"), Ok(Request::Echo { payload: text(b"\0\0") }));
}

#[test]
fn extra_nuls_belong_to_the_last_argument() {
    assert_eq!(request(b"\0REQ\0\0\0\x01\0\0\0\x03f\0g"), Ok(Request::CanDo { function: text(b"f\0g") }));
    assert_eq!(
        request(b"\0REQ\0\0\0\x0e\0\0\0\x07h\0junk\0"),
        Ok(Request::WorkFail { handle: text(b"h\0junk\0") })
    );
    assert_eq!(
        request(b"\0REQ\0\0\0\x0c\0\0\0\x07h\x001\x002\0\0"),
        Ok(Request::WorkStatus { handle: text(b"h"), numerator: text(b"1"), denominator: text(b"2\0\0") })
    );
    assert_eq!(response(b"\0RES\0\0\0\x0e\0\0\0\x02h\0"), Ok(Response::WorkFail { handle: text(b"h\0") }));
    assert_eq!(
        response(b"\0RES\0\0\0\x13\0\0\0\x06C\0text"),
        Ok(Response::Error { code: text(b"C"), text: text(b"text") })
    );
}

#[test]
fn arguments_and_payloads_may_be_empty() {
    assert_eq!(
        request(b"\0REQ\0\0\0\x07\0\0\0\x02\0\0"),
        Ok(Request::Submit { kind: FOREGROUND, function: text(b""), unique: text(b""), payload: text(b"") })
    );
    assert_eq!(request(b"\0REQ\0\0\0\x01\0\0\0\0"), Ok(Request::CanDo { function: text(b"") }));
    assert_eq!(request(b"\0REQ\0\0\0\x10\0\0\0\0"), Ok(Request::Echo { payload: text(b"") }));
    assert_eq!(
        request(b"\0REQ\0\0\0\x17\0\0\0\x01\0"),
        Ok(Request::CanDoTimeout { function: text(b""), timeout_ms: 0 })
    );
    assert_eq!(
        request(b"\0REQ\0\0\0\x24\0\0\0\x03\0\0\0"),
        Ok(Request::Submit {
            kind: SubmitKind::Epoch { when: 0 },
            function: text(b""),
            unique: text(b""),
            payload: text(b"")
        })
    );
}

#[test]
fn a_body_with_too_few_nuls_is_an_error() {
    for (opcode, needed) in TERMINATORS {
        for nuls in 0..needed {
            let body = [b"a\0".repeat(nuls), b"a".to_vec()].concat();
            assert_eq!(
                Request::parse(opcode, body.into()),
                Err(ParseError::MissingArgument),
                "{opcode:?} with {nuls} of {needed}"
            );
        }
        let body = [b"1\0".repeat(needed), b"1".to_vec()].concat();
        assert!(Request::parse(opcode, body.into()).is_ok(), "{opcode:?} with {needed}");
    }
}

#[test]
fn a_response_with_too_few_nuls_is_an_error() {
    let terminators = [
        (Opcode::JobAssign, 2),
        (Opcode::JobAssignUniq, 3),
        (Opcode::JobAssignAll, 4),
        (Opcode::WorkStatus, 2),
        (Opcode::WorkComplete, 1),
        (Opcode::WorkException, 1),
        (Opcode::WorkData, 1),
        (Opcode::WorkWarning, 1),
        (Opcode::Error, 1),
        (Opcode::StatusRes, 4),
        (Opcode::StatusResUnique, 5),
    ];
    for (opcode, needed) in terminators {
        for nuls in 0..needed {
            let body = [b"1\0".repeat(nuls), b"1".to_vec()].concat();
            assert_eq!(
                Response::parse(opcode, body.into()),
                Err(ParseError::MissingArgument),
                "{opcode:?} with {nuls} of {needed}"
            );
        }
    }
}

#[test]
fn a_body_where_none_belongs_is_ignored() {
    assert_eq!(request(b"\0REQ\0\0\0\x09\0\0\0\x04junk"), Ok(Request::Grab(GrabForm::Plain)));
    assert_eq!(request(b"\0REQ\0\0\0\x1e\0\0\0\x01\0"), Ok(Request::Grab(GrabForm::Unique)));
    assert_eq!(request(b"\0REQ\0\0\0\x27\0\0\0\x04junk"), Ok(Request::Grab(GrabForm::All)));
    assert_eq!(request(b"\0REQ\0\0\0\x04\0\0\0\x04junk"), Ok(Request::PreSleep));
    assert_eq!(request(b"\0REQ\0\0\0\x03\0\0\0\x04junk"), Ok(Request::ResetAbilities));
    assert_eq!(response(b"\0RES\0\0\0\x06\0\0\0\x04junk"), Ok(Response::Noop));
    assert_eq!(response(b"\0RES\0\0\0\x0a\0\0\0\x04junk"), Ok(Response::NoJob));
}

#[test]
fn an_only_argument_holds_up_to_8192_bytes() {
    for number in [1, 2, 14, 15, 22, 26, 41] {
        let opcode = Opcode::from_wire(number).unwrap();
        let longest = vec![b'a'; ARGUMENT_BYTES];
        assert!(request(&packet_of(REQ, number, &longest)).is_ok(), "{opcode:?}");
        let longer = vec![b'a'; ARGUMENT_BYTES + 1];
        assert_eq!(Request::parse(opcode, longer.into()), Err(ParseError::ArgumentTooLarge), "{opcode:?}");
    }
    let longer = vec![b'a'; ARGUMENT_BYTES + 1];
    assert_eq!(Response::parse(Opcode::JobCreated, longer.into()), Err(ParseError::ArgumentTooLarge));
}

#[test]
fn a_terminated_argument_holds_up_to_8191_bytes() {
    let submit = |name: usize, unique: usize| {
        let body = [vec![b'f'; name], vec![0], vec![b'u'; unique], vec![0], b"payload".to_vec()].concat();
        request(&packet_of(REQ, 7, &body))
    };
    assert!(submit(ARGUMENT_BYTES - 1, 1).is_ok());
    assert_eq!(submit(ARGUMENT_BYTES, 1), Err(ParseError::ArgumentTooLarge));
    assert!(submit(1, ARGUMENT_BYTES - 1).is_ok());
    assert_eq!(submit(1, ARGUMENT_BYTES), Err(ParseError::ArgumentTooLarge));
}

#[test]
fn a_last_argument_behind_others_holds_up_to_8192_bytes() {
    let status = |denominator: usize| {
        let body = [b"h\x001\0".to_vec(), vec![b'9'; denominator]].concat();
        request(&packet_of(REQ, 12, &body))
    };
    assert!(status(ARGUMENT_BYTES).is_ok());
    assert_eq!(status(ARGUMENT_BYTES + 1), Err(ParseError::ArgumentTooLarge));
    let error = [b"CODE\0".to_vec(), vec![b't'; ARGUMENT_BYTES + 1]].concat();
    assert_eq!(response(&packet_of(RES, 19, &error)), Err(ParseError::ArgumentTooLarge));
}

#[test]
fn a_payload_may_be_longer_than_any_argument() {
    let payload = vec![0; ARGUMENT_BYTES * 4];
    let body = [b"h\0".to_vec(), payload.clone()].concat();
    assert_eq!(
        request(&packet_of(REQ, 13, &body)),
        Ok(Request::WorkComplete { handle: text(b"h"), payload: payload.into() })
    );
}

#[test]
fn numbers_are_read_up_to_their_first_other_byte() {
    let timeout = |digits: &[u8]| {
        let body = [b"f\0", digits].concat();
        match request(&packet_of(REQ, 23, &body)) {
            Ok(Request::CanDoTimeout { timeout_ms, .. }) => Ok(timeout_ms),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    assert_eq!(timeout(b"3000"), Ok(3000));
    assert_eq!(timeout(b"-5"), Ok(-5));
    assert_eq!(timeout(b"+5"), Ok(5));
    assert_eq!(timeout(b" 12 apples"), Ok(12));
    assert_eq!(timeout(b"12\0"), Ok(12));
    assert_eq!(timeout(b"apples"), Ok(0));
    assert_eq!(timeout(b"--5"), Ok(0));
    assert_eq!(timeout(b"9223372036854775807"), Ok(i64::MAX));
    assert_eq!(timeout(b"-9223372036854775808"), Ok(i64::MIN));
}

#[test]
fn bug_a_timeout_of_twenty_digits_is_an_error_and_nothing_worse() {
    for digits in ["9223372036854775808", "99999999999999999999", "-9223372036854775809"] {
        let body = [b"f\0", digits.as_bytes()].concat();
        assert_eq!(request(&packet_of(REQ, 23, &body)), Err(ParseError::NumberTooLarge), "{digits}");
        let body = [b"f\0u\0", digits.as_bytes(), b"\0p"].concat();
        assert_eq!(request(&packet_of(REQ, 36, &body)), Err(ParseError::NumberTooLarge), "{digits}");
    }
}

#[test]
fn a_status_flag_is_0_or_1() {
    assert_eq!(response(b"\0RES\0\0\0\x14\0\0\0\x09h\x002\x000\x000\x000"), Err(ParseError::BadValue));
    assert_eq!(response(b"\0RES\0\0\0\x14\0\0\0\x08h\x000\0\x000\x000"), Err(ParseError::BadValue));
    assert_eq!(response(b"\0RES\0\0\0\x2a\0\0\0\x0bu\x001\0x\x000\x000\x000"), Err(ParseError::BadValue));
    assert_eq!(
        response(b"\0RES\0\0\0\x14\0\0\0\x09h\x000\x000\x000\x000"),
        Ok(Response::StatusRes {
            handle: text(b"h"),
            known: false,
            running: false,
            numerator: text(b"0"),
            denominator: text(b"0")
        })
    );
}

#[test]
fn every_type_has_the_layout_of_the_protocol() {
    let layouts = [
        "1", "1", "0", "0", "0", "0", "2+", "1", "0", "0", "2+", "3", "1+", "1", "1", "0+", "0+", "2+", "2",
        "5", "2+", "1", "2", "0", "1+", "1", "1", "1+", "1+", "0", "3+", "2+", "2+", "2+", "7+", "3+", "4+",
        "4+", "0", "4+", "1", "6",
    ];
    for (opcode, expected) in Opcode::ALL.into_iter().zip(layouts) {
        let layout = opcode.layout();
        assert_eq!(
            format!("{}{}", layout.args, if layout.payload { "+" } else { "" }),
            expected,
            "{opcode:?}"
        );
    }
}

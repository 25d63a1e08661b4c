//! Random packets and commands for property tests. Arguments that end with NUL hold none.

use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, Response, SubmitKind};
use proptest::collection::vec;
use proptest::prelude::*;

/// An argument that ends with NUL on the wire.
fn argument() -> impl Strategy<Value = Bytes> {
    vec(1_u8.., 0..40).prop_map(Bytes::from)
}

/// A last argument or payload: any bytes.
fn rest() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)]
}

fn kind() -> impl Strategy<Value = SubmitKind> {
    prop_oneof![
        (priority(), any::<bool>())
            .prop_map(|(priority, background)| SubmitKind::Job { priority, background }),
        any::<i64>().prop_map(|when| SubmitKind::Epoch { when }),
        (argument(), argument(), any::<bool>())
            .prop_map(|(reducer, ignored, background)| SubmitKind::Reduce { reducer, ignored, background }),
    ]
}

/// Any request.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    let handle_and_payload = || (argument(), rest());
    prop_oneof![
        rest().prop_map(|function| Request::CanDo { function }),
        (argument(), any::<i64>())
            .prop_map(|(function, timeout_ms)| Request::CanDoTimeout { function, timeout_ms }),
        rest().prop_map(|function| Request::CantDo { function }),
        prop_oneof![
            Just(Request::ResetAbilities),
            Just(Request::PreSleep),
            Just(Request::Grab(GrabForm::Plain)),
            Just(Request::Grab(GrabForm::Unique)),
            Just(Request::Grab(GrabForm::All)),
            Just(Request::AllYours),
        ],
        rest().prop_map(|id| Request::SetClientId { id }),
        (argument(), argument(), rest()).prop_map(|(handle, numerator, denominator)| {
            Request::WorkStatus { handle, numerator, denominator }
        }),
        handle_and_payload().prop_map(|(handle, payload)| Request::WorkComplete { handle, payload }),
        rest().prop_map(|handle| Request::WorkFail { handle }),
        handle_and_payload().prop_map(|(handle, payload)| Request::WorkException { handle, payload }),
        handle_and_payload().prop_map(|(handle, payload)| Request::WorkData { handle, payload }),
        handle_and_payload().prop_map(|(handle, payload)| Request::WorkWarning { handle, payload }),
        (kind(), argument(), argument(), rest()).prop_map(|(kind, function, unique, payload)| {
            Request::Submit { kind, function, unique, payload }
        }),
        rest().prop_map(|handle| Request::GetStatus { handle }),
        rest().prop_map(|unique| Request::GetStatusUnique { unique }),
        rest().prop_map(|payload| Request::Echo { payload }),
        rest().prop_map(|option| Request::Option { option }),
        (argument(), argument(), [argument(), argument(), argument(), argument(), argument()], rest())
            .prop_map(|(function, unique, fields, payload)| {
                Request::SubmitSched { function, unique, fields, payload }
            }),
    ]
}

/// Any response.
pub(crate) fn response() -> impl Strategy<Value = Response> {
    let handle_and_payload = || (argument(), rest());
    let flags = || (any::<bool>(), any::<bool>());
    prop_oneof![
        prop_oneof![Just(Response::Noop), Just(Response::NoJob)],
        rest().prop_map(|handle| Response::JobCreated { handle }),
        (argument(), argument(), rest()).prop_map(|(handle, function, payload)| Response::JobAssign {
            handle,
            function,
            payload
        }),
        (argument(), argument(), argument(), rest()).prop_map(|(handle, function, unique, payload)| {
            Response::JobAssignUniq { handle, function, unique, payload }
        }),
        (argument(), argument(), argument(), argument(), rest()).prop_map(
            |(handle, function, unique, reducer, payload)| Response::JobAssignAll {
                handle,
                function,
                unique,
                reducer,
                payload
            }
        ),
        (argument(), argument(), rest()).prop_map(|(handle, numerator, denominator)| {
            Response::WorkStatus { handle, numerator, denominator }
        }),
        handle_and_payload().prop_map(|(handle, payload)| Response::WorkComplete { handle, payload }),
        rest().prop_map(|handle| Response::WorkFail { handle }),
        handle_and_payload().prop_map(|(handle, payload)| Response::WorkException { handle, payload }),
        handle_and_payload().prop_map(|(handle, payload)| Response::WorkData { handle, payload }),
        handle_and_payload().prop_map(|(handle, payload)| Response::WorkWarning { handle, payload }),
        rest().prop_map(|payload| Response::Echo { payload }),
        (argument(), rest()).prop_map(|(code, text)| Response::Error { code, text }),
        (argument(), flags(), argument(), rest()).prop_map(
            |(handle, (known, running), numerator, denominator)| Response::StatusRes {
                handle,
                known,
                running,
                numerator,
                denominator
            }
        ),
        (argument(), flags(), argument(), argument(), rest()).prop_map(
            |(unique, (known, running), numerator, denominator, clients)| Response::StatusResUnique {
                unique,
                known,
                running,
                numerator,
                denominator,
                clients
            }
        ),
        rest().prop_map(|option| Response::Option { option }),
    ]
}

/// A word of an admin line: at least one byte, no space and no line end in it.
fn word() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>().prop_filter("splits words or lines", |byte| !matches!(byte, b' ' | b'\n')), 1..30)
        .prop_map(Bytes::from)
}

/// Any admin command.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        prop_oneof![
            Just(Command::Status),
            Just(Command::PriorityStatus),
            Just(Command::Workers),
            Just(Command::Version),
            Just(Command::GetPid),
            Just(Command::Readiness),
            Just(Command::Verbose),
            Just(Command::ShowJobs),
            Just(Command::ShowUniqueJobs),
        ],
        (word(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(function, high, normal, low)| {
            Command::MaxQueue { function, limits: PerPriority { high, normal, low } }
        }),
        word().prop_map(Command::CreateFunction),
        word().prop_map(Command::DropFunction),
        word().prop_map(Command::CancelJob),
    ]
}

/// What a connection may carry: packets of both directions and lines, one behind the other.
pub(crate) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        request().prop_map(|request| {
            let mut out = bytes::BytesMut::new();
            request.encode(&mut out);
            out.to_vec()
        }),
        response().prop_map(|response| {
            let mut out = bytes::BytesMut::new();
            response.encode(&mut out);
            out.to_vec()
        }),
        command().prop_map(|command| command.to_line()),
    ];
    vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

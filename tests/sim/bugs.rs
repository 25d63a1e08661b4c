//! Each line that the reference marks as a bug of gearmand, done right. One test a line, named after it.
//! Those of the wire (types from 0x80000000, numbers of 20 digits, `create function` without `\r`) are in
//! `conveyor conformance` and in the tests of the protocol.

use crate::rig::{Rig, Submit, bytes, handle, rules};
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, JobNumber, Priority};
use conveyor_server::core::{Compat, Effect, Event, Reply, Rules};

fn completes(replies: &[(ConnId, Reply)], client: ConnId) -> usize {
    replies.iter().filter(|(to, reply)| *to == client && matches!(reply, Reply::Complete { .. })).count()
}

#[test]
fn bug_a_job_that_coalesces_onto_an_abandoned_one_is_answered() {
    let mut rig = Rig::new(rules());
    let first = rig.connect();
    let number = rig.submit(first, Submit::fg("f").unique("u").payload("old"));
    rig.close(first);
    let second = rig.connect();
    assert_eq!(rig.submit(second, Submit::fg("f").unique("u").payload("new")), number);
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker), Some((number, "new".to_owned())));
    assert_eq!(completes(&rig.complete(worker, number, "r"), second), 1);
}

#[test]
fn bug_a_job_that_coalesces_onto_an_abandoned_running_one_is_answered() {
    let mut rig = Rig::new(rules());
    let worker = rig.worker(&["f"]);
    let first = rig.connect();
    let number = rig.submit(first, Submit::fg("f").unique("u"));
    rig.grab(worker);
    rig.close(first);
    let second = rig.connect();
    assert_eq!(rig.submit(second, Submit::fg("f").unique("u").payload("new")), number);
    // Even when the worker dies and the job has to run again.
    rig.close(worker);
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker), Some((number, "new".to_owned())));
    assert_eq!(completes(&rig.complete(worker, number, "r"), second), 1);
}

#[test]
fn bug_a_background_job_survives_a_foreground_client_that_joined_and_left() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::bg("f").unique("u"));
    let joiner = rig.connect();
    assert_eq!(rig.submit(joiner, Submit::fg("f").unique("u")), number);
    rig.close(joiner);
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker).map(|(number, _)| number), Some(number));
}

#[test]
fn bug_a_foreground_job_that_a_background_submission_joins_becomes_one() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f").unique("u"));
    let other = rig.connect();
    let kind = SubmitKind::Job { priority: Priority::Normal, background: true };
    let (function, unique, payload) = (bytes("f"), bytes("u"), bytes("p"));
    let request = Request::Submit { kind, function, unique, payload };
    let effects = rig.apply(Event::Request { conn: other, request });
    // Stored before its submitter is told.
    assert!(
        matches!(&effects[..], [Effect::Append(_), Effect::Send { reply: Reply::JobCreated(_), .. }]),
        "{effects:?}"
    );
    rig.close(client);
    rig.close(other);
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker).map(|(number, _)| number), Some(number));
}

#[test]
fn bug_a_64_byte_unique_is_kept_whole_and_coalesces() {
    let mut rig = Rig::new(rules());
    let unique = "u".repeat(64);
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f").unique(&unique));
    assert_eq!(rig.submit(client, Submit::fg("f").unique(&unique)), number);
    let worker = rig.worker(&["f"]);
    let replies = rig.ask(worker, Request::Grab(GrabForm::Unique));
    let assigned = matches!(&replies[..], [(_, Reply::Assign { unique: sent, payload, .. })]
        if sent == unique.as_bytes() && payload == "p");
    assert!(assigned, "{replies:?}");
}

#[test]
fn bug_a_stale_timeout_corrupts_no_counter() {
    let mut rig = Rig::new(rules());
    let worker = rig.connect();
    rig.ask(worker, Request::CanDoTimeout { function: bytes("f"), timeout_ms: 1000 });
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    rig.grab(worker);
    rig.complete(worker, number, "");
    assert_eq!(rig.core.next_deadline(), None, "the timer went with the job");
    rig.pass(2000);
    assert_eq!(rig.command(client, "status"), "f\t0\t0\t1\n.\n");
}

#[test]
fn bug_each_job_of_a_worker_has_its_own_timeout() {
    for compat in [Compat::V1_1, Compat::V2_0] {
        let mut rig = Rig::new(Rules { compat, ..rules() });
        let worker = rig.connect();
        rig.ask(worker, Request::CanDoTimeout { function: bytes("f"), timeout_ms: 1000 });
        let client = rig.connect();
        for _ in 0..2 {
            rig.submit(client, Submit::fg("f"));
        }
        rig.grab(worker);
        rig.pass(600);
        rig.grab(worker);
        rig.pass(400);
        assert_eq!(rig.command(client, "status"), "f\t2\t1\t1\n.\n", "the first is back");
        rig.pass(600);
        assert_eq!(rig.command(client, "status"), "f\t2\t0\t1\n.\n", "and the second");
    }
}

#[test]
fn bug_a_future_job_does_not_block_lower_priorities() {
    let mut rig = Rig::new(Rules { compat: Compat::V1_1, ..rules() });
    let client = rig.connect();
    rig.submit_kind(client, SubmitKind::Epoch { when: 1_000_000 }, "f", "", "later");
    let number = rig.submit(client, Submit::bg("f").at(Priority::Low).payload("now"));
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker), Some((number, "now".to_owned())));
}

#[test]
fn bug_a_sleeping_worker_is_woken_when_a_future_job_is_due_and_not_before() {
    for compat in [Compat::V1_1, Compat::V2_0] {
        let mut rig = Rig::new(Rules { compat, ..rules() });
        let worker = rig.sleeper(&["f"]);
        let client = rig.connect();
        let replies = rig.submit_kind(client, SubmitKind::Epoch { when: 5 }, "f", "", "p");
        assert_eq!(replies, vec![(client, Reply::JobCreated(JobNumber(1)))]);
        assert_eq!(rig.pass(3999), vec![], "at 4.999 s");
        assert_eq!(rig.pass(1), vec![(worker, Reply::Noop)], "at 5 s");
    }
}

#[test]
fn bug_drop_function_leaves_no_job_behind() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    let line = conveyor_common::protocol::text::Command::DropFunction(bytes("F"));
    let replies = rig.replies(Event::Command { conn: client, command: line });
    assert_eq!(
        replies,
        vec![(client, Reply::Fail(JobNumber(number))), (client, Reply::Text(bytes("OK\r\n"))),]
    );
    assert_eq!(rig.command(client, "show jobs"), ".\n");
    assert_eq!(rig.core.job_count(), 0);
}

#[test]
fn bug_a_cancelled_running_job_ends_once_for_its_client() {
    let mut rig = Rig::new(rules());
    let worker = rig.worker(&["f"]);
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    rig.grab(worker);
    let admin = rig.connect();
    let cancel = || conveyor_common::protocol::text::Command::CancelJob(handle(number));
    let replies = rig.replies(Event::Command { conn: admin, command: cancel() });
    assert!(replies.contains(&(client, Reply::Fail(JobNumber(number)))), "{replies:?}");
    assert_eq!(
        rig.complete(worker, number, "late"),
        vec![],
        "no error for the worker, nothing for the client"
    );
}

#[test]
fn bug_a_reduce_job_with_a_long_unique_is_refused_not_cut() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let reduce =
        |reducer: &str| SubmitKind::Reduce { reducer: bytes(reducer), ignored: bytes(""), background: false };
    let long = "u".repeat(65);
    for replies in [
        rig.submit_kind(client, reduce("r"), "f", &long, "p"),
        rig.submit_kind(client, reduce(&long), "f", "u", "p"),
    ] {
        assert!(matches!(&replies[..], [(_, Reply::Error { .. })]), "{replies:?}");
    }
}

#[test]
fn bug_a_handle_prefix_of_62_bytes_gives_different_handles() {
    let prefix = conveyor_common::HandlePrefix::new("x".repeat(62).as_bytes());
    assert_ne!(prefix.write(JobNumber(1)).as_bytes(), prefix.write(JobNumber(2)).as_bytes());
}

//! The small print of what clients, workers and operators may rely on.

use crate::rig::{Rig, Submit, bytes, handle, rules};
use conveyor_common::protocol::{ErrorCode, GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, JobNumber, Priority};
use conveyor_server::core::{
    Change, Durability, Effect, Event, JobStatus, Note, Record, Reply, Rules, StoredJob, Wakeup,
};
use std::num::NonZeroU8;

fn error(code: ErrorCode, text: &'static str) -> Reply {
    Reply::Error { code, text }
}

/// A worker with one job, its client and the job's number.
fn at_work(rig: &mut Rig) -> (ConnId, ConnId, u64) {
    let (worker, client) = (rig.worker(&["f"]), rig.connect());
    let number = rig.submit(client, Submit::fg("f").unique("u"));
    assert!(rig.grab(worker).is_some());
    (worker, client, number)
}

#[test]
fn a_dash_coalesces_with_the_same_payload_only_and_nothing_with_an_empty_unique() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let mut submit = |unique, payload| rig.submit(client, Submit::fg("f").unique(unique).payload(payload));
    assert_eq!([submit("-", "x"), submit("-", "x"), submit("-", "y")], [1, 1, 2]);
    assert_eq!([submit("-", ""), submit("-", "")], [3, 4]);
    assert_eq!([submit("", "x"), submit("", "x")], [5, 6]);
    assert_eq!([submit("A", "x"), submit("a", "x")], [7, 8], "upper and lower case differ");
}

#[test]
fn the_same_unique_of_another_function_is_another_job() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let first = rig.submit(client, Submit::fg("f").unique("u"));
    assert_ne!(rig.submit(client, Submit::fg("g").unique("u")), first);
}

#[test]
fn a_finished_or_cancelled_jobs_unique_is_free_at_once() {
    let mut rig = Rig::new(rules());
    let (worker, client, first) = at_work(&mut rig);
    rig.complete(worker, first, "");
    let second = rig.submit(client, Submit::fg("f").unique("u"));
    assert_ne!(second, first);
    rig.command(client, &format!("cancel job H:t:{second}"));
    assert_ne!(rig.submit(client, Submit::fg("f").unique("u")), second);
}

#[test]
fn status_by_handle_and_by_unique() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f").unique("u"));
    rig.submit(client, Submit::fg("f").unique("u"));
    let ask = |rig: &mut Rig| {
        let by_handle = rig.ask(client, Request::GetStatus { handle: handle(number) });
        let by_unique = rig.ask(client, Request::GetStatusUnique { unique: bytes("u") });
        let [(_, Reply::StatusRes { status, .. })] = &by_handle[..] else { panic!("{by_handle:?}") };
        let [(_, Reply::StatusResUnique { status: same, clients, .. })] = &by_unique[..] else {
            panic!("{by_unique:?}")
        };
        assert_eq!(status, same);
        (*status, *clients)
    };
    let status =
        |known, running, numerator, denominator| JobStatus { known, running, numerator, denominator };
    assert_eq!(ask(&mut rig), (status(true, false, 0, 0), 2));
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    let (numerator, denominator) = (bytes("-1"), bytes("abc"));
    let progress = Request::WorkStatus { handle: handle(number), numerator, denominator };
    assert_eq!(rig.ask(worker, progress).len(), 2, "relayed to both");
    assert_eq!(ask(&mut rig), (status(true, true, u32::MAX, 0), 2), "as atoi reads it");
    rig.close(worker);
    assert_eq!(ask(&mut rig), (status(true, false, 0, 0), 2), "progress is lost with the worker");
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    rig.complete(worker, number, "");
    assert_eq!(ask(&mut rig), (JobStatus::default(), 0));
    for unique in ["", "-"] {
        rig.submit(client, Submit::fg("g").unique(unique));
        let replies = rig.ask(client, Request::GetStatusUnique { unique: bytes(unique) });
        let status = JobStatus::default();
        assert_eq!(replies, [(client, Reply::StatusResUnique { unique: bytes(unique), status, clients: 0 })]);
    }
    let (handle, unique) = (bytes(&"h".repeat(64)), bytes(&"u".repeat(64)));
    assert_eq!(rig.ask(client, Request::GetStatus { handle }), [], "too long to be a handle: no answer");
    assert_eq!(rig.ask(client, Request::GetStatusUnique { unique }), []);
}

#[test]
fn a_denominator_of_more_than_11_bytes_is_dropped_without_a_word() {
    let mut rig = Rig::new(rules());
    let (worker, _, number) = at_work(&mut rig);
    let (numerator, denominator) = (bytes("1"), bytes("123456789012"));
    let progress = Request::WorkStatus { handle: handle(number), numerator, denominator };
    assert_eq!(rig.ask(worker, progress), []);
}

#[test]
fn reports_of_others_are_refused_each_in_its_own_words() {
    let mut rig = Rig::new(rules());
    let (_, _, number) = at_work(&mut rig);
    let other = rig.worker(&["f"]);
    let (handle, payload) = (handle(number), bytes("r"));
    let (part, result) = ("Job does not exist on server", "Job given in work result not found");
    let exception = "An exception was received for a job that does not exist";
    let progress =
        Request::WorkStatus { handle: handle.clone(), numerator: bytes("1"), denominator: bytes("2") };
    for (request, text) in [
        (Request::WorkData { handle: handle.clone(), payload: payload.clone() }, part),
        (Request::WorkWarning { handle: handle.clone(), payload: payload.clone() }, part),
        (progress, result),
        (Request::WorkComplete { handle: handle.clone(), payload: payload.clone() }, result),
        (Request::WorkFail { handle: handle.clone() }, result),
        (Request::WorkException { handle, payload }, exception),
    ] {
        assert_eq!(rig.ask(other, request), [(other, error(ErrorCode::JobNotFound, text))]);
    }
}

#[test]
fn work_fail_is_relayed_byte_for_byte() {
    let mut rig = Rig::new(rules());
    let (worker, client, number) = at_work(&mut rig);
    let argument = bytes(&format!("H:t:{number}\0junk"));
    let told = rig.ask(worker, Request::WorkFail { handle: argument.clone() });
    assert_eq!(told, [(client, Reply::FailAsSent(argument))]);
    let long = Request::WorkFail { handle: bytes(&"h".repeat(64)) };
    let refused = rig.ask(worker, long);
    assert!(matches!(&refused[..], [(_, Reply::Error { code: ErrorCode::ArgumentTooLarge, .. })]));
}

#[test]
fn a_fail_after_an_exception_finds_no_job() {
    let mut rig = Rig::new(Rules { exceptions: true, ..rules() });
    let (worker, client, number) = at_work(&mut rig);
    let told = rig.ask(worker, Request::WorkException { handle: handle(number), payload: bytes("why") });
    assert_eq!(told, [(client, Reply::Exception { job: JobNumber(number), payload: bytes("why") })]);
    let refused = rig.ask(worker, Request::WorkFail { handle: handle(number) });
    assert!(matches!(&refused[..], [(to, Reply::Error { .. })] if *to == worker), "{refused:?}");
}

#[test]
fn a_function_registered_twice_counts_twice_and_goes_at_once() {
    let mut rig = Rig::new(rules());
    let worker = rig.worker(&["f", "g", "f"]);
    assert_eq!(rig.command(worker, "status"), "f\t0\t0\t2\ng\t0\t0\t1\n.\n");
    assert_eq!(rig.command(worker, "workers"), "0  - : f g f\n.\n");
    rig.ask(worker, Request::CantDo { function: bytes("f") });
    assert_eq!(rig.command(worker, "status"), "f\t0\t0\t0\ng\t0\t0\t1\n.\n");
    rig.ask(worker, Request::ResetAbilities);
    assert_eq!(rig.command(worker, "workers"), "0  - :\n.\n");
}

#[test]
fn a_worker_holds_many_jobs_and_one_without_abilities_none() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    for _ in 0..3 {
        rig.submit(client, Submit::bg("f"));
    }
    let (worker, idle) = (rig.worker(&["f"]), rig.connect());
    assert_eq!(rig.ask(idle, Request::Grab(GrabForm::All)), [(idle, Reply::NoJob)]);
    assert_eq!([1, 2, 3].map(|_| rig.grab(worker).unwrap().0), [1, 2, 3]);
    assert_eq!(rig.command(client, "status"), "f\t3\t3\t1\n.\n");
    assert_eq!(rig.command(client, "prioritystatus"), "f\t0\t0\t0\t1\n.\n");
}

#[test]
fn pre_sleep_is_answered_every_time_while_there_is_work() {
    let mut rig = Rig::new(rules());
    let (client, worker) = (rig.connect(), rig.worker(&["f"]));
    rig.submit(client, Submit::bg("f"));
    for _ in 0..3 {
        assert_eq!(rig.ask(worker, Request::PreSleep), [(worker, Reply::Noop)]);
    }
}

#[test]
fn a_wakeup_count_of_one_takes_turns() {
    let mut rig = Rig::new(Rules { wakeup: Wakeup::Count(1), ..rules() });
    let workers = [0; 3].map(|_| rig.sleeper(&["f"]));
    let client = rig.connect();
    let mut woken = Vec::new();
    for _ in 0..6 {
        let kind = SubmitKind::Job { priority: Priority::Normal, background: true };
        let replies = rig.submit_kind(client, kind, "f", "", "p");
        let worker = replies.iter().find(|(_, reply)| *reply == Reply::Noop).unwrap().0;
        let (number, _) = rig.grab(worker).unwrap();
        rig.complete(worker, number, "");
        assert_eq!(rig.ask(worker, Request::PreSleep), []);
        woken.push(worker);
    }
    assert_eq!(woken, [workers, workers].concat());
}

#[test]
fn reports_do_not_start_the_limit_anew() {
    let mut rig = Rig::new(rules());
    let (worker, client) = (rig.connect(), rig.connect());
    rig.ask(worker, Request::CanDoTimeout { function: bytes("f"), timeout_ms: 1500 });
    let number = rig.submit(client, Submit::fg("f"));
    rig.grab(worker);
    rig.pass(1499);
    rig.ask(worker, Request::WorkData { handle: handle(number), payload: bytes("d") });
    let effects = {
        rig.now = rig.now.plus(1);
        rig.apply(Event::Tick)
    };
    assert!(effects.contains(&Effect::Note(Note::JobTimedOut { job: JobNumber(number), conn: worker })));
}

#[test]
fn a_job_dropped_after_its_last_try_leaves_the_store_and_the_log_says_so() {
    let mut rig = Rig::new(Rules { max_losses: NonZeroU8::new(1), ..rules() });
    let (worker, client) = (rig.worker(&["f"]), rig.connect());
    let number = JobNumber(rig.submit(client, Submit::bg("f").unique("u")));
    rig.grab(worker);
    let effects = rig.apply(Event::Closed { conn: worker });
    let end = Change::Removed { number, priority: Priority::Normal, function: bytes("f"), unique: true };
    assert!(effects.contains(&Effect::Append(end)), "{effects:?}");
    assert!(effects.contains(&Effect::Note(Note::JobDropped { job: number, unique: bytes("u") })));
    assert_eq!(rig.core.job_count(), 0);
}

#[test]
fn an_abandoned_running_job_ends_in_silence_and_is_not_run_again() {
    let mut rig = Rig::new(rules());
    let (worker, client, number) = at_work(&mut rig);
    rig.close(client);
    assert_eq!(rig.complete(worker, number, "r"), [], "no error");
    let (worker, client, _) = at_work(&mut rig);
    rig.close(client);
    rig.close(worker);
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker), None);
    assert_eq!(rig.core.job_count(), 0);
}

#[test]
fn a_start_time_in_the_past_is_now_and_one_that_joins_does_not_matter() {
    let mut rig = Rig::new(rules());
    let (worker, client) = (rig.sleeper(&["f"]), rig.connect());
    let replies = rig.submit_kind(client, SubmitKind::Epoch { when: -7 }, "f", "u", "p");
    assert!(replies.contains(&(worker, Reply::Noop)), "{replies:?}");
    rig.submit_kind(client, SubmitKind::Epoch { when: 1_000_000 }, "f", "u", "p");
    assert_eq!(rig.grab(worker), Some((1, "p".to_owned())));
}

#[test]
fn start_times_follow_the_wall_clock_when_somebody_sets_it() {
    let mut rig = Rig::new(rules());
    let (worker, client) = (rig.sleeper(&["f"]), rig.connect());
    rig.submit_kind(client, SubmitKind::Epoch { when: 5000 }, "f", "", "p");
    assert_eq!(rig.replies(Event::WallClock { offset_ms: 4_998_999 }), []);
    assert_eq!(rig.pass(0), [], "one millisecond to go");
    assert_eq!(rig.replies(Event::WallClock { offset_ms: 4_999_000 }), [(worker, Reply::Noop)]);
}

#[test]
fn cancel_is_for_every_job_and_once_for_its_clients() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    let line = format!("cancel job H:t:{number}");
    let cancel = |rig: &mut Rig| {
        let command = conveyor_common::protocol::text::Command::parse(&bytes(&line)).unwrap();
        rig.replies(Event::Command { conn: client, command })
    };
    let ok = (client, Reply::Text(bytes("OK\r\n")));
    assert_eq!(cancel(&mut rig), [(client, Reply::Fail(JobNumber(number))), ok.clone()]);
    assert_eq!(rig.command(client, "show jobs"), format!("H:t:{number}\t0\t1\t0\n.\n"));
    assert_eq!(cancel(&mut rig), [ok], "still listed, and nobody is told twice");
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.grab(worker), None);
    assert_eq!(rig.command(client, &line), "ERR UNKNOWN_JOB\r\n");
}

#[test]
fn a_function_with_workers_or_running_jobs_is_not_dropped() {
    let mut rig = Rig::new(rules());
    let (worker, _, number) = at_work(&mut rig);
    let refusal = "ERR there are still connected workers or executing clients\r\n";
    assert_eq!(rig.command(worker, "drop function f"), refusal);
    rig.complete(worker, number, "");
    assert_eq!(rig.command(worker, "drop function f"), refusal);
    rig.ask(worker, Request::ResetAbilities);
    assert_eq!(rig.command(worker, "drop function f"), "OK\r\n");
    assert_eq!(rig.command(worker, "drop function f"), "ERR function not found\r\n");
}

#[test]
fn no_number_is_given_out_twice_whatever_was_lost() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let kind = SubmitKind::Job { priority: Priority::Normal, background: false };
    let (function, unique, payload) = (bytes("f"), bytes(""), bytes("p"));
    let request = Request::Submit { kind, function, unique, payload };
    let effects = rig.apply(Event::Request { conn: client, request });
    let mut after = Rig::new(rules());
    for effect in effects {
        if let Effect::Append(change) = effect {
            after.core.restore(change);
        }
    }
    let client = after.connect();
    assert!(after.submit(client, Submit::bg("f")) > 1, "not even that of a foreground job");
}

/// A job of an earlier process.
fn stored(number: u64) -> StoredJob {
    let record = Record {
        number: JobNumber(number),
        order: number,
        function: bytes("f"),
        unique: bytes(""),
        priority: Priority::Normal,
        reducer: None,
        when: 0,
        retries: 0,
        payload: bytes("x"),
    };
    StoredJob { record, spilled: false }
}

#[test]
fn readiness_tells_how_far_the_store_is() {
    let mut rig = Rig::new(Rules { durability: Durability::Sync, ..rules() });
    let client = rig.connect();
    assert_eq!(rig.command(client, "readiness"), "OK ready\n");
    rig.apply(Event::Loading { unread: Vec::new() });
    assert_eq!(rig.command(client, "readiness"), "OK loading 0\n");
    let next = Some(Priority::Normal);
    rig.apply(Event::Loaded { jobs: vec![stored(1), stored(2)], next });
    rig.apply(Event::Loaded { jobs: vec![stored(3)], next });
    assert_eq!(rig.command(client, "readiness"), "OK loading 3\n");
    rig.apply(Event::Loaded { jobs: Vec::new(), next: None });
    assert_eq!(rig.command(client, "readiness"), "OK ready\n");
    rig.apply(Event::StoreAway { away: true });
    let away = "ERR STORE_AWAY background+jobs+are+refused+until+it+is+back\n";
    assert_eq!(rig.command(client, "readiness"), away);
    rig.apply(Event::StoreAway { away: false });
    assert_eq!(rig.command(client, "readiness"), "OK ready\n");
    rig.apply(Event::StoreFailed);
    assert_eq!(rig.command(client, "readiness"), "ERR STORE_FAILED background+jobs+are+refused\n");
}

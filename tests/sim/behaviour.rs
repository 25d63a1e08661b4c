//! What clients and workers may rely on, scenario by scenario, in gearmand's words.

use crate::rig::{Rig, Submit, bytes, handle, rules};
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{JobNumber, Priority};
use conveyor_server::core::{Compat, Effect, Event, Reply, Rules};
use std::num::NonZeroU8;

/// Payloads in the order in which one worker for `functions` gets them.
fn drain(rig: &mut Rig, functions: &[&str]) -> Vec<String> {
    let worker = rig.worker(functions);
    let mut payloads = Vec::new();
    while let Some((number, payload)) = rig.grab(worker) {
        rig.complete(worker, number, "");
        payloads.push(payload);
    }
    payloads
}

fn three_functions(rules: Rules) -> Vec<String> {
    let mut rig = Rig::new(rules);
    let client = rig.connect();
    for number in 0..2 {
        for function in ["a", "b", "c"] {
            let payload = format!("{function}{number}");
            rig.submit(client, Submit::bg(function).payload(&payload));
        }
    }
    drain(&mut rig, &["a", "b", "c"])
}

#[test]
fn version_1_1_drains_the_newest_registration_first() {
    let order = three_functions(Rules { compat: Compat::V1_1, ..rules() });
    assert_eq!(order, ["c0", "c1", "b0", "b1", "a0", "a1"]);
}

#[test]
fn round_robin_takes_turns() {
    let turns = ["c0", "b0", "a0", "c1", "b1", "a1"];
    assert_eq!(three_functions(Rules { compat: Compat::V1_1, round_robin: true, ..rules() }), turns);
    assert_eq!(three_functions(rules()), turns);
}

#[test]
fn priority_crosses_functions_in_2_0_only() {
    for (compat, order) in [(Compat::V2_0, ["a-high", "b-low"]), (Compat::V1_1, ["b-low", "a-high"])] {
        let mut rig = Rig::new(Rules { compat, ..rules() });
        let client = rig.connect();
        rig.submit(client, Submit::bg("b").at(Priority::Low).payload("b-low"));
        rig.submit(client, Submit::bg("a").at(Priority::High).payload("a-high"));
        assert_eq!(drain(&mut rig, &["a", "b"]), order);
    }
}

#[test]
fn priorities_are_served_in_order_and_each_first_in_first_out() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    for (priority, payload) in [
        (Priority::Low, "l0"),
        (Priority::Normal, "n0"),
        (Priority::High, "h0"),
        (Priority::Normal, "n1"),
        (Priority::High, "h1"),
    ] {
        rig.submit(client, Submit::bg("f").at(priority).payload(payload));
    }
    assert_eq!(drain(&mut rig, &["f"]), ["h0", "h1", "n0", "n1", "l0"]);
}

#[test]
fn a_due_job_stands_where_it_was_submitted() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    rig.submit(client, Submit::bg("f").payload("first"));
    rig.submit_kind(client, SubmitKind::Epoch { when: 3 }, "f", "", "second");
    rig.submit(client, Submit::bg("f").payload("third"));
    rig.pass(2500);
    assert_eq!(drain(&mut rig, &["f"]), ["first", "second", "third"]);
}

#[test]
fn the_job_of_a_lost_worker_goes_to_the_tail_of_its_queue() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    for payload in ["one", "two", "three"] {
        rig.submit(client, Submit::bg("f").payload(payload));
    }
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    rig.grab(worker);
    rig.close(worker);
    // Of two jobs the one grabbed last comes back first.
    assert_eq!(drain(&mut rig, &["f"]), ["three", "two", "one"]);
}

#[test]
fn a_job_lost_too_often_fails_for_its_client() {
    let mut rig = Rig::new(Rules { max_losses: NonZeroU8::new(2), ..rules() });
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    let told: Vec<_> = (0..2)
        .map(|_| {
            let worker = rig.worker(&["f"]);
            assert!(rig.grab(worker).is_some());
            rig.close(worker)
        })
        .collect();
    assert_eq!(told, [vec![], vec![(client, Reply::Fail(JobNumber(number)))]]);
    assert_eq!(rig.core.job_count(), 0);
}

#[test]
fn a_running_job_of_an_ability_given_up_is_lost() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    rig.ask(worker, Request::CantDo { function: bytes("f") });
    let refused = rig.complete(worker, number, "late");
    assert!(matches!(&refused[..], [(to, Reply::Error { .. })] if *to == worker), "{refused:?}");
    assert_eq!(drain(&mut rig, &["f"]).len(), 1);
}

#[test]
fn a_job_over_its_limit_goes_back_and_late_reports_are_refused() {
    let mut rig = Rig::new(rules());
    let worker = rig.connect();
    rig.ask(worker, Request::CanDoTimeout { function: bytes("f"), timeout_ms: 1 });
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    rig.grab(worker);
    assert_eq!(rig.pass(999), vec![], "less than a second is raised to one");
    rig.pass(1);
    assert_eq!(rig.command(client, "show jobs"), format!("H:t:{number}\t1\t0\t0\n.\n"));
    assert!(matches!(&rig.complete(worker, number, "")[..], [(_, Reply::Error { .. })]));
}

#[test]
fn a_client_attached_twice_hears_everything_twice() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f").unique("u"));
    assert_eq!(rig.submit(client, Submit::fg("f").unique("u")), number);
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    let data = Request::WorkData { handle: handle(number), payload: bytes("d") };
    assert_eq!(rig.ask(worker, data).len(), 2);
    assert_eq!(rig.complete(worker, number, "r").len(), 2);
}

#[test]
fn exceptions_reach_those_who_asked_and_are_failures_for_the_rest() {
    let mut rig = Rig::new(rules());
    let (asked, plain) = (rig.connect(), rig.connect());
    rig.ask(asked, Request::Option { option: bytes("EXCEPTIONS") });
    let number = JobNumber(rig.submit(asked, Submit::fg("f").unique("u")));
    rig.submit(plain, Submit::fg("f").unique("u"));
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    let exception = Request::WorkException { handle: handle(number.0), payload: bytes("why") };
    let told = rig.ask(worker, exception);
    let expected = vec![
        (asked, Reply::Exception { job: number, payload: bytes("why") }),
        (plain, Reply::FailTerminated(number)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_queue_limit_counts_every_job_and_lets_duplicates_in() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let first = rig.submit(client, Submit::bg("f").unique("u"));
    assert_eq!(rig.command(client, "maxqueue f 1"), "OK\r\n");
    let kind = || SubmitKind::Job { priority: Priority::High, background: true };
    let full = rig.submit_kind(client, kind(), "f", "other", "p");
    assert!(matches!(&full[..], [(_, Reply::Error { text: "Job queue is full", .. })]), "{full:?}");
    assert_eq!(rig.submit(client, Submit::bg("f").unique("u")), first);
    rig.command(client, "maxqueue f 0");
    assert_eq!(rig.submit(client, Submit::bg("f").unique("other")), first + 1, "no number was lost");
}

#[test]
fn an_abandoned_job_is_listed_until_somebody_looks() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let number = rig.submit(client, Submit::fg("f"));
    rig.close(client);
    let admin = rig.connect();
    assert_eq!(rig.command(admin, "show jobs"), format!("H:t:{number}\t0\t1\t0\n.\n"));
    let worker = rig.worker(&["f"]);
    assert_eq!(rig.ask(worker, Request::PreSleep), vec![]);
    assert_eq!(rig.command(admin, "show jobs"), ".\n");
}

#[test]
fn abandoned_jobs_do_not_pile_up_where_nobody_looks() {
    let mut rig = Rig::new(rules());
    let admin = rig.connect();
    let mut most = 0;
    for _ in 0..12 {
        let client = rig.connect();
        for _ in 0..1000 {
            let kind = SubmitKind::Job { priority: Priority::Normal, background: false };
            let (function, unique, payload) = (bytes("f"), bytes(""), bytes("p"));
            let request = Request::Submit { kind, function, unique, payload };
            let mut fx = conveyor_server::core::Effects::default();
            let event = conveyor_server::core::Event::Request { conn: client, request };
            rig.core.handle(rig.now, event, &mut fx);
        }
        rig.close(client);
        most = most.max(rig.core.job_count());
    }
    assert!(most <= 11_001, "{most} jobs that nobody wants");
    assert!(rig.command(admin, "status").starts_with("f\t"));
}

#[test]
fn grab_forms_tell_what_they_were_asked_for() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let reduce = || SubmitKind::Reduce { reducer: bytes("r"), ignored: bytes(""), background: true };
    let worker = rig.worker(&["f"]);
    let form_of = |rig: &mut Rig, form| match &rig.ask(worker, Request::Grab(form))[..] {
        [(_, Reply::Assign { form, .. })] => *form,
        other => panic!("{other:?}"),
    };
    for _ in 0..3 {
        rig.submit_kind(client, reduce(), "f", "", "p");
    }
    rig.submit(client, Submit::bg("f"));
    assert_eq!(form_of(&mut rig, GrabForm::Plain), GrabForm::Plain);
    assert_eq!(form_of(&mut rig, GrabForm::Unique), GrabForm::Unique);
    assert_eq!(form_of(&mut rig, GrabForm::All), GrabForm::All);
    assert_eq!(form_of(&mut rig, GrabForm::All), GrabForm::Unique, "a job without a reducer");
}

#[test]
fn after_a_restart_a_status_by_unique_still_means_the_newest_job() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let mut log = Vec::new();
    let mut submit = |rig: &mut Rig, function: &str| {
        let kind = SubmitKind::Job { priority: Priority::Normal, background: true };
        let (function, unique, payload) = (bytes(function), bytes("u"), bytes("p"));
        let request = Request::Submit { kind, function, unique, payload };
        log.extend(rig.apply(Event::Request { conn: client, request }));
    };
    submit(&mut rig, "f");
    submit(&mut rig, "g");
    let worker = rig.worker(&["f"]);
    rig.grab(worker);
    log.extend(rig.apply(Event::Closed { conn: worker }));

    let mut after = Rig::new(rules());
    for effect in log {
        if let Effect::Append(change) = effect {
            after.core.restore(change);
        }
    }
    let worker = after.worker(&["g"]);
    assert!(after.grab(worker).is_some());
    let replies = after.ask(worker, Request::GetStatusUnique { unique: bytes("u") });
    let running = matches!(&replies[..], [(_, Reply::StatusResUnique { status, .. })] if status.running);
    assert!(running, "g's job is the newer one: {replies:?}");
}

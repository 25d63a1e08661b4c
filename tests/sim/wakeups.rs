//! No wake-up is lost and no herd is woken.

use crate::rig::{Rig, Submit, bytes, rules};
use conveyor_common::ConnId;
use conveyor_common::protocol::{Request, SubmitKind};
use conveyor_server::core::{NOOP_PATIENCE_MS, Reply, Rules, Wakeup};

fn noops(replies: &[(ConnId, Reply)]) -> Vec<ConnId> {
    replies.iter().filter(|(_, reply)| *reply == Reply::Noop).map(|(conn, _)| *conn).collect()
}

fn submit(rig: &mut Rig, client: ConnId, function: &str) -> Vec<ConnId> {
    let kind = SubmitKind::Job { priority: conveyor_common::Priority::Normal, background: true };
    noops(&rig.submit_kind(client, kind, function, "", "p"))
}

#[test]
fn one_job_wakes_one_of_a_thousand_sleepers() {
    let mut rig = Rig::new(rules());
    let sleepers: Vec<ConnId> = (0..1000).map(|_| rig.sleeper(&["f"])).collect();
    let client = rig.connect();
    assert_eq!(submit(&mut rig, client, "f"), vec![sleepers[0]]);
    assert_eq!(submit(&mut rig, client, "f"), vec![sleepers[1]]);
}

#[test]
fn explicit_counts_wake_that_many_and_take_turns() {
    let count = |wakeup| {
        let mut rig = Rig::new(Rules { wakeup, ..rules() });
        let sleepers: Vec<ConnId> = (0..5).map(|_| rig.sleeper(&["f"])).collect();
        let client = rig.connect();
        let woken = submit(&mut rig, client, "f");
        assert_eq!(woken, sleepers[..woken.len()]);
        woken.len()
    };
    assert_eq!((count(Wakeup::All), count(Wakeup::Count(1)), count(Wakeup::Count(3))), (5, 1, 3));
}

#[test]
fn an_unanswered_noop_wakes_two_four_eight_more() {
    let mut rig = Rig::new(rules());
    for _ in 0..100 {
        rig.sleeper(&["f"]);
    }
    let client = rig.connect();
    assert_eq!(submit(&mut rig, client, "f").len(), 1);
    assert_eq!(noops(&rig.pass(NOOP_PATIENCE_MS - 1)).len(), 0);
    let mut steps = vec![noops(&rig.pass(1)).len()];
    for _ in 0..5 {
        steps.push(noops(&rig.pass(NOOP_PATIENCE_MS)).len());
    }
    assert_eq!(steps, [2, 4, 8, 16, 32, 37]);
}

#[test]
fn with_all_but_one_sleeper_frozen_no_job_waits_a_second() {
    let mut rig = Rig::new(rules());
    for _ in 0..999 {
        rig.sleeper(&["f"]);
    }
    let alive = rig.sleeper(&["f"]);
    let client = rig.connect();
    for _ in 0..20 {
        let start = rig.now;
        let mut woken = submit(&mut rig, client, "f");
        while !woken.contains(&alive) {
            assert!(rig.now.since(start) < 1000, "the job still waits");
            let due = rig.core.next_deadline().expect("an unanswered NOOP has a deadline");
            let ms = due.since(rig.now);
            woken = noops(&rig.pass(ms));
        }
        let (job, _) = rig.grab(alive).expect("there is a job");
        rig.complete(alive, job, "");
        assert_eq!(rig.grab(alive), None);
        assert_eq!(rig.ask(alive, Request::PreSleep), vec![]);
    }
}

#[test]
fn a_worker_that_takes_another_functions_job_is_not_counted_on() {
    let mut rig = Rig::new(Rules { compat: conveyor_server::core::Compat::V1_1, ..rules() });
    let both = rig.sleeper(&["f", "g"]);
    let other = rig.sleeper(&["f"]);
    let client = rig.connect();
    assert_eq!(submit(&mut rig, client, "f"), vec![both]);
    assert_eq!(submit(&mut rig, client, "g"), vec![], "only `both` can do g, and it is coming");
    // 1.1 takes the newest registration first: g. Somebody else has to be woken for f.
    let replies = rig.ask(both, Request::Grab(conveyor_common::protocol::GrabForm::Plain));
    assert_eq!(noops(&replies), vec![other]);
}

#[test]
fn a_lost_woken_worker_is_replaced_at_once() {
    let mut rig = Rig::new(rules());
    let (first, second) = (rig.sleeper(&["f"]), rig.sleeper(&["f"]));
    let client = rig.connect();
    assert_eq!(submit(&mut rig, client, "f"), vec![first]);
    assert_eq!(noops(&rig.close(first)), vec![second]);
}

#[test]
fn can_do_while_asleep_wakes_for_what_already_waits() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    rig.submit(client, Submit::bg("g"));
    let sleeper = rig.sleeper(&["f"]);
    assert_eq!(noops(&rig.ask(sleeper, Request::CanDo { function: bytes("g") })), vec![sleeper]);
}

#[test]
fn bug_a_worker_that_answers_noop_with_pre_sleep_is_woken_again() {
    let mut rig = Rig::new(rules());
    let sleeper = rig.sleeper(&["f"]);
    let client = rig.connect();
    assert_eq!(submit(&mut rig, client, "f"), vec![sleeper]);
    assert_eq!(noops(&rig.ask(sleeper, Request::PreSleep)), vec![sleeper]);
    let taker = rig.worker(&["f"]);
    assert!(rig.grab(taker).is_some());
    assert_eq!(rig.ask(sleeper, Request::PreSleep), vec![]);
    assert_eq!(submit(&mut rig, client, "f"), vec![sleeper]);
}

#[test]
fn a_coalesced_submission_wakes_nobody() {
    let mut rig = Rig::new(rules());
    for _ in 0..3 {
        rig.sleeper(&["f"]);
    }
    let client = rig.connect();
    let kind = || SubmitKind::Job { priority: conveyor_common::Priority::Normal, background: true };
    assert_eq!(noops(&rig.submit_kind(client, kind(), "f", "u", "p")).len(), 1);
    assert_eq!(noops(&rig.submit_kind(client, kind(), "f", "u", "p")).len(), 0);
}

#[test]
fn unanswered_noops_under_a_backlog_that_never_ends_do_not_add_up() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    let alive = rig.worker(&["f"]);
    for _ in 0..3 {
        rig.submit(client, Submit::bg("f"));
    }
    // Workers that die between PRE_SLEEP and GRAB, one after the other, while somebody works all the time.
    for _ in 0..100 {
        rig.submit(client, Submit::bg("f"));
        let dead = rig.worker(&["f"]);
        assert_eq!(noops(&rig.ask(dead, Request::PreSleep)), vec![dead]);
        rig.pass(NOOP_PATIENCE_MS);
        assert_eq!(noops(&rig.ask(alive, Request::PreSleep)), vec![alive]);
        assert!(rig.grab(alive).is_some());
        rig.close(dead);
    }
    for _ in 0..2 {
        rig.grab(alive).expect("a job");
    }
    // One more of them is no reason to wake everybody.
    let dead = rig.worker(&["f"]);
    assert_eq!(noops(&rig.ask(dead, Request::PreSleep)), vec![dead]);
    let sleeper = |rig: &mut Rig| {
        let conn = rig.worker(&["other"]);
        rig.ask(conn, Request::PreSleep);
        assert_eq!(noops(&rig.ask(conn, Request::CanDo { function: bytes("f") })), vec![]);
    };
    (0..50).for_each(|_| sleeper(&mut rig));
    assert_eq!(noops(&rig.pass(NOOP_PATIENCE_MS)).len(), 2);
}

#[test]
fn patience_ends_even_when_nobody_else_works_for_a_very_long_time() {
    let mut rig = Rig::new(rules());
    let client = rig.connect();
    rig.submit(client, Submit::bg("f"));
    for _ in 0..200 {
        let dead = rig.worker(&["f"]);
        assert_eq!(noops(&rig.ask(dead, Request::PreSleep)), vec![dead]);
        rig.pass(NOOP_PATIENCE_MS);
    }
}

#[test]
fn a_woken_worker_that_only_changes_its_abilities_gets_no_more_patience() {
    let mut rig = Rig::new(rules());
    let (fickle, other) = (rig.sleeper(&["f"]), rig.sleeper(&["f"]));
    let client = rig.connect();
    let start = rig.now;
    let mut woken = submit(&mut rig, client, "f");
    assert_eq!(woken, vec![fickle]);
    while !woken.contains(&other) {
        assert!(rig.now.since(start) <= NOOP_PATIENCE_MS, "the job still waits for `fickle`");
        woken = noops(&rig.ask(fickle, Request::CanDo { function: bytes("g") }));
        woken.extend(noops(&rig.pass(NOOP_PATIENCE_MS / 2)));
    }
}

#[test]
fn a_connection_that_is_gone_is_not_answered() {
    let mut rig = Rig::new(rules());
    let gone = rig.connect();
    rig.close(gone);
    for request in [Request::PreSleep, Request::Grab(conveyor_common::protocol::GrabForm::Plain)] {
        assert_eq!(rig.ask(gone, request), vec![]);
    }
    let kind = SubmitKind::Job { priority: conveyor_common::Priority::Normal, background: false };
    assert_eq!(rig.submit_kind(gone, kind, "f", "u", "p"), vec![]);
    assert_eq!(rig.core.job_count(), 0, "a foreground job whose client is gone before it came");
}

#[test]
fn workers_that_die_of_every_noop_keep_no_job_from_the_one_that_sleeps() {
    let mut rig = Rig::new(rules());
    let mut crashing: Vec<ConnId> = (0..2).map(|_| rig.sleeper(&["f"])).collect();
    let good = rig.sleeper(&["f"]);
    let client = rig.connect();
    let start = rig.now;
    let mut woken = submit(&mut rig, client, "f");
    // There is always one of them that seems to be on its way.
    while !woken.contains(&good) {
        assert!(rig.now.since(start) < 100, "the job still waits");
        for worker in &mut crashing {
            woken.extend(noops(&rig.pass(5)));
            woken.extend(noops(&rig.close(*worker)));
            *worker = rig.worker(&["f"]);
            woken.extend(noops(&rig.ask(*worker, Request::PreSleep)));
        }
    }
}

#[test]
fn whoever_answers_a_noop_with_pre_sleep_is_told_again_but_not_counted_on() {
    let mut rig = Rig::new(rules());
    let (dozing, other) = (rig.sleeper(&["f"]), rig.sleeper(&["f"]));
    let client = rig.connect();
    assert_eq!(submit(&mut rig, client, "f"), vec![dozing]);
    assert_eq!(noops(&rig.ask(dozing, Request::PreSleep)), vec![dozing, other]);
}

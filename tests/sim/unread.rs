//! The rules for jobs that are still to be read from the store, one by one.

use crate::committing::{Stored, created, held, told};
use crate::rig::{Submit, bytes, handle};
use bytes::Bytes;
use conveyor_common::protocol::Request;
use conveyor_common::protocol::text::Command;
use conveyor_common::{ConnId, JobNumber, Priority};
use conveyor_server::core::{Change, Effect, Event, Record, Reply, Row, StoredJob, Unread};

fn record(number: u64, priority: Priority, unique: &str, payload: &str) -> Record {
    Record {
        number: JobNumber(number),
        order: number,
        function: bytes("f"),
        unique: bytes(unique),
        priority,
        reducer: None,
        when: 0,
        retries: 0,
        payload: bytes(payload),
    }
}

fn loaded(records: Vec<Record>, next: Option<Priority>) -> Event {
    let jobs = records.into_iter().map(|record| StoredJob { record, spilled: false }).collect();
    Event::Loaded { jobs, next }
}

/// How many these are.
fn counted(records: &[Record]) -> Unread {
    let mut unread = Unread { function: bytes("f"), ..Unread::default() };
    for record in records {
        unread.counts.of_mut(record.priority).add(&record.unique);
    }
    unread
}

/// A server that is told how many jobs of `f` there are.
fn started(unread: Unread) -> Stored {
    let mut stored = Stored::new();
    stored.rig.core.restore(Change::NumbersReserved { through: JobNumber(100), orders: 100 });
    stored.apply(Event::Loading { unread: vec![unread] });
    stored
}

/// A server whose store has these jobs.
fn restarted(records: &[Record]) -> Stored {
    started(counted(records))
}

fn normal(number: u64, unique: &str) -> Record {
    record(number, Priority::Normal, unique, "old")
}

/// Where the job of a record is.
fn row(record: &Record) -> Option<Row> {
    let (priority, function) = (record.priority, record.function.clone());
    Some(Row { priority, function, unique: !record.unique.is_empty() })
}

fn line(stored: &mut Stored, conn: ConnId, line: &str) -> Vec<Effect> {
    let command = Command::parse(&bytes(line)).unwrap();
    stored.apply(Event::Command { conn, command })
}

fn text(effects: &[Effect], conn: ConnId) -> String {
    match &told(effects, conn)[..] {
        [Reply::Text(text)] => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn status(stored: &mut Stored, conn: ConnId) -> String {
    let effects = line(stored, conn, "status");
    text(&effects, conn)
}

fn resumes(effects: &[Effect], conn: ConnId) -> bool {
    effects.contains(&Effect::Resume { conn })
}

#[test]
fn what_is_submitted_while_older_jobs_are_read_queues_behind_those_of_its_priority() {
    let mut stored = restarted(&[record(7, Priority::High, "", "h"), record(3, Priority::Normal, "", "n")]);
    let (worker, client) = (stored.worker("f"), stored.client());
    // A function the store knows nothing of is not concerned.
    stored.submit(client, Submit::fg("g"));
    let normal = stored.submit(client, Submit::fg("f").payload("new"));
    assert!(held(&normal) <= 1);
    let effects = stored.grab(worker);
    assert_eq!(told(&effects, worker), [Reply::NoJob], "older jobs are still to come");
    stored.apply(loaded(vec![record(7, Priority::High, "", "h")], Some(Priority::High)));
    let first = stored.grab(worker);
    assert!(matches!(&told(&first, worker)[..], [Reply::Assign { payload, .. }] if payload == "h"));
    stored.apply(loaded(vec![record(3, Priority::Normal, "", "n")], Some(Priority::Low)));
    let order: Vec<Bytes> = (0..2)
        .flat_map(|_| {
            let effects = stored.grab(worker);
            told(&effects, worker)
        })
        .filter_map(|reply| match reply {
            Reply::Assign { payload, .. } => Some(payload),
            _ => None,
        })
        .collect();
    assert_eq!(order, [bytes("n"), bytes("new")]);
}

#[test]
fn jobs_are_counted_before_they_are_read() {
    let records = [record(5, Priority::High, "", "h"), normal(3, "u"), normal(4, "")];
    let mut stored = restarted(&records);
    let client = stored.client();
    assert_eq!(status(&mut stored, client), "f\t3\t0\t0\n.\n");
    let effects = line(&mut stored, client, "prioritystatus");
    assert_eq!(text(&effects, client), "f\t1\t2\t0\t0\n.\n");
    stored.apply(loaded(records[..2].to_vec(), Some(Priority::Normal)));
    stored.submit(client, Submit::bg("f"));
    assert_eq!(status(&mut stored, client), "f\t4\t0\t0\n.\n");
    stored.apply(loaded(records[2..].to_vec(), None));
    assert_eq!(status(&mut stored, client), "f\t4\t0\t0\n.\n");
}

#[test]
fn the_limit_of_a_queue_counts_jobs_that_are_not_read_yet() {
    let mut stored = restarted(&[normal(1, ""), normal(2, "")]);
    let client = stored.client();
    line(&mut stored, client, "maxqueue f 3");
    stored.submit(client, Submit::bg("f"));
    let effects = stored.submit(client, Submit::bg("f"));
    assert!(matches!(told(&effects, client)[..], [Reply::Error { text: "Job queue is full", .. }]));
}

#[test]
fn a_submission_with_a_unique_waits_until_the_last_unique_of_its_function_is_read() {
    let records = [normal(1, "u"), normal(2, ""), record(3, Priority::Low, "", "old")];
    let mut stored = restarted(&records);
    let (client, other) = (stored.client(), stored.client());
    let asked = stored.submit(client, Submit::bg("f").unique("u"));
    assert_eq!(asked, [Effect::Pause { conn: client }]);
    // Without one, or to another function, nobody waits for more than the commit.
    assert_eq!(held(&stored.submit(other, Submit::bg("f"))), 1);
    assert_eq!(held(&stored.submit(other, Submit::bg("g").unique("u"))), 1);
    let effects = stored.apply(loaded(records[..1].to_vec(), Some(Priority::Normal)));
    // It is the job that was there all along, under the handle of its former life.
    assert!(resumes(&effects, client));
    assert_eq!(told(&effects, client), [created(1)]);
    // The rest is still to be read.
    let effects = stored.submit(client, Submit::bg("f").unique("new"));
    assert_eq!((held(&effects), effects.contains(&Effect::Pause { conn: client })), (1, false));
    let effects = stored.commit();
    // New handles are beyond all that was ever reserved.
    assert_eq!(told(&effects, client), [created(103)]);
}

#[test]
fn a_function_whose_jobs_are_all_read_waits_for_no_other() {
    let mut stored = restarted(&[normal(1, "")]);
    let (worker, client) = (stored.worker("f"), stored.client());
    let old = normal(1, "");
    stored.submit(client, Submit::fg("f").payload("new"));
    stored.apply(loaded(vec![old], Some(Priority::Normal)));
    for payload in ["old", "new"] {
        let effects = stored.grab(worker);
        assert!(
            matches!(&told(&effects, worker)[..], [Reply::Assign { payload: got, .. }] if got == payload)
        );
    }
}

#[test]
fn the_state_of_a_job_that_is_not_read_yet_is_looked_up() {
    let mut stored = restarted(&[normal(9, "u")]);
    let (client, other) = (stored.client(), stored.client());
    let asked = stored.ask(client, Request::GetStatus { handle: handle(9) });
    assert_eq!(asked, [Effect::Find { number: JobNumber(9) }, Effect::Pause { conn: client }]);
    // One question for both of them.
    let asked = stored.ask(other, Request::GetStatus { handle: handle(9) });
    assert_eq!(asked, [Effect::Pause { conn: other }]);
    let effects = stored.apply(Event::Found { number: JobNumber(9), row: row(&normal(9, "u")) });
    for conn in [client, other] {
        let known = matches!(&told(&effects, conn)[..], [Reply::StatusRes { status, .. }] if status.known && !status.running);
        assert!(known && resumes(&effects, conn), "{effects:?}");
    }
    // No earlier process gave this one out.
    let effects = stored.ask(client, Request::GetStatus { handle: handle(101) });
    assert!(matches!(&told(&effects, client)[..], [Reply::StatusRes { status, .. }] if !status.known));
    stored.ask(client, Request::GetStatus { handle: handle(8) });
    let effects = stored.apply(Event::Found { number: JobNumber(8), row: None });
    assert!(matches!(&told(&effects, client)[..], [Reply::StatusRes { status, .. }] if !status.known));
}

#[test]
fn a_question_by_unique_waits_for_the_last_unique() {
    let mut stored = restarted(&[normal(9, "u"), record(10, Priority::Low, "", "")]);
    let client = stored.client();
    let asked = stored.ask(client, Request::GetStatusUnique { unique: bytes("u") });
    assert_eq!(asked, [Effect::Pause { conn: client }]);
    let effects = stored.apply(loaded(vec![normal(9, "u")], Some(Priority::Normal)));
    assert!(matches!(&told(&effects, client)[..], [Reply::StatusResUnique { status, .. }] if status.known));
}

#[test]
fn the_cancelling_of_a_job_in_flight_wins() {
    let mut stored = restarted(&[normal(9, "u")]);
    let (worker, client) = (stored.worker("f"), stored.client());
    let waiting = stored.client();
    stored.submit(waiting, Submit::bg("f").unique("v"));
    line(&mut stored, client, "cancel job H:t:9");
    let effects = stored.apply(Event::Found { number: JobNumber(9), row: row(&normal(9, "u")) });
    assert_eq!(text(&effects, client), "OK\r\n");
    let end = Change::Removed {
        number: JobNumber(9),
        priority: Priority::Normal,
        function: bytes("f"),
        unique: true,
    };
    assert!(effects.contains(&Effect::Append(end)));
    // Nothing is left that the other one could be.
    assert!(resumes(&effects, waiting));
    assert_eq!(status(&mut stored, client), "f\t1\t0\t1\n.\n");
    let effects = line(&mut stored, client, "cancel job H:t:9");
    assert_eq!(text(&effects, client), "ERR UNKNOWN_JOB\r\n");
    // It had been read before that.
    stored.apply(loaded(vec![normal(9, "u")], None));
    stored.commit();
    assert_eq!(status(&mut stored, client), "f\t1\t0\t1\n.\n");
    let effects = stored.grab(worker);
    assert!(matches!(&told(&effects, worker)[..], [Reply::Assign { job: JobNumber(101), .. }]));
}

#[test]
fn what_was_found_out_about_a_job_does_not_outlive_its_coming() {
    let mut stored = restarted(&[normal(9, "u"), normal(10, "")]);
    let (worker, client) = (stored.worker("f"), stored.client());
    line(&mut stored, client, "cancel job H:t:9");
    // Before the store answers the job comes, and is done.
    stored.apply(loaded(vec![normal(9, "u")], Some(Priority::Normal)));
    stored.grab(worker);
    stored.complete(worker, 9);
    let effects = stored.apply(Event::Found { number: JobNumber(9), row: row(&normal(9, "u")) });
    assert_eq!(text(&effects, client), "ERR UNKNOWN_JOB\r\n");
    assert_eq!(status(&mut stored, client), "f\t1\t0\t1\n.\n");
}

#[test]
fn a_function_is_dropped_when_its_jobs_are_read() {
    let mut stored = restarted(&[normal(1, ""), normal(2, "")]);
    let client = stored.client();
    assert_eq!(line(&mut stored, client, "drop function f"), [Effect::Pause { conn: client }]);
    let effects = stored.apply(loaded(vec![normal(1, ""), normal(2, "")], Some(Priority::Normal)));
    assert_eq!(text(&effects, client), "OK\r\n");
    let ends = stored.changes.iter().filter(|change| matches!(change, Change::Removed { .. }));
    assert_eq!(ends.count(), 2);
}

#[test]
fn counts_that_are_too_high_hold_nothing_up_for_longer_than_their_priority_is_read() {
    let many = [normal(1, "u"), normal(2, "v"), record(3, Priority::Low, "w", "")];
    let mut stored = restarted(&many);
    let (worker, client, joining) = (stored.worker("f"), stored.client(), stored.client());
    stored.submit(client, Submit::fg("f").payload("new"));
    stored.submit(joining, Submit::bg("f").unique("x"));
    stored.apply(loaded(vec![], Some(Priority::Low)));
    assert_eq!(status(&mut stored, client), "f\t2\t0\t1\n.\n");
    let effects = stored.grab(worker);
    assert!(matches!(&told(&effects, worker)[..], [Reply::Assign { payload, .. }] if payload == "new"));
    let effects = stored.apply(loaded(vec![], None));
    assert!(resumes(&effects, joining));
    assert_eq!(status(&mut stored, client), "f\t2\t1\t1\n.\n");
}

#[test]
fn counts_that_are_too_low_cost_nothing_but_the_order() {
    let mut stored = started(Unread { function: bytes("f"), ..Unread::default() });
    let (worker, client) = (stored.worker("f"), stored.client());
    stored.submit(client, Submit::fg("f").payload("new"));
    stored.apply(loaded(vec![normal(1, ""), normal(2, "u")], Some(Priority::Low)));
    stored.apply(loaded(vec![], None));
    assert_eq!(status(&mut stored, client), "f\t3\t0\t1\n.\n");
    for _ in 0..3 {
        let effects = stored.grab(worker);
        assert!(matches!(told(&effects, worker)[..], [Reply::Assign { .. }]));
    }
}

//! The rules of a stored queue, one by one, with the store played by hand.

use crate::rig::{Rig, Submit, bytes, handle, rules};
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, JobNumber, Priority};
use conveyor_server::core::{Change, Durability, Effect, Event, Reply, Rules};

/// A rig whose changes are counted, and stored when a test says so.
pub(crate) struct Stored {
    pub(crate) rig: Rig,
    appended: u64,
    pub(crate) changes: Vec<Change>,
}

impl Stored {
    pub(crate) fn new() -> Self {
        Self::with(Rules { durability: Durability::Sync, ..rules() })
    }

    pub(crate) fn with(rules: Rules) -> Self {
        Self { rig: Rig::new(rules), appended: 0, changes: Vec::new() }
    }

    pub(crate) fn apply(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.rig.apply(event);
        for effect in &effects {
            if let Effect::Append(change) = effect {
                self.appended += 1;
                self.changes.push(change.clone());
            }
        }
        effects
    }

    pub(crate) fn ask(&mut self, conn: ConnId, request: Request) -> Vec<Effect> {
        self.apply(Event::Request { conn, request })
    }

    pub(crate) fn submit(&mut self, conn: ConnId, job: Submit<'_>) -> Vec<Effect> {
        let kind = SubmitKind::Job { priority: job.priority, background: job.background };
        let (function, unique, payload) = (bytes(job.function), bytes(job.unique), bytes(job.payload));
        self.ask(conn, Request::Submit { kind, function, unique, payload })
    }

    pub(crate) fn grab(&mut self, conn: ConnId) -> Vec<Effect> {
        self.ask(conn, Request::Grab(GrabForm::Plain))
    }

    /// Everything so far is stored.
    pub(crate) fn commit(&mut self) -> Vec<Effect> {
        self.apply(Event::Stored { through: self.appended })
    }

    pub(crate) fn worker(&mut self, function: &str) -> ConnId {
        let conn = self.rig.connect();
        self.ask(conn, Request::CanDo { function: bytes(function) });
        conn
    }

    pub(crate) fn client(&mut self) -> ConnId {
        self.rig.connect()
    }

    pub(crate) fn complete(&mut self, conn: ConnId, number: u64) -> Vec<Effect> {
        self.ask(conn, Request::WorkComplete { handle: handle(number), payload: bytes("r") })
    }
}

/// What a connection is sent, or what fills a place kept for it.
pub(crate) fn told(effects: &[Effect], to: ConnId) -> Vec<Reply> {
    let replies = effects.iter().filter_map(|effect| match effect {
        Effect::Send { conn, reply } | Effect::Fill { conn, reply, .. } if *conn == to => Some(reply.clone()),
        _ => None,
    });
    replies.collect()
}

pub(crate) fn held(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Hold { .. })).count()
}

pub(crate) fn created(number: u64) -> Reply {
    Reply::JobCreated(JobNumber(number))
}

fn is_refused(replies: &[Reply]) -> bool {
    matches!(replies, [Reply::Error { text: "QUEUE_ERROR", .. }])
}

#[test]
fn the_answer_to_a_background_submission_keeps_its_place_until_the_job_is_stored() {
    let mut stored = Stored::new();
    let (client, other) = (stored.client(), stored.client());
    let effects = stored.submit(client, Submit::bg("f"));
    assert_eq!((told(&effects, client), held(&effects)), (vec![], 1));
    // Somebody else does not wait.
    let echo = stored.ask(other, Request::Echo { payload: bytes("e") });
    assert_eq!(told(&echo, other), [Reply::Echo(bytes("e"))]);
    let effects = stored.commit();
    assert_eq!(told(&effects, client), [created(1)]);
}

#[test]
fn a_committing_job_wakes_nobody_and_is_handed_to_nobody() {
    let mut stored = Stored::new();
    let (worker, sleeper, client) = (stored.worker("f"), stored.worker("f"), stored.client());
    stored.ask(sleeper, Request::PreSleep);
    let effects = stored.submit(client, Submit::bg("f"));
    assert_eq!(told(&effects, sleeper), []);
    let effects = stored.grab(worker);
    assert_eq!(told(&effects, worker), [Reply::NoJob]);
    let effects = stored.commit();
    assert_eq!(told(&effects, sleeper), [Reply::Noop]);
    let effects = stored.grab(sleeper);
    assert!(matches!(told(&effects, sleeper)[..], [Reply::Assign { job: JobNumber(1), .. }]));
}

#[test]
fn a_committing_job_is_counted_and_can_be_cancelled() {
    let mut stored = Stored::new();
    let (worker, client) = (stored.worker("f"), stored.client());
    stored.submit(client, Submit::bg("f"));
    let effects = stored.apply(Event::Command { conn: client, command: Command::Status });
    assert_eq!(told(&effects, client), [Reply::Text(bytes("f\t1\t0\t1\n.\n"))]);
    stored.apply(Event::Command { conn: client, command: Command::CancelJob(handle(1)) });
    let effects = stored.commit();
    // It was accepted, and it was stored that it is over.
    assert_eq!(told(&effects, client), [created(1)]);
    assert!(matches!(stored.changes.last(), Some(Change::Removed { number: JobNumber(1), .. })));
    let effects = stored.grab(worker);
    assert_eq!(told(&effects, worker), [Reply::NoJob]);
    assert_eq!(stored.rig.core.job_count(), 0);
}

#[test]
fn whoever_joins_a_committing_job_waits_for_the_same_commit() {
    let mut stored = Stored::new();
    let (first, second) = (stored.client(), stored.client());
    stored.submit(first, Submit::bg("f").unique("u"));
    let change = stored.appended;
    stored.submit(first, Submit::bg("f").unique("another"));
    stored.submit(second, Submit::bg("f").unique("u"));
    let effects = stored.apply(Event::Stored { through: change });
    assert_eq!((told(&effects, first), told(&effects, second)), (vec![created(1)], vec![created(1)]));
    let effects = stored.commit();
    assert_eq!((told(&effects, first), told(&effects, second)), (vec![created(2)], vec![]));
}

#[test]
fn whoever_joins_a_foreground_job_is_told_its_number_when_that_is_reserved() {
    let mut stored = Stored::new();
    let (first, second) = (stored.client(), stored.client());
    stored.submit(first, Submit::fg("f").unique("u"));
    let effects = stored.submit(second, Submit::fg("f").unique("u"));
    assert_eq!((told(&effects, second), held(&effects)), (vec![], 1));
    let effects = stored.commit();
    assert_eq!((told(&effects, first), told(&effects, second)), (vec![created(1)], vec![created(1)]));
    let effects = stored.submit(second, Submit::fg("f").unique("u"));
    assert_eq!(told(&effects, second), [created(1)]);
}

#[test]
fn when_the_commit_fails_background_submitters_are_refused_and_foreground_ones_keep_the_job() {
    let mut stored = Stored::new();
    let (worker, back, fore) = (stored.worker("f"), stored.client(), stored.client());
    stored.submit(back, Submit::bg("f").unique("joined"));
    stored.submit(fore, Submit::fg("f").unique("joined"));
    stored.submit(back, Submit::bg("f").unique("alone"));
    let effects = stored.apply(Event::StoreFailed);
    let refused = told(&effects, back);
    assert!(refused.len() == 2 && refused.iter().all(|reply| matches!(reply, Reply::Error { .. })));
    assert_eq!(told(&effects, fore), [created(1)]);
    let effects = stored.grab(worker);
    assert!(matches!(told(&effects, worker)[..], [Reply::Assign { job: JobNumber(1), .. }]));
    let effects = stored.complete(worker, 1);
    assert!(matches!(told(&effects, fore)[..], [Reply::Complete { .. }]));
    assert_eq!(stored.rig.core.job_count(), 0, "the one nobody waits for is gone");
}

#[test]
fn after_a_failure_background_jobs_are_refused_and_everything_else_goes_on() {
    let mut stored = Stored::new();
    let (worker, client) = (stored.worker("f"), stored.client());
    stored.submit(client, Submit::bg("f"));
    stored.commit();
    stored.apply(Event::StoreFailed);
    let effects = stored.submit(client, Submit::bg("f"));
    assert!(is_refused(&told(&effects, client)));
    // A background submission makes no stored job of a foreground one either.
    let effects = stored.submit(client, Submit::fg("f").unique("u"));
    assert_eq!(told(&effects, client).len(), 1);
    let effects = stored.submit(client, Submit::bg("f").unique("u"));
    assert!(is_refused(&told(&effects, client)));
    let effects = stored.grab(worker);
    assert!(matches!(told(&effects, worker)[..], [Reply::Assign { job: JobNumber(1), .. }]));
    stored.complete(worker, 1);
    assert!(matches!(stored.changes.last(), Some(Change::Removed { number: JobNumber(1), .. })));
}

#[test]
fn relaxed_a_job_is_ready_at_once() {
    let mut stored = Stored::with(Rules { durability: Durability::Relaxed, ..rules() });
    let (worker, client) = (stored.worker("f"), stored.client());
    let effects = stored.submit(client, Submit::bg("f"));
    assert_eq!(told(&effects, client), [created(1)]);
    let effects = stored.grab(worker);
    assert!(matches!(told(&effects, worker)[..], [Reply::Assign { .. }]));
}

#[test]
fn the_unique_of_a_finished_job_is_free_and_its_end_is_stored_before_the_next_one() {
    let mut stored = Stored::new();
    let (worker, client) = (stored.worker("f"), stored.client());
    stored.submit(client, Submit::bg("f").unique("u"));
    stored.commit();
    stored.grab(worker);
    stored.complete(worker, 1);
    stored.submit(client, Submit::bg("f").unique("u"));
    let ends = stored.changes.iter().map(|change| match change {
        Change::Added(record) => record.number.0.cast_signed(),
        Change::Removed { number, .. } => -number.0.cast_signed(),
        _ => 0,
    });
    assert_eq!(ends.filter(|number| *number != 0).collect::<Vec<_>>(), [1, -1, 2]);
}

#[test]
fn a_background_job_joined_in_the_foreground_outlives_that_client() {
    let mut stored = Stored::new();
    let (worker, back, fore) = (stored.worker("f"), stored.client(), stored.client());
    stored.submit(back, Submit::bg("f").unique("u"));
    stored.commit();
    stored.submit(fore, Submit::fg("f").unique("u"));
    stored.apply(Event::Closed { conn: fore });
    stored.apply(Event::Closed { conn: back });
    assert!(!stored.changes.iter().any(|change| matches!(change, Change::Removed { .. })));
    let effects = stored.grab(worker);
    assert!(matches!(told(&effects, worker)[..], [Reply::Assign { .. }]));
}

fn small() -> Rules {
    Rules { durability: Durability::Sync, queue_bytes: 400, ..rules() }
}

#[test]
fn beyond_the_budget_payloads_stay_in_the_store_and_a_grab_waits_for_its_own() {
    let mut stored = Stored::with(small());
    let (worker, client) = (stored.worker("f"), stored.client());
    let long = "x".repeat(500);
    stored.submit(client, Submit::bg("f").payload(&long));
    stored.commit();
    let effects = stored.grab(worker);
    assert_eq!((told(&effects, worker), held(&effects)), (vec![], 1));
    assert!(effects.contains(&Effect::Fetch { number: JobNumber(1), priority: Priority::Normal }));
    let effects = stored.apply(Event::Fetched { number: JobNumber(1), payload: Some(bytes(&long)) });
    assert!(
        matches!(&told(&effects, worker)[..], [Reply::Assign { payload, .. }] if *payload == bytes(&long))
    );
}

#[test]
fn a_payload_that_cannot_be_read_parks_its_job_for_a_minute() {
    let mut stored = Stored::with(small());
    let (worker, client) = (stored.worker("f"), stored.client());
    let long = "x".repeat(500);
    stored.submit(client, Submit::bg("f").payload(&long).at(Priority::High));
    stored.commit();
    stored.grab(worker);
    let effects = stored.apply(Event::Fetched { number: JobNumber(1), payload: None });
    assert_eq!(told(&effects, worker), [Reply::NoJob]);
    let effects = stored.grab(worker);
    assert_eq!(told(&effects, worker), [Reply::NoJob], "it rests");
    stored.rig.pass(60_000);
    let effects = stored.grab(worker);
    assert!(effects.contains(&Effect::Fetch { number: JobNumber(1), priority: Priority::High }));
}

#[test]
fn a_worker_lost_while_its_payload_is_read_costs_the_job_nothing() {
    let mut stored = Stored::with(small());
    let (worker, client) = (stored.worker("f"), stored.client());
    let long = "x".repeat(500);
    stored.submit(client, Submit::bg("f").payload(&long));
    stored.commit();
    stored.grab(worker);
    stored.apply(Event::Closed { conn: worker });
    assert!(matches!(stored.changes.last(), Some(Change::Lost { retries: 0, .. })), "nobody ever had it");
    let next = stored.worker("f");
    stored.grab(next);
    let effects = stored.apply(Event::Fetched { number: JobNumber(1), payload: Some(bytes(&long)) });
    assert!(matches!(told(&effects, next)[..], [Reply::Assign { .. }]));
}

#[test]
fn beyond_the_budget_what_cannot_be_left_to_the_store_is_refused() {
    let mut stored = Stored::with(Rules { durability: Durability::Memory, queue_bytes: 400, ..rules() });
    let client = stored.client();
    let long = "x".repeat(500);
    let effects = stored.submit(client, Submit::bg("f").payload(&long));
    assert_eq!(told(&effects, client), [created(1)]);
    for job in [Submit::fg("f"), Submit::bg("f")] {
        let effects = stored.submit(client, job);
        assert!(matches!(told(&effects, client)[..], [Reply::Error { text: "Job queue is full", .. }]));
    }
}

#[test]
fn stopping_in_order_gives_back_what_was_reserved() {
    let mut stored = Stored::new();
    let client = stored.client();
    stored.submit(client, Submit::bg("f"));
    stored.apply(Event::Stopping);
    let last = stored.changes.last();
    assert!(matches!(last, Some(Change::NumbersReserved { through: JobNumber(1), .. })), "{last:?}");
}

//! The situations that are measured.
//!
//! Each function sets one up and returns what is measured in it: a closure that leaves everything as it was, so
//! that it can be called any number of times and always does the same.

use super::{BACKGROUND, FOREGROUND, LARGE, PREFIX, Rig, SMALL, functions};
use crate::outbox::Outbox;
use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::{Decoder, Frame, GrabForm, Request, SubmitKind};
use conveyor_common::{HandlePrefix, JobNumber, Priority};
use conveyor_server::core::{Event, Reply};
use std::convert::Infallible;
use std::hint::black_box;

/// Packets that fit into one read of the engine, each a small SUBMIT_JOB_BG.
pub(crate) const PACKETS: usize = 650;

/// Functions of an ordinary worker.
pub(crate) const ABILITIES: usize = 4;

/// Milliseconds until timers of others are due: longer than any measurement lasts.
const FAR: u64 = 1 << 40;

/// `count` SUBMIT_JOB_BG packets as they arrive.
pub(crate) fn stream(count: usize, payload: usize) -> BytesMut {
    let [function] = <[Bytes; 1]>::try_from(functions(1)).unwrap();
    let payload = Bytes::from(vec![b'x'; payload]);
    let request = Request::Submit { kind: BACKGROUND, function, unique: Bytes::new(), payload };
    let mut stream = BytesMut::new();
    (0..count).for_each(|_| request.encode(&mut stream));
    stream
}

/// Takes everything out of `input` that is complete, and gives it its meaning.
pub(crate) fn decode(input: &mut BytesMut) {
    let mut decoder = Decoder::default();
    while let Some(frame) = decoder.decode(input).unwrap() {
        let Frame::Packet(packet) = frame else { panic!("a line among packets") };
        black_box(Request::from_packet(packet).unwrap());
    }
}

/// Decodes [`PACKETS`] packets that were read into one buffer, which is used again.
pub(crate) fn decoding() -> impl FnMut() {
    let stream = stream(PACKETS, SMALL);
    let mut input = BytesMut::new();
    move || {
        input.extend_from_slice(&stream);
        decode(&mut input);
    }
}

/// One job with its client waiting: submit, grab, complete.
pub(crate) fn foreground() -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(1));
    let (client, worker) = (rig.connect(), rig.worker(&functions));
    move || {
        rig.submit(client, FOREGROUND, &functions[0]);
        assert!(rig.work(worker));
    }
}

/// `count` background jobs pile up and are worked off.
pub(crate) fn backlog(count: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(1));
    let (client, worker) = (rig.connect(), rig.worker(&functions));
    move || {
        rig.submit_many(client, &functions[0], count);
        rig.drain(worker);
    }
}

/// A job wakes one of `sleepers` equal workers, which does it and goes to sleep again.
pub(crate) fn wake(sleepers: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(1));
    let client = rig.connect();
    for _ in 0..sleepers {
        let worker = rig.worker(&functions);
        rig.ask(worker, Request::PreSleep);
    }
    move || {
        let worker = rig.submit(client, BACKGROUND, &functions[0]).woken.expect("somebody is asleep");
        rig.drain(worker);
        rig.ask(worker, Request::PreSleep);
        rig.pass(1);
    }
}

/// A worker comes, says that it can do `count` functions, sleeps, and goes.
pub(crate) fn visit(count: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(count));
    rig.worker(&functions);
    move || {
        let conn = rig.worker(&functions);
        rig.ask(conn, Request::PreSleep);
        rig.apply(Event::Closed { conn });
        rig.pass(1);
    }
}

/// Functions take turns, and so do workers that can do all of them; one background job a call.
pub(crate) fn many_functions(count: usize, workers: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(count));
    let client = rig.connect();
    let workers: Vec<_> = (0..workers).map(|_| rig.worker(&functions)).collect();
    let mut turn = 0;
    move || {
        rig.submit(client, BACKGROUND, &functions[turn % functions.len()]);
        assert!(rig.work(workers[turn % workers.len()]));
        turn += 1;
    }
}

/// One job of each priority is submitted behind `queued` others, and as many are worked off.
pub(crate) fn priorities(queued: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(1));
    let (client, worker) = (rig.connect(), rig.worker(&functions));
    let kind = |priority| SubmitKind::Job { priority, background: true };
    for number in 0..queued {
        rig.submit(client, kind(Priority::ALL[number % 3]), &functions[0]);
    }
    move || {
        for priority in Priority::ALL {
            rig.submit(client, kind(priority), &functions[0]);
        }
        for _ in Priority::ALL {
            assert!(rig.work(worker));
        }
    }
}

/// A job for later is submitted and cancelled, and cleared away, while `pending` others wait for their time.
pub(crate) fn epoch(pending: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(1));
    let (client, worker) = (rig.connect(), rig.worker(&functions));
    for number in 0..pending as u64 {
        let when = rig.second_in(FAR + 1000 * number);
        rig.submit(client, SubmitKind::Epoch { when }, &functions[0]);
    }
    let when = rig.second_in(FAR + 500 * pending as u64);
    move || {
        let job = rig.submit(client, SubmitKind::Epoch { when }, &functions[0]).created.unwrap();
        rig.cancel(client, job);
        assert!(rig.grab(worker).is_none());
    }
}

/// A job for the next second is submitted, becomes due and is done, while `pending` others wait.
pub(crate) fn epoch_due(pending: usize) -> impl FnMut() {
    let (mut rig, functions) = (Rig::new(), functions(1));
    let (client, worker) = (rig.connect(), rig.worker(&functions));
    for number in 0..pending as u64 {
        let when = rig.second_in(FAR + 1000 * number);
        rig.submit(client, SubmitKind::Epoch { when }, &functions[0]);
    }
    move || {
        let when = rig.second_in(1000);
        rig.submit(client, SubmitKind::Epoch { when }, &functions[0]);
        rig.pass(1000);
        assert!(rig.work(worker));
    }
}

/// A job with a limit on its time is grabbed and completed, while `pending` others run.
pub(crate) fn timeout(pending: usize) -> impl FnMut() {
    /// Jobs that one of the other workers has.
    const HELD: usize = 1000;
    let (mut rig, functions) = (Rig::new(), functions(1));
    let timeout_ms = i64::try_from(FAR).unwrap();
    let client = rig.connect();
    for _ in 0..pending / HELD {
        let worker = rig.timed_worker(&functions[0], timeout_ms);
        rig.submit_many(client, &functions[0], HELD);
        (0..HELD).for_each(|_| assert!(rig.grab(worker).is_some()));
    }
    let worker = rig.timed_worker(&functions[0], timeout_ms);
    move || {
        rig.submit(client, BACKGROUND, &functions[0]);
        assert!(rig.work(worker));
    }
}

/// Replies that one call of [`small_replies`] sends.
pub(crate) const REPLIES: usize = 3 * 64;

/// The replies that jobs with small payloads lead to, queued for one connection and taken by its socket at once.
pub(crate) fn small_replies() -> impl FnMut() {
    let (prefix, mut outbox) = (HandlePrefix::new(PREFIX), Outbox::default());
    let [function] = <[Bytes; 1]>::try_from(functions(1)).unwrap();
    let payload = Bytes::from(vec![b'x'; SMALL]);
    move || {
        for number in 1..=REPLIES as u64 / 3 {
            let job = JobNumber(number);
            outbox.push_reply(&prefix, Reply::JobCreated(job));
            let (form, function, payload) = (GrabForm::Unique, function.clone(), payload.clone());
            let (unique, reducer) = (Bytes::new(), Bytes::new());
            let complete = Reply::Complete { job, payload: payload.clone() };
            outbox.push_reply(&prefix, Reply::Assign { form, job, function, unique, reducer, payload });
            outbox.push_reply(&prefix, complete);
        }
        send(&mut outbox);
    }
}

/// A reply with a payload that is not copied.
pub(crate) fn large_reply() -> impl FnMut() {
    let (prefix, mut outbox) = (HandlePrefix::new(PREFIX), Outbox::default());
    let payload = Bytes::from(vec![b'x'; LARGE]);
    move || {
        outbox.push_reply(&prefix, Reply::Complete { job: JobNumber(1), payload: payload.clone() });
        send(&mut outbox);
    }
}

/// A socket that takes all it is offered.
fn send(outbox: &mut Outbox) {
    let sent: Result<(), Infallible> = outbox.send(|slices| {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        black_box(slices);
        Ok(bytes)
    });
    sent.unwrap();
}

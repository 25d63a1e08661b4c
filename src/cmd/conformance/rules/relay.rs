//! What a worker reports, and what its clients get of it.

use crate::cmd::conformance::ctx::packet::{
    SUBMIT_JOB, SUBMIT_JOB_BG, WORK_COMPLETE, WORK_DATA, WORK_EXCEPTION, WORK_FAIL, WORK_STATUS, WORK_WARNING,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Peer};
use crate::cmd::conformance::rule::rules;

rules! { "relay":
    R270 [] "WORK_DATA is relayed unchanged." => |c| relayed(c, WORK_DATA, b"da\0ta");
    R271 [] "WORK_WARNING is relayed unchanged." => |c| relayed(c, WORK_WARNING, b"wa\0rn");
    R272 [] "WORK_STATUS is relayed unchanged, whatever its numbers are." =>
        |c| relayed(c, WORK_STATUS, b"abc\0-1");
    R273 [] "WORK_DATA with an empty payload is relayed." => |c| relayed(c, WORK_DATA, b"");
    R274 [] "WORK_COMPLETE is relayed unchanged and ends the job." => complete;
    R275 [] "WORK_COMPLETE with a payload of one mebibyte arrives whole." => large_result;
    R276 [] "WORK_FAIL is relayed unchanged and ends the job." => fail;
    R277 [] "WORK_FAIL is relayed byte for byte, even with more behind its handle." => fail_with_junk;
    R278 [] "WORK_EXCEPTION goes unchanged to a client that asked for exceptions." => exception_wanted;
    R279 [] "A client that did not ask gets WORK_FAIL with handle and NUL for a WORK_EXCEPTION." =>
        exception_unwanted;
    R280 [] "Of two clients each gets a WORK_EXCEPTION as it asked for." => exception_mixed;
    R281 [] "WORK_EXCEPTION ends the job, so that a WORK_FAIL after it gets ERROR JOB_NOT_FOUND." =>
        fail_after_exception;
    R282 [options("--exceptions")] "With --exceptions every client gets WORK_EXCEPTION." =>
        exceptions_by_default;
    R283 [] "Reports arrive in the order in which the worker sent them." => in_order;
    R284 [] "Reports reach every attached client." => everybody;
    R285 [] "Reports reach no other connection." => nobody_else;
    R286 [] "The client of a background job gets no reports." => background;
    R287 [] "WORK_DATA, WORK_WARNING and WORK_STATUS do not end the job." => not_terminal;
    R288 [] "Reports about two jobs of one client keep their handles apart." => two_jobs;
    R289 [] "A client that joins later gets what is reported from then on." => joins_later;
    R290 [] "The worker is told nothing when its reports are relayed." => worker_silent;
    R291 [] "After WORK_FAIL the unique of the job makes a new job." => unique_free_after_fail;
}

/// A running job: client, worker, handle.
fn running(c: &Ctx) -> Checked<(Peer, Peer, String)> {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    Ok((client, w, h))
}

fn relayed(c: &Ctx, kind: u32, rest: &[u8]) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(kind, &[&h, &rest])?;
    client.expect(kind, &[&h, &rest])?;
    client.sync()
}

fn complete(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.complete(&h, b"re\0sult")?;
    client.completed(&h, b"re\0sult")?;
    client.sync()?;
    c.until_status(&c.name("f"), [0, 0, 1])
}

fn large_result(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    let result: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    w.complete(&h, &result)?;
    client.completed(&h, &result)
}

fn fail(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_FAIL, &[&h])?;
    client.expect(WORK_FAIL, &[&h])?;
    client.sync()?;
    c.until_status(&c.name("f"), [0, 0, 1])
}

fn fail_with_junk(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_FAIL, &[&h, &"junk"])?;
    client.expect(WORK_FAIL, &[&h, &"junk"])
}

fn exception_wanted(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    client.want_exceptions()?;
    w.work(WORK_EXCEPTION, &[&h, &b"bo\0om"])?;
    client.expect(WORK_EXCEPTION, &[&h, &b"bo\0om"])?;
    client.sync()
}

fn exception_unwanted(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_EXCEPTION, &[&h, &"boom"])?;
    client.expect(WORK_FAIL, &[&h, &""])?;
    client.sync()
}

fn exception_mixed(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    let mut other = c.peer()?;
    other.want_exceptions()?;
    other.submit(SUBMIT_JOB, c.name("f"), "u", "x")?;
    w.work(WORK_EXCEPTION, &[&h, &"boom"])?;
    client.expect(WORK_FAIL, &[&h, &""])?;
    other.expect(WORK_EXCEPTION, &[&h, &"boom"])
}

fn fail_after_exception(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_EXCEPTION, &[&h, &"boom"])?;
    w.send(WORK_FAIL, &[&h])?;
    w.error("JOB_NOT_FOUND", "Job given in work result not found")?;
    client.expect(WORK_FAIL, &[&h, &""])?;
    client.sync()
}

fn exceptions_by_default(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_EXCEPTION, &[&h, &"boom"])?;
    client.expect(WORK_EXCEPTION, &[&h, &"boom"])
}

fn in_order(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    for number in 0..50 {
        w.send(WORK_DATA, &[&h, &number.to_string()])?;
        w.send(WORK_STATUS, &[&h, &number.to_string(), &"50"])?;
    }
    w.send(WORK_WARNING, &[&h, &"last"])?;
    w.complete(&h, "end")?;
    for number in 0..50 {
        client.expect(WORK_DATA, &[&h, &number.to_string()])?;
        client.expect(WORK_STATUS, &[&h, &number.to_string(), &"50"])?;
    }
    client.expect(WORK_WARNING, &[&h, &"last"])?;
    client.completed(&h, "end")
}

fn everybody(c: &Ctx) -> Checked {
    let (client, mut w, h) = running(c)?;
    let mut clients = [client, c.peer()?, c.peer()?];
    for client in clients.iter_mut().skip(1) {
        client.submit(SUBMIT_JOB, c.name("f"), "u", "x")?;
    }
    w.work(WORK_DATA, &[&h, &"d"])?;
    w.work(WORK_WARNING, &[&h, &"w"])?;
    w.work(WORK_STATUS, &[&h, &"1", &"2"])?;
    w.work(WORK_FAIL, &[&h])?;
    clients.iter_mut().try_for_each(|client| {
        client.expect(WORK_DATA, &[&h, &"d"])?;
        client.expect(WORK_WARNING, &[&h, &"w"])?;
        client.expect(WORK_STATUS, &[&h, &"1", &"2"])?;
        client.expect(WORK_FAIL, &[&h])
    })
}

fn nobody_else(c: &Ctx) -> Checked {
    let mut other = c.peer()?;
    other.submit(SUBMIT_JOB, c.name("f"), "other", "x")?;
    let mut w = c.worker(&[&c.name("f")])?;
    w.grab_payload()?;
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, c.name("f"), "mine", "x")?;
    w.grab(&h, c.name("f"), "x")?;
    w.work(WORK_DATA, &[&h, &"d"])?;
    w.complete(&h, "y")?;
    client.expect(WORK_DATA, &[&h, &"d"])?;
    client.completed(&h, "y")?;
    other.sync()
}

fn background(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.work(WORK_DATA, &[&h, &"d"])?;
    w.work(WORK_STATUS, &[&h, &"1", &"2"])?;
    w.work(WORK_FAIL, &[&h])?;
    client.sync()
}

fn not_terminal(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_DATA, &[&h, &"d"])?;
    w.work(WORK_WARNING, &[&h, &"w"])?;
    w.work(WORK_STATUS, &[&h, &"2", &"2"])?;
    client.drain()?;
    client.status(&h, ["1", "1", "2", "2"])?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")
}

fn two_jobs(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut client, mut w, a) = running(c)?;
    let b = client.submit(SUBMIT_JOB, &f, "v", "x")?;
    w.grab(&b, &f, "x")?;
    w.work(WORK_DATA, &[&b, &"1"])?;
    w.work(WORK_DATA, &[&a, &"2"])?;
    w.complete(&b, "3")?;
    w.work(WORK_FAIL, &[&a])?;
    client.expect(WORK_DATA, &[&b, &"1"])?;
    client.expect(WORK_DATA, &[&a, &"2"])?;
    client.expect(WORK_COMPLETE, &[&b, &"3"])?;
    client.expect(WORK_FAIL, &[&a])
}

fn joins_later(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_DATA, &[&h, &"early"])?;
    let mut late = c.peer()?;
    late.submit(SUBMIT_JOB, c.name("f"), "u", "x")?;
    w.work(WORK_DATA, &[&h, &"late"])?;
    client.expect(WORK_DATA, &[&h, &"early"])?;
    client.expect(WORK_DATA, &[&h, &"late"])?;
    late.expect(WORK_DATA, &[&h, &"late"])
}

fn worker_silent(c: &Ctx) -> Checked {
    let (_client, mut w, h) = running(c)?;
    w.send(WORK_DATA, &[&h, &"d"])?;
    w.send(WORK_WARNING, &[&h, &"w"])?;
    w.send(WORK_STATUS, &[&h, &"1", &"2"])?;
    w.send(WORK_COMPLETE, &[&h, &"y"])?;
    w.sync()
}

fn unique_free_after_fail(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_FAIL, &[&h])?;
    client.expect(WORK_FAIL, &[&h])?;
    let again = client.submit(SUBMIT_JOB, c.name("f"), "u", "again")?;
    w.grab(&again, c.name("f"), "again")
}

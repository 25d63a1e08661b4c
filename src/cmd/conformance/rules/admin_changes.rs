//! The text commands that change something: maxqueue, create, drop, cancel.

use crate::cmd::conformance::ctx::packet::{
    SUBMIT_JOB, SUBMIT_JOB_BG, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW_BG, WORK_COMPLETE, WORK_DATA, WORK_FAIL,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Peer, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "admin-changes":
    R480 [] "maxqueue is answered by OK, even for an unknown function." => maxqueue_ok;
    R481 [] "maxqueue alone gets ERR INVALID_ARGUMENTS." => |c| incomplete(c, "maxqueue");
    R482 [] "A full queue refuses a job with ERROR QUEUE_ERROR." => full;
    R483 [] "maxqueue with one number limits every priority." => one_number;
    R484 [] "maxqueue with three numbers limits HIGH, NORMAL and LOW in that order." => three_numbers;
    R485 [] "maxqueue with two numbers leaves LOW without a limit." => two_numbers;
    R486 [] "maxqueue without a number lifts the limit." => |c| lifted(c, "");
    R487 [] "maxqueue with a negative number lifts the limit." => |c| lifted(c, "-1");
    R488 [] "maxqueue with a word for a number lifts the limit." => |c| lifted(c, "many");
    R489 [] "Running jobs count towards the limit." => running_counts;
    R490 [] "A submission that coalesces is accepted by a full queue." => coalesces_when_full;
    R491 [] "maxqueue of a function that does not exist has no effect later." => maxqueue_unknown;
    R492 [] "A full queue accepts again once a job is done." => accepts_again;
    R493 [] "create function makes an empty function." => create;
    R494 [bug] "create function keeps the whole name when its line ends with a bare LF." => create_lf;
    R495 [] "create in other forms gets ERR INVALID_ARGUMENTS." => |c| other_forms(c, "create");
    R496 [] "create function of one that exists is answered by OK and changes nothing." => create_existing;
    R497 [] "drop function of an idle function removes it." => drop_idle;
    R498 [] "drop function of an unknown function gets ERR function not found." => drop_unknown;
    R499 [] "drop function of a function with workers is refused." => drop_with_workers;
    R500 [] "drop function reads the name in any case." => drop_any_case;
    R501 [] "drop in other forms gets ERR INVALID_ARGUMENTS." => |c| other_forms(c, "drop");
    R502 [fresh, bug] "drop function drops the queued jobs too, and their clients get WORK_FAIL." =>
        drop_with_jobs;
    R503 [fresh, bug] "After drop function the dropped jobs are not listed and their function works anew." =>
        drop_then_anew;
    R504 [] "cancel job of a queued job fails it for its client, and nobody is given it." => cancel_queued;
    R505 [] "cancel job of a background job is answered by OK, and nobody is given it." => cancel_background;
    R506 [] "cancel job of an unknown handle gets ERR UNKNOWN_JOB." => cancel_unknown;
    R507 [] "cancel with another word than job gets ERR UNKNOWN_ERROR." => cancel_other;
    R508 [] "cancel job of a running job sends its client WORK_FAIL." => cancel_running;
    R509 [bug] "After cancel job of a running job its client gets no second end." => cancel_one_end;
    R510 [] "The worker of a cancelled job is not told." => cancel_worker_untold;
    R511 [] "Every attached client gets the WORK_FAIL of a cancelled job." => cancel_everybody;
    R512 [bug] "A submission with the unique of a cancelled queued job is run and answered." =>
        cancel_then_again;
}

fn incomplete(c: &Ctx, command: &str) -> Checked {
    let text = "ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+";
    let word = command.split(' ').next().unwrap_or_default();
    let mut p = c.peer()?;
    p.ask(command, &format!("{text}{word}\r\n"))?;
    p.sync()
}

fn other_forms(c: &Ctx, word: &str) -> Checked {
    ["", " function", " x"].iter().try_for_each(|rest| incomplete(c, &format!("{word}{rest}")))
}

/// A connection whose function exists and has these limits.
fn limited(c: &Ctx, limits: &str) -> Checked<(Peer, String)> {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.ask(&format!("create function {f}"), "OK\r\n")?;
    p.ask(&format!("maxqueue {f} {limits}"), "OK\r\n")?;
    Ok((p, f))
}

fn refused(p: &mut Peer, kind: u32, f: &str) -> Checked {
    p.send(kind, &[&f, &"", &"x"])?;
    p.error("QUEUE_ERROR", "Job queue is full")?;
    p.sync()
}

fn maxqueue_ok(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    for rest in ["", " 1", " 1 2", " 1 2 3", " -1", " x"] {
        p.ask(&format!("maxqueue {f}{rest}"), "OK\r\n")?;
    }
    check_eq("the status", p.status_of(&f)?, None)
}

fn full(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "2")?;
    p.submit(SUBMIT_JOB, &f, "", "x")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB, &f)?;
    refused(&mut p, SUBMIT_JOB_BG, &f)?;
    check_eq("the status", p.status_of(&f)?, Some([2, 0, 0]))
}

fn one_number(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "1")?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "x")?;
    [SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_BG, SUBMIT_JOB_LOW_BG]
        .into_iter()
        .try_for_each(|kind| refused(&mut p, kind, &f))
}

fn three_numbers(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "3 2 1")?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB_LOW_BG, &f)?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB_BG, &f)?;
    p.submit(SUBMIT_JOB_HIGH_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB_HIGH_BG, &f)
}

fn two_numbers(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "1 1")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB_HIGH_BG, &f)?;
    refused(&mut p, SUBMIT_JOB_BG, &f)?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "x")?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "x").map(drop)
}

fn lifted(c: &Ctx, number: &str) -> Checked {
    let (mut p, f) = limited(c, "1")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB_BG, &f)?;
    p.ask(&format!("maxqueue {f} {number}"), "OK\r\n")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x").map(drop)
}

fn running_counts(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "1")?;
    let h = p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    c.worker(&[&f])?.grab(&h, &f, "x")?;
    let mut w = c.worker(&[&f])?;
    w.sync()?;
    refused(&mut p, SUBMIT_JOB_BG, &f)
}

fn coalesces_when_full(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "1")?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "x")?;
    refused(&mut p, SUBMIT_JOB, &f)?;
    check_eq("the second handle", p.submit(SUBMIT_JOB, &f, "u", "x")?, h)
}

fn maxqueue_unknown(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.ask(&format!("maxqueue {f} 1"), "OK\r\n")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x").map(drop)
}

fn accepts_again(c: &Ctx) -> Checked {
    let (mut p, f) = limited(c, "1")?;
    let h = p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    refused(&mut p, SUBMIT_JOB_BG, &f)?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x").map(drop)
}

fn create(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.ask(&format!("create function {f}"), "OK\r\n")?;
    check_eq("the status", p.status_of(&f)?, Some([0, 0, 0]))
}

fn create_lf(c: &Ctx) -> Checked {
    let f = c.name("abc");
    let mut p = c.peer()?;
    p.raw(format!("create function {f}\n").as_bytes())?;
    p.expect_line("OK\r\n")?;
    check_eq("the status", p.status_of(&f)?, Some([0, 0, 0]))
}

fn create_existing(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    p.ask(&format!("create function {f}"), "OK\r\n")?;
    check_eq("the status", p.status_of(&f)?, Some([1, 0, 0]))
}

fn drop_idle(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.ask(&format!("create function {f}"), "OK\r\n")?;
    p.ask(&format!("drop function {f}"), "OK\r\n")?;
    check_eq("the status", p.status_of(&f)?, None)?;
    p.ask(&format!("drop function {f}"), "ERR function not found\r\n")
}

fn drop_unknown(c: &Ctx) -> Checked {
    c.peer()?.ask(&format!("drop function {}", c.name("f")), "ERR function not found\r\n")
}

fn drop_with_workers(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    let command = format!("drop function {f}");
    w.ask(&command, "ERR there are still connected workers or executing clients\r\n")?;
    check_eq("the status", w.status_of(&f)?, Some([0, 0, 1]))
}

fn drop_any_case(c: &Ctx) -> Checked {
    let f = c.name("MixedCase");
    let mut p = c.peer()?;
    p.ask(&format!("create function {f}"), "OK\r\n")?;
    p.ask(&format!("drop function {}", f.to_ascii_uppercase()), "OK\r\n")?;
    check_eq("the status", p.status_of(&f)?, None)
}

fn drop_with_jobs(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    c.peer()?.ask(&format!("drop function {f}"), "OK\r\n")?;
    client.expect(WORK_FAIL, &[&h])?;
    client.status(&h, ["0", "0", "0", "0"])
}

fn drop_then_anew(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let old = p.submit(SUBMIT_JOB_BG, &f, "u", "old")?;
    p.ask(&format!("drop function {f}"), "OK\r\n")?;
    check_eq("the row of the dropped job", p.job_row(&old)?, None)?;
    check_eq("the status", p.status_of(&f)?, None)?;
    let new = p.submit(SUBMIT_JOB_BG, &f, "u", "new")?;
    c.worker(&[&f])?.grab(&new, &f, "new")
}

fn cancel(c: &Ctx, handle: &str) -> Checked {
    c.peer()?.ask(&format!("cancel job {handle}"), "OK\r\n")
}

fn cancel_queued(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    cancel(c, &h)?;
    client.expect(WORK_FAIL, &[&h])?;
    c.worker(&[&f])?.no_job()?;
    check_eq("the row of the job", c.peer()?.job_row(&h)?, None)
}

fn cancel_background(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    cancel(c, &h)?;
    client.sync()?;
    c.worker(&[&f])?.no_job()
}

fn cancel_unknown(c: &Ctx) -> Checked {
    c.peer()?.ask("cancel job H:nowhere:1", "ERR UNKNOWN_JOB\r\n")
}

fn cancel_other(c: &Ctx) -> Checked {
    c.peer()?.ask("cancel task H:nowhere:1", "ERR UNKNOWN_ERROR\r\n")
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

fn cancel_running(c: &Ctx) -> Checked {
    let (mut client, _w, h) = running(c)?;
    cancel(c, &h)?;
    client.expect(WORK_FAIL, &[&h])
}

fn cancel_one_end(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    cancel(c, &h)?;
    client.expect(WORK_FAIL, &[&h])?;
    w.send(WORK_DATA, &[&h, &"late"])?;
    w.send(WORK_COMPLETE, &[&h, &"late"])?;
    // Whether the worker is told is not this rule's matter.
    w.drain()?;
    client.sync()
}

fn cancel_worker_untold(c: &Ctx) -> Checked {
    let (_client, mut w, h) = running(c)?;
    cancel(c, &h)?;
    w.sync()
}

fn cancel_everybody(c: &Ctx) -> Checked {
    let (mut client, _w, h) = running(c)?;
    let mut other = c.peer()?;
    other.submit(SUBMIT_JOB, c.name("f"), "u", "x")?;
    cancel(c, &h)?;
    client.expect(WORK_FAIL, &[&h])?;
    other.expect(WORK_FAIL, &[&h])
}

fn cancel_then_again(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let first = client.submit(SUBMIT_JOB, &f, "u", "x")?;
    cancel(c, &first)?;
    client.expect(WORK_FAIL, &[&first])?;
    let second = client.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&second, &f, "x")?;
    w.complete(&second, "y")?;
    client.completed(&second, "y")
}

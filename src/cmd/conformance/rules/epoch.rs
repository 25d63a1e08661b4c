//! SUBMIT_JOB_EPOCH: background jobs that are not to run before a time.

use crate::cmd::conformance::ctx::packet::{
    NOOP, PRE_SLEEP, SUBMIT_JOB_BG, SUBMIT_JOB_EPOCH, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW_BG,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Failure, Peer, check, check_eq};
use crate::cmd::conformance::rule::rules;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

rules! { "epoch":
    R360 [] "SUBMIT_JOB_EPOCH with a past time may be grabbed at once." => |c| now(c, "1000000000");
    R361 [] "SUBMIT_JOB_EPOCH with the time 0 may be grabbed at once." => |c| now(c, "0");
    R362 [] "SUBMIT_JOB_EPOCH with a negative time may be grabbed at once." => |c| now(c, "-5");
    R363 [] "SUBMIT_JOB_EPOCH with a word for a time may be grabbed at once." => |c| now(c, "soon");
    R364 [] "The time of SUBMIT_JOB_EPOCH ends at its first character that is no digit." =>
        |c| now(c, "12x9999999999");
    R365 [] "A job of the far future is not given out." => far_future;
    R366 [] "A job of the future is counted and listed as a background job." => listed;
    R367 [slow] "A job of the future is given out once its time has come." => due;
    R368 [slow] "A job of the future is not given out before its time." => not_before;
    R369 [] "Jobs of the future are skipped over for later ones that may run." => skipped;
    R370 [bug11] "A job of the future does not keep LOW jobs of its function back." => low_not_blocked;
    R371 [] "The client of an epoch job gets nothing but JOB_CREATED." => silent;
    R372 [] "A due epoch job has NORMAL priority." => normal_priority;
    R373 [slow, bug11] "A sleeping worker is woken when the time of a job has come." => wakes_when_due;
    R374 [bug] "A job of the future wakes nobody at its submission." => no_early_wake;
    R375 [] "PRE_SLEEP with only jobs of the future is not answered." => sleep_on_future;
    R376 [] "Two epoch jobs with one unique are one job." => coalesces;
    R377 [] "An epoch job keeps its unique and its payload, empty or not." => unchanged;
    R378 [] "A job of the future can be cancelled." => cancelled;
    R379 [] "A background job that joins one of the future does not run it earlier." =>
        joining_is_not_earlier;
}

/// The time in this many whole seconds, in the clock of this machine.
fn in_seconds(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    (now + seconds).to_string()
}

const FAR_FUTURE: &str = "4102444800";

fn epoch(p: &mut Peer, f: &str, unique: &str, when: &str, payload: &str) -> Checked<String> {
    p.submit_args(SUBMIT_JOB_EPOCH, &[&f, &unique, &when, &payload])
}

fn now(c: &Ctx, when: &str) -> Checked {
    let f = c.name("f");
    let h = epoch(&mut c.peer()?, &f, "", when, "x")?;
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn far_future(c: &Ctx) -> Checked {
    let f = c.name("f");
    epoch(&mut c.peer()?, &f, "", FAR_FUTURE, "x")?;
    let mut w = c.worker(&[&f])?;
    w.no_job()?;
    w.no_job()
}

fn listed(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = epoch(&mut p, &f, "", FAR_FUTURE, "x")?;
    check_eq("the row of the job", p.job_row(&h)?, Some([0, 0, 1]))?;
    check_eq("the status", p.status_of(&f)?, Some([1, 0, 0]))?;
    check_eq("the queued jobs", p.priorities_of(&f)?, Some([0, 1, 0, 0]))?;
    p.status(&h, ["1", "0", "0", "0"])
}

/// Grabs again and again until the job comes.
fn grab_until(c: &Ctx, w: &mut Peer, wait: Duration) -> Checked<String> {
    let started = Instant::now();
    loop {
        let payload = w.grab_payload()?;
        if payload != "NO_JOB" {
            return Ok(payload);
        }
        if started.elapsed() > wait {
            return Err(Failure::new("the job is not given out though its time has come"));
        }
        c.pause_ms(20);
    }
}

fn due(c: &Ctx) -> Checked {
    let f = c.name("f");
    epoch(&mut c.peer()?, &f, "", &in_seconds(1), "x")?;
    let mut w = c.worker(&[&f])?;
    check_eq("the job", grab_until(c, &mut w, c.timeout + Duration::from_secs(2))?.as_str(), "x")
}

fn not_before(c: &Ctx) -> Checked {
    let f = c.name("f");
    let when = in_seconds(2);
    epoch(&mut c.peer()?, &f, "", &when, "x")?;
    let mut w = c.worker(&[&f])?;
    grab_until(c, &mut w, c.timeout + Duration::from_secs(3))?;
    check(in_seconds(0) >= when, "the job was given out before its time")
}

fn skipped(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    epoch(&mut p, &f, "", FAR_FUTURE, "future")?;
    let h = p.submit(SUBMIT_JOB_BG, &f, "", "now")?;
    let mut w = c.worker(&[&f])?;
    w.send(PRE_SLEEP, &[])?;
    w.noop()?;
    w.grab(&h, &f, "now")?;
    w.no_job()
}

fn low_not_blocked(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    epoch(&mut p, &f, "", FAR_FUTURE, "future")?;
    let h = p.submit(SUBMIT_JOB_LOW_BG, &f, "", "low")?;
    c.worker(&[&f])?.grab(&h, &f, "low")
}

fn silent(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = epoch(&mut p, &f, "", "0", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    p.sync()
}

fn normal_priority(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "low")?;
    epoch(&mut p, &f, "", "0", "epoch")?;
    p.submit(SUBMIT_JOB_HIGH_BG, &f, "", "high")?;
    let order = c.worker(&[&f])?.grab_payloads(3)?;
    check_eq("the order", order, vec!["high".to_owned(), "epoch".to_owned(), "low".to_owned()])
}

fn wakes_when_due(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    w.sleep()?;
    let when = in_seconds(2);
    let h = epoch(&mut c.peer()?, &f, "", &when, "x")?;
    // A NOOP at the submission is another rule's matter: answer it and sleep again.
    for packet in w.drain()? {
        check_eq("the packet to the sleeper", packet.kind, NOOP)?;
        w.no_job()?;
        w.sleep()?;
    }
    let woken = w.packet_within(c.timeout + Duration::from_secs(2))?;
    check_eq("what the sleeper gets", woken.map(|packet| packet.kind), Some(NOOP))?;
    w.grab(&h, &f, "x")?;
    check(in_seconds(0) >= when, "the job was given out before its time")
}

fn no_early_wake(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    w.sleep()?;
    epoch(&mut c.peer()?, &f, "", FAR_FUTURE, "x")?;
    c.silence();
    w.sync()
}

fn sleep_on_future(c: &Ctx) -> Checked {
    let f = c.name("f");
    epoch(&mut c.peer()?, &f, "", FAR_FUTURE, "x")?;
    let mut w = c.worker(&[&f])?;
    w.no_job()?;
    w.sleep()
}

fn coalesces(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = epoch(&mut p, &f, "u", FAR_FUTURE, "first")?;
    check_eq("the second handle", &epoch(&mut p, &f, "u", "0", "second")?, &h)?;
    check_eq("the status", p.status_of(&f)?, Some([1, 0, 0]))
}

fn unchanged(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let full = epoch(&mut p, &f, "unique", "0", "pay\0load")?;
    let empty = epoch(&mut p, &f, "", "0", "")?;
    let mut w = c.worker(&[&f])?;
    w.grab_uniq(&full, &f, "unique", "pay\0load")?;
    w.grab_uniq(&empty, &f, "", "")
}

fn cancelled(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = epoch(&mut p, &f, "", FAR_FUTURE, "x")?;
    p.ask(&format!("cancel job {h}"), "OK\r\n")?;
    c.worker(&[&f])?.no_job()
}

fn joining_is_not_earlier(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = epoch(&mut p, &f, "u", FAR_FUTURE, "x")?;
    check_eq("the second handle", &p.submit(SUBMIT_JOB_BG, &f, "u", "x")?, &h)?;
    c.worker(&[&f])?.no_job()
}

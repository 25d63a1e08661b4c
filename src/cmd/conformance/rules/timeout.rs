//! CAN_DO_TIMEOUT: milliseconds from the assignment of a job.

use crate::cmd::conformance::ctx::packet::{
    CAN_DO_TIMEOUT, SUBMIT_JOB, SUBMIT_JOB_BG, WORK_COMPLETE, WORK_DATA, WORK_FAIL, WORK_STATUS,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Failure, Peer, check_eq};
use crate::cmd::conformance::rule::rules;
use std::time::{Duration, Instant};

rules! { "timeout":
    R340 [slow] "A job that runs longer than its timeout goes back to its queue." => expires;
    R341 [slow] "A timeout below a second is raised to a second." => raised;
    R342 [slow] "A timeout of 0 is none." => |c| no_timeout(c, "0");
    R343 [slow] "A negative timeout is none." => |c| no_timeout(c, "-5");
    R344 [slow] "WORK_DATA and WORK_STATUS do not start the timeout anew." => not_restarted;
    R345 [slow] "The timeout starts when the job is assigned, not when the function is registered." =>
        from_assignment;
    R346 [slow] "A timeout is told neither to the worker nor to the client." => untold;
    R347 [slow] "What the worker reports after the timeout gets ERROR JOB_NOT_FOUND." => late_report;
    R348 [slow] "A timeout wakes a sleeping worker." => wakes;
    R349 [slow, options("--job-retries=1")] "A timeout counts as a loss." => counts_as_loss;
    R350 [slow, fresh, bug] "A job that was finished in time leaves no timer behind." => finished_in_time;
    R351 [slow, fresh, bug] "Each job of a worker has a timeout of its own." => each_job;
    R352 [slow] "A timeout adds 1 to the retries of the job." => adds_retry;
    R353 [slow] "A job that timed out may be run again by the same worker." => same_worker;
}

/// A worker with a timeout that has grabbed a job: client, worker, handle.
fn running(c: &Ctx, timeout: &str) -> Checked<(Peer, Peer, String)> {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    let mut w = c.peer()?;
    w.send(CAN_DO_TIMEOUT, &[&f, &timeout])?;
    w.grab(&h, &f, "x")?;
    Ok((client, w, h))
}

/// Tries again when the machine was so busy that a timeout of a second may have passed meanwhile.
fn in_time(mut attempt: impl FnMut() -> Checked<(Duration, Checked)>) -> Checked {
    for _ in 0..4 {
        let (took, outcome) = attempt()?;
        if took < Duration::from_millis(950) {
            return outcome;
        }
    }
    Err(Failure::new("what must happen within a second took longer, four times"))
}

/// Waits for the end of a timeout of a second, with room for a busy machine.
fn until_requeued(c: &Ctx, handle: &str, retries: u64) -> Checked {
    c.pause_ms(900);
    c.until_job(handle, [retries, 0, 0])
}

fn expires(c: &Ctx) -> Checked {
    let (mut client, _w, h) = running(c, "1000")?;
    until_requeued(c, &h, 1)?;
    let mut second = c.worker(&[&c.name("f")])?;
    second.grab(&h, c.name("f"), "x")?;
    second.complete(&h, "y")?;
    client.completed(&h, "y")
}

fn raised(c: &Ctx) -> Checked {
    in_time(|| {
        let started = Instant::now();
        let (mut client, _w, h) = running(c, "1")?;
        c.pause_ms(400);
        let status = client.status(&h, ["1", "1", "0", "0"]);
        Ok((started.elapsed(), status))
    })
}

fn no_timeout(c: &Ctx, timeout: &str) -> Checked {
    let (mut client, mut w, h) = running(c, timeout)?;
    c.pause_ms(1500);
    client.status(&h, ["1", "1", "0", "0"])?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")
}

fn not_restarted(c: &Ctx) -> Checked {
    in_time(|| {
        let (_client, mut w, h) = running(c, "1000")?;
        c.pause_ms(600);
        let started = Instant::now();
        w.work(WORK_DATA, &[&h, &"part"])?;
        w.work(WORK_STATUS, &[&h, &"1", &"2"])?;
        c.until_job(&h, [1, 0, 0])?;
        Ok((started.elapsed(), Ok(())))
    })
}

fn from_assignment(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    in_time(|| {
        let mut w = c.peer()?;
        w.send(CAN_DO_TIMEOUT, &[&f, &"1000"])?;
        w.sync()?;
        c.pause_ms(1200);
        let started = Instant::now();
        let h = client.submit(SUBMIT_JOB_BG, &f, "", "x")?;
        w.grab(&h, &f, "x")?;
        c.pause_ms(300);
        let status = client.status(&h, ["1", "1", "0", "0"]);
        let took = started.elapsed();
        w.send(WORK_COMPLETE, &[&h, &""])?;
        w.drain()?;
        Ok((took, status))
    })
}

fn untold(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c, "1000")?;
    until_requeued(c, &h, 1)?;
    client.sync()?;
    w.sync()
}

fn late_report(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c, "1000")?;
    until_requeued(c, &h, 1)?;
    w.send(WORK_COMPLETE, &[&h, &"late"])?;
    w.error("JOB_NOT_FOUND", "Job given in work result not found")?;
    client.sync()
}

fn wakes(c: &Ctx) -> Checked {
    let (_client, _w, h) = running(c, "1000")?;
    let mut sleeper = c.worker(&[&c.name("f")])?;
    sleeper.sleep()?;
    c.pause_ms(800);
    sleeper.noop()?;
    sleeper.grab(&h, c.name("f"), "x")
}

fn counts_as_loss(c: &Ctx) -> Checked {
    let (mut client, _w, h) = running(c, "1000")?;
    c.pause_ms(800);
    client.expect(WORK_FAIL, &[&h])
}

fn finished_in_time(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut client, mut w, h) = running(c, "1000")?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")?;
    c.pause_ms(1700);
    c.alive()?;
    check_eq("the status", c.peer()?.status_of(&f)?, Some([0, 0, 1]))?;
    let next = client.submit(SUBMIT_JOB, &f, "", "x")?;
    w.grab(&next, &f, "x")?;
    check_eq("the status with a job", c.peer()?.status_of(&f)?, Some([1, 1, 1]))
}

fn each_job(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (_client, mut w, first) = running(c, "1000")?;
    let mut client = c.peer()?;
    let second = client.submit(SUBMIT_JOB_BG, &f, "", "second")?;
    c.pause_ms(300);
    w.grab(&second, &f, "second")?;
    c.pause_ms(1000);
    c.until_job(&first, [1, 0, 0])?;
    c.until_job(&second, [1, 0, 1])
}

fn adds_retry(c: &Ctx) -> Checked {
    let (_client, mut w, h) = running(c, "1000")?;
    until_requeued(c, &h, 1)?;
    w.grab(&h, c.name("f"), "x")?;
    until_requeued(c, &h, 2)
}

fn same_worker(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c, "1000")?;
    until_requeued(c, &h, 1)?;
    w.grab(&h, c.name("f"), "x")?;
    w.complete(&h, "second try")?;
    client.completed(&h, "second try")?;
    let extra = client.packet_within(Duration::from_millis(50))?;
    check_eq("a packet after the result", extra, None)
}

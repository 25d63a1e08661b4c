//! Workers and clients that go away, and what becomes of their jobs.

use crate::cmd::conformance::ctx::packet::{
    GRAB_JOB, NO_JOB, RESET_ABILITIES, SUBMIT_JOB, SUBMIT_JOB_BG, SUBMIT_JOB_HIGH, WORK_COMPLETE, WORK_DATA,
    WORK_FAIL, WORK_STATUS,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Peer, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "loss":
    R300 [] "The job of a worker that disconnects is given to the next one, unchanged." => requeued;
    R301 [] "A lost worker adds 1 to the retries of its job." => retries;
    R302 [] "A lost worker sets the numbers of its job back to 0." => numbers_reset;
    R303 [] "A job that comes back goes to the tail of its priority." => tail;
    R304 [] "A job that comes back keeps its priority." => keeps_priority;
    R305 [] "Of several jobs of a lost worker the one grabbed last comes back first." => last_first;
    R306 [] "A background job comes back from a lost worker too." => background;
    R307 [] "CANT_DO of a running job's function gives the job back." => |c| gives_back(c, false);
    R308 [] "RESET_ABILITIES gives the running jobs back." => |c| gives_back(c, true);
    R309 [] "The client of a job that came back gets the result of the second worker." => second_result;
    R310 [] "A foreground client that leaves abandons its queued job, which stays in the counts." =>
        abandoned_counts;
    R311 [] "An abandoned queued job is given to nobody and is gone after the look-up." => abandoned_gone;
    R312 [] "The worker of an abandoned job may finish it without an error." => abandoned_finishes;
    R313 [] "An abandoned job that loses its worker is run by nobody." => abandoned_lost;
    R314 [] "A client that half-closes its connection has left." => half_close;
    R315 [options("--job-retries=1")]
        "With --job-retries=1 the client gets WORK_FAIL after the first loss." =>
        |c| fails_after(c, 1);
    R316 [options("--job-retries=2")]
        "With --job-retries=2 the client gets WORK_FAIL after the second loss." =>
        |c| fails_after(c, 2);
    R317 [options("--job-retries=1")] "A job dropped after its retries is listed no more." => dropped_gone;
    R318 [options("--job-retries=1")] "CANT_DO counts as a loss." => cant_do_counts;
    R319 [options("--job-retries=1")] "Every attached client gets the WORK_FAIL of a dropped job." =>
        everybody_told;
    R320 [only11, options("--job-retries=0")] "--job-retries=0 is no limit." => unlimited;
    R321 [only20, options("--job-retries=0")] "--job-retries=0 is no second try." => |c| fails_after(c, 1);
    R322 [only20, options("--job-retries=-1")] "--job-retries=-1 is no limit." => unlimited;
    R323 [] "Without --job-retries a job comes back without limit." => unlimited;
    R324 [] "A lost worker with three jobs gives all of them back." => gives_all_back;
    R325 [] "A client that is also a worker abandons its jobs and gives back those of others." => both_roles;
    R326 [] "A lost worker is no failure for the client." => client_untold;
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

fn requeued(c: &Ctx) -> Checked {
    let (_client, w, h) = running(c)?;
    drop(w);
    c.until_job(&h, [1, 0, 0])?;
    c.worker(&[&c.name("f")])?.grab_uniq(&h, c.name("f"), "u", "x")
}

fn retries(c: &Ctx) -> Checked {
    let (_client, mut w, h) = running(c)?;
    for lost in 1..=3 {
        drop(w);
        c.until_job(&h, [lost, 0, 0])?;
        w = c.worker(&[&c.name("f")])?;
        w.grab(&h, c.name("f"), "x")?;
    }
    Ok(())
}

fn numbers_reset(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_STATUS, &[&h, &"3", &"4"])?;
    client.expect(WORK_STATUS, &[&h, &"3", &"4"])?;
    client.status(&h, ["1", "1", "3", "4"])?;
    drop(w);
    c.until_job(&h, [1, 0, 0])?;
    client.status(&h, ["1", "0", "0", "0"])
}

fn tail(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut client, w, h) = running(c)?;
    let second = client.submit(SUBMIT_JOB, &f, "", "second")?;
    drop(w);
    c.until_job(&h, [1, 0, 0])?;
    let mut w = c.worker(&[&f])?;
    w.grab(&second, &f, "second")?;
    w.grab(&h, &f, "x")
}

fn keeps_priority(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let high = client.submit(SUBMIT_JOB_HIGH, &f, "", "high")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&high, &f, "high")?;
    client.submit(SUBMIT_JOB, &f, "", "normal")?;
    drop(w);
    c.until_job(&high, [1, 0, 0])?;
    c.worker(&[&f])?.grab(&high, &f, "high")
}

fn last_first(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let mut last = String::new();
    for payload in ["1", "2", "3"] {
        last = client.submit(SUBMIT_JOB, &f, "", payload)?;
    }
    let mut w = c.worker(&[&f])?;
    w.grab_payloads(3)?;
    drop(w);
    c.until_job(&last, [1, 0, 0])?;
    c.until_status(&f, [3, 0, 0])?;
    let order = c.worker(&[&f])?.grab_payloads(3)?;
    check_eq("the order", order, vec!["3".to_owned(), "2".to_owned(), "1".to_owned()])
}

fn background(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    drop(w);
    c.until_job(&h, [1, 0, 1])?;
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn gives_back(c: &Ctx, reset: bool) -> Checked {
    let f = c.name("f");
    let (mut client, mut w, h) = running(c)?;
    if reset {
        w.work(RESET_ABILITIES, &[])?;
    } else {
        w.cant_do(&f)?;
    }
    c.until_job(&h, [1, 0, 0])?;
    w.send(WORK_COMPLETE, &[&h, &"late"])?;
    w.error("JOB_NOT_FOUND", "Job given in work result not found")?;
    client.sync()?;
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn second_result(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.work(WORK_DATA, &[&h, &"part"])?;
    drop(w);
    c.until_job(&h, [1, 0, 0])?;
    let mut second = c.worker(&[&c.name("f")])?;
    second.grab(&h, c.name("f"), "x")?;
    second.complete(&h, "second")?;
    client.expect(WORK_DATA, &[&h, &"part"])?;
    client.completed(&h, "second")
}

fn abandoned_counts(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    drop(client);
    c.until_job(&h, [0, 1, 0])?;
    check_eq("the status", c.peer()?.status_of(&f)?, Some([1, 0, 0]))
}

fn abandoned_gone(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    drop(client);
    c.until_job(&h, [0, 1, 0])?;
    c.worker(&[&f])?.no_job()?;
    let mut p = c.peer()?;
    check_eq("the row of the job", p.job_row(&h)?, None)?;
    p.status(&h, ["0", "0", "0", "0"])
}

fn abandoned_finishes(c: &Ctx) -> Checked {
    let (client, mut w, h) = running(c)?;
    drop(client);
    c.until_job(&h, [0, 1, 0])?;
    w.work(WORK_DATA, &[&h, &"part"])?;
    w.complete(&h, "y")?;
    check_eq("the row of the job", c.peer()?.job_row(&h)?, None)
}

fn abandoned_lost(c: &Ctx) -> Checked {
    let (client, w, h) = running(c)?;
    drop(client);
    c.until_job(&h, [0, 1, 0])?;
    drop(w);
    let mut admin = c.peer()?;
    c.until("the worker is noticed to be lost", || {
        Ok(admin.status_of(&c.name("f"))?.is_some_and(|[_, running, workers]| running == 0 && workers == 0))
    })?;
    c.worker(&[&c.name("f")])?.no_job()
}

fn half_close(c: &Ctx) -> Checked {
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    client.half_close()?;
    c.until_job(&h, [0, 1, 0])
}

/// After this many lost workers the client gets WORK_FAIL, and not before.
fn fails_after(c: &Ctx, losses: usize) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    for loss in 1..=losses {
        let mut w = c.worker(&[&f])?;
        w.grab(&h, &f, "x")?;
        drop(w);
        if loss < losses {
            c.until_status(&f, [1, 0, 0])?;
            client.sync()?;
        }
    }
    client.expect(WORK_FAIL, &[&h])?;
    c.worker(&[&f])?.no_job()
}

fn dropped_gone(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    drop(w);
    c.until_status(&f, [0, 0, 0])?;
    check_eq("the row of the job", c.peer()?.job_row(&h)?, None)
}

fn cant_do_counts(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    w.cant_do(c.name("f"))?;
    client.expect(WORK_FAIL, &[&h])
}

fn everybody_told(c: &Ctx) -> Checked {
    let (mut client, w, h) = running(c)?;
    let mut other = c.peer()?;
    other.submit(SUBMIT_JOB, c.name("f"), "u", "x")?;
    drop(w);
    client.expect(WORK_FAIL, &[&h])?;
    other.expect(WORK_FAIL, &[&h])
}

fn unlimited(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running(c)?;
    for lost in 1..=6 {
        drop(w);
        c.until_job(&h, [lost, 0, 0])?;
        w = c.worker(&[&c.name("f")])?;
        w.grab(&h, c.name("f"), "x")?;
    }
    w.complete(&h, "y")?;
    client.completed(&h, "y")
}

fn gives_all_back(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    for payload in ["1", "2", "3"] {
        client.submit(SUBMIT_JOB_BG, &f, "", payload)?;
    }
    let mut w = c.worker(&[&f])?;
    w.grab_payloads(3)?;
    c.until_status(&f, [3, 3, 1])?;
    drop(w);
    c.until_status(&f, [3, 0, 0])
}

fn both_roles(c: &Ctx) -> Checked {
    let (f, g) = (c.name("f"), c.name("g"));
    let theirs = c.peer()?.submit(SUBMIT_JOB_BG, &g, "", "x")?;
    let mut both = c.worker(&[&g])?;
    let own = both.submit(SUBMIT_JOB, &f, "", "x")?;
    both.grab(&theirs, &g, "x")?;
    drop(both);
    c.until_job(&theirs, [1, 0, 1])?;
    c.until_job(&own, [0, 1, 0])
}

fn client_untold(c: &Ctx) -> Checked {
    let (mut client, w, h) = running(c)?;
    drop(w);
    c.until_job(&h, [1, 0, 0])?;
    client.sync()?;
    let mut idle = c.worker(&[&c.name("g")])?;
    idle.send(GRAB_JOB, &[])?;
    idle.expect(NO_JOB, &[])
}

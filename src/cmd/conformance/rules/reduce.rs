//! SUBMIT_REDUCE_JOB and its background form.

use crate::cmd::conformance::ctx::packet::{
    GRAB_JOB_ALL, JOB_ASSIGN_ALL, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW_BG, SUBMIT_REDUCE_JOB,
    SUBMIT_REDUCE_JOB_BG,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "reduce":
    R390 [] "SUBMIT_REDUCE_JOB is answered by JOB_CREATED and its client gets the result." => foreground;
    R391 [] "GRAB_JOB_ALL of a reduce job gets JOB_ASSIGN_ALL with the reducer before the payload." =>
        assign_all;
    R392 [] "GRAB_JOB of a reduce job gets a plain JOB_ASSIGN." => assign;
    R393 [] "GRAB_JOB_UNIQ of a reduce job gets a plain JOB_ASSIGN_UNIQ." => assign_uniq;
    R394 [] "SUBMIT_REDUCE_JOB_BACKGROUND makes a background job." => background;
    R395 [] "A reduce job has NORMAL priority." => normal_priority;
    R396 [] "Two reduce jobs with one unique are one job." => coalesces;
    R397 [bug] "SUBMIT_REDUCE_JOB with a unique of 65 bytes gets ERROR ARGUMENT_TOO_LARGE." =>
        |c| long_unique(c, SUBMIT_REDUCE_JOB);
    R398 [bug] "SUBMIT_REDUCE_JOB_BACKGROUND with a unique of 65 bytes gets ERROR ARGUMENT_TOO_LARGE." =>
        |c| long_unique(c, SUBMIT_REDUCE_JOB_BG);
    R399 [bug] "A reduce job with a unique of 64 bytes keeps it whole." => unique_64;
    R400 [] "A reduce job of a lost worker keeps its reducer." => after_loss;
}

fn foreground(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit_args(SUBMIT_REDUCE_JOB, &[&f, &"u", &"reducer", &"", &"x"])?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    p.completed(&h, "y")
}

fn assign_all(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &"u", &"reducer", &"ignored", &"pay\0load"])?;
    let mut w = c.worker(&[&f])?;
    w.send(GRAB_JOB_ALL, &[])?;
    w.expect(JOB_ASSIGN_ALL, &[&h, &f, &"u", &"reducer", &"pay\0load"])
}

fn assign(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &"u", &"reducer", &"", &"x"])?;
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn assign_uniq(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &"u", &"reducer", &"", &"x"])?;
    c.worker(&[&f])?.grab_uniq(&h, &f, "u", "x")
}

fn background(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &"u", &"reducer", &"", &"x"])?;
    check_eq("the row of the job", p.job_row(&h)?, Some([0, 0, 1]))?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    p.sync()
}

fn normal_priority(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "low")?;
    p.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &"u", &"reducer", &"", &"reduce"])?;
    p.submit(SUBMIT_JOB_HIGH_BG, &f, "", "high")?;
    let order = c.worker(&[&f])?.grab_payloads(3)?;
    check_eq("the order", order, vec!["high".to_owned(), "reduce".to_owned(), "low".to_owned()])
}

fn coalesces(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit_args(SUBMIT_REDUCE_JOB, &[&f, &"u", &"reducer", &"", &"1"])?;
    let second = p.submit_args(SUBMIT_REDUCE_JOB, &[&f, &"u", &"reducer", &"", &"2"])?;
    check_eq("the second handle", &second, &h)?;
    check_eq("the status", p.status_of(&f)?, Some([1, 0, 0]))
}

fn long_unique(c: &Ctx, kind: u32) -> Checked {
    let mut p = c.peer()?;
    p.send(kind, &[&c.name("f"), &[b'u'; 65], &"reducer", &"", &"x"])?;
    p.error("ARGUMENT_TOO_LARGE", "Unique value too large")?;
    p.sync()
}

fn unique_64(c: &Ctx) -> Checked {
    let f = c.name("f");
    let unique = "u".repeat(64);
    let h = c.peer()?.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &unique, &"reducer", &"", &"x"])?;
    c.worker(&[&f])?.grab_uniq(&h, &f, &unique, "x")
}

fn after_loss(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit_args(SUBMIT_REDUCE_JOB_BG, &[&f, &"u", &"reducer", &"", &"x"])?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    drop(w);
    c.until_job(&h, [1, 0, 1])?;
    let mut w = c.worker(&[&f])?;
    w.send(GRAB_JOB_ALL, &[])?;
    w.expect(JOB_ASSIGN_ALL, &[&h, &f, &"u", &"reducer", &"x"])
}

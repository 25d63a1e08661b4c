//! Jobs with the same function and unique are one job.

use crate::cmd::conformance::ctx::packet::{
    SUBMIT_JOB, SUBMIT_JOB_BG, SUBMIT_JOB_EPOCH, SUBMIT_JOB_HIGH, SUBMIT_JOB_LOW, SUBMIT_REDUCE_JOB,
    WORK_COMPLETE, WORK_DATA,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "coalesce":
    R200 [] "Two foreground submissions with one unique get one handle, and both clients the result." =>
        fg_fg;
    R201 [] "A background submission joins a foreground job." => |c| joins(c, SUBMIT_JOB, SUBMIT_JOB_BG);
    R202 [] "A foreground submission joins a background job and gets its result." => fg_joins_bg;
    R203 [] "Two background submissions with one unique are one job." =>
        |c| joins(c, SUBMIT_JOB_BG, SUBMIT_JOB_BG);
    R204 [] "The same unique for two functions makes two jobs." => two_functions;
    R205 [] "Jobs with an empty unique are never one job." => |c| apart(c, ("", "x"), ("", "x"));
    R206 [] "Jobs with the unique - and the same payload are one job." => dash_same;
    R207 [] "Jobs with the unique - and different payloads are two jobs." =>
        |c| apart(c, ("-", "x"), ("-", "y"));
    R208 [] "Jobs with the unique - and an empty payload are two jobs." => |c| apart(c, ("-", ""), ("-", ""));
    R209 [] "Uniques that differ in case are two jobs." => |c| apart(c, ("unique", "x"), ("UNIQUE", "x"));
    R210 [] "The payload of the first submission counts." => first_payload;
    R211 [] "The priority of the first submission counts." => first_priority;
    R212 [] "A submission joins a job that runs already." => joins_running;
    R213 [] "After a job has ended its unique makes a new one." => free_after_end;
    R214 [] "A client attached three times gets everything three times." => three_times;
    R215 [] "SUBMIT_JOB_EPOCH joins an unfinished job." => epoch_joins;
    R216 [] "SUBMIT_REDUCE_JOB joins an unfinished job." => reduce_joins;
    R217 [] "When one of two clients leaves, the other still gets the result." => one_leaves;
    R218 [bug] "A submission with the unique of an abandoned queued job is run and answered." =>
        onto_abandoned;
    R219 [bug] "A submission with the unique of an abandoned running job is answered." =>
        onto_abandoned_running;
    R220 [bug] "A background job outlives a foreground client that joined it and left." => bg_fg_leaves;
    R221 [bug] "A foreground job that a background submission joined outlives its client." => promoted;
    R222 [] "Uniques of 63 bytes that differ in the last byte are two jobs." => sixty_three;
    R223 [bug] "Two submissions with one unique of 64 bytes are one job." => sixty_four;
    R224 [] "The unique # has no meaning of its own and coalesces like others." => hash_sign;
    R225 [] "A job stays one when its worker is lost." => after_loss;
    R226 [] "A submission that joined is one job in the counts." => counts_once;
    R227 [bug] "A foreground job that a background submission joined is listed as background." =>
        promoted_listed;
}

/// Two kinds of submission with one unique are one job, which runs once.
fn joins(c: &Ctx, first: u32, second: u32) -> Checked {
    let f = c.name("f");
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    let h = one.submit(first, &f, "u", "x")?;
    check_eq("the second handle", &two.submit(second, &f, "u", "x")?, &h)?;
    let mut w = c.worker(&[&f])?;
    w.grab_uniq(&h, &f, "u", "x")?;
    w.no_job()
}

/// Two submissions are two jobs.
fn apart(c: &Ctx, (unique_a, payload_a): (&str, &str), (unique_b, payload_b): (&str, &str)) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let a = p.submit(SUBMIT_JOB, &f, unique_a, payload_a)?;
    let b = p.submit(SUBMIT_JOB, &f, unique_b, payload_b)?;
    check(a != b, format!("both handles are {a}"))?;
    let mut w = c.worker(&[&f])?;
    w.grab(&a, &f, payload_a)?;
    w.grab(&b, &f, payload_b)
}

fn fg_fg(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    let h = one.submit(SUBMIT_JOB, &f, "u", "x")?;
    check_eq("the second handle", &two.submit(SUBMIT_JOB, &f, "u", "x")?, &h)?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.no_job()?;
    w.complete(&h, "y")?;
    one.completed(&h, "y")?;
    two.completed(&h, "y")
}

fn fg_joins_bg(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    let h = one.submit(SUBMIT_JOB_BG, &f, "u", "x")?;
    check_eq("the second handle", &two.submit(SUBMIT_JOB, &f, "u", "x")?, &h)?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    two.completed(&h, "y")?;
    one.sync()
}

fn two_functions(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let a = p.submit(SUBMIT_JOB, c.name("f"), "u", "x")?;
    let b = p.submit(SUBMIT_JOB, c.name("g"), "u", "x")?;
    check(a != b, format!("both handles are {a}"))
}

fn dash_same(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB_BG, &f, "-", "x")?;
    check_eq("the second handle", &p.submit(SUBMIT_JOB_BG, &f, "-", "x")?, &h)?;
    let mut w = c.worker(&[&f])?;
    w.grab_uniq(&h, &f, "-", "x")?;
    w.no_job()
}

fn first_payload(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "first")?;
    p.submit(SUBMIT_JOB, &f, "u", "second")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "first")?;
    w.no_job()
}

fn first_priority(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let low = p.submit(SUBMIT_JOB_LOW, &f, "u", "low")?;
    let normal = p.submit(SUBMIT_JOB, &f, "v", "normal")?;
    p.submit(SUBMIT_JOB_HIGH, &f, "u", "low")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&normal, &f, "normal")?;
    w.grab(&low, &f, "low")
}

fn joins_running(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    let h = one.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    check_eq("the second handle", &two.submit(SUBMIT_JOB, &f, "u", "x")?, &h)?;
    w.work(WORK_DATA, &[&h, &"part"])?;
    w.complete(&h, "y")?;
    for client in [&mut one, &mut two] {
        client.expect(WORK_DATA, &[&h, &"part"])?;
        client.completed(&h, "y")?;
    }
    Ok(())
}

fn free_after_end(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let mut w = c.worker(&[&f])?;
    let first = p.submit(SUBMIT_JOB, &f, "u", "1")?;
    w.grab(&first, &f, "1")?;
    w.complete(&first, "y")?;
    p.completed(&first, "y")?;
    let second = p.submit(SUBMIT_JOB, &f, "u", "2")?;
    check(first != second, format!("both handles are {first}"))?;
    w.grab(&second, &f, "2")
}

fn three_times(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "x")?;
    p.submit(SUBMIT_JOB, &f, "u", "x")?;
    p.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.work(WORK_DATA, &[&h, &"part"])?;
    w.complete(&h, "y")?;
    (0..3).try_for_each(|_| p.expect(WORK_DATA, &[&h, &"part"]))?;
    (0..3).try_for_each(|_| p.expect(WORK_COMPLETE, &[&h, &"y"]))?;
    p.sync()
}

fn epoch_joins(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "x")?;
    let second = p.submit_args(SUBMIT_JOB_EPOCH, &[&f, &"u", &"4102444800", &"late"])?;
    check_eq("the second handle", &second, &h)?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.no_job()
}

fn reduce_joins(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "x")?;
    let second = p.submit_args(SUBMIT_REDUCE_JOB, &[&f, &"u", &"r", &"", &"other"])?;
    check_eq("the second handle", &second, &h)?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.no_job()
}

fn one_leaves(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    let h = one.submit(SUBMIT_JOB, &f, "u", "x")?;
    two.submit(SUBMIT_JOB, &f, "u", "x")?;
    drop(one);
    c.silence();
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    two.completed(&h, "y")
}

fn onto_abandoned(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut one = c.peer()?;
    let first = one.submit(SUBMIT_JOB, &f, "u", "x")?;
    drop(one);
    c.until_job(&first, [0, 1, 0])?;
    let mut two = c.peer()?;
    let second = two.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&second, &f, "x")?;
    w.complete(&second, "y")?;
    two.completed(&second, "y")
}

fn onto_abandoned_running(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut one = c.peer()?;
    let first = one.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&first, &f, "x")?;
    drop(one);
    c.until_job(&first, [0, 1, 0])?;
    let mut two = c.peer()?;
    let second = two.submit(SUBMIT_JOB, &f, "u", "x")?;
    // Either the running job answers, or a second one does.
    if second != first {
        w.complete(&first, "old")?;
        w.grab(&second, &f, "x")?;
    }
    // What the job reports while it runs shows that the client is attached again.
    w.work(WORK_DATA, &[&second, &"part"])?;
    two.expect(WORK_DATA, &[&second, &"part"])?;
    drop(w);
    let mut w = c.worker(&[&f])?;
    c.until_job(&second, [1, 0, 0])?;
    w.grab(&second, &f, "x")?;
    w.complete(&second, "y")?;
    two.completed(&second, "y")
}

fn bg_fg_leaves(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "u", "x")?;
    let mut two = c.peer()?;
    two.submit(SUBMIT_JOB, &f, "u", "x")?;
    drop(two);
    c.silence();
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn promoted(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut one = c.peer()?;
    let h = one.submit(SUBMIT_JOB, &f, "u", "x")?;
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "u", "x")?;
    drop(one);
    c.silence();
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn promoted_listed(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "x")?;
    p.submit(SUBMIT_JOB_BG, &f, "u", "x")?;
    check_eq("the row of the job", p.job_row(&h)?, Some([0, 0, 1]))
}

fn sixty_three(c: &Ctx) -> Checked {
    let start = "u".repeat(62);
    apart(c, (&format!("{start}a"), "x"), (&format!("{start}b"), "x"))
}

fn sixty_four(c: &Ctx) -> Checked {
    let f = c.name("f");
    let unique = "u".repeat(64);
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB_BG, &f, &unique, "x")?;
    check_eq("the second handle", &p.submit(SUBMIT_JOB_BG, &f, &unique, "x")?, &h)?;
    check_eq("the status", p.status_of(&f)?, Some([1, 0, 0]))
}

fn hash_sign(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB_BG, &f, "#", "x")?;
    check_eq("the second handle", &p.submit(SUBMIT_JOB_BG, &f, "#", "y")?, &h)?;
    c.worker(&[&f])?.grab_uniq(&h, &f, "#", "x")
}

fn after_loss(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    drop(w);
    c.until_job(&h, [1, 0, 0])?;
    check_eq("the second handle", &p.submit(SUBMIT_JOB, &f, "u", "x")?, &h)
}

fn counts_once(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    for _ in 0..4 {
        p.submit(SUBMIT_JOB_BG, &f, "u", "x")?;
    }
    check_eq("the status", p.status_of(&f)?, Some([1, 0, 0]))?;
    check_eq("the queued jobs", p.priorities_of(&f)?, Some([0, 1, 0, 0]))
}

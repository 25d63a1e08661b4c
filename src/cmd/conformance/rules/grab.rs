//! Grabbing: what a worker may do, and what it is given.

use crate::cmd::conformance::ctx::packet::{
    CAN_DO, CAN_DO_TIMEOUT, CANT_DO, GRAB_JOB, GRAB_JOB_ALL, GRAB_JOB_UNIQ, JOB_ASSIGN, JOB_ASSIGN_UNIQ,
    NO_JOB, RESET_ABILITIES, SET_CLIENT_ID, SUBMIT_JOB, SUBMIT_JOB_BG, req,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "grab":
    R120 [] "GRAB_JOB of a connection without abilities gets NO_JOB." => |c| grab_nothing(c, GRAB_JOB);
    R121 [] "GRAB_JOB_UNIQ of a connection without abilities gets NO_JOB." =>
        |c| grab_nothing(c, GRAB_JOB_UNIQ);
    R122 [] "GRAB_JOB_ALL of a connection without abilities gets NO_JOB." =>
        |c| grab_nothing(c, GRAB_JOB_ALL);
    R123 [] "GRAB_JOB gets JOB_ASSIGN with handle, function and payload." => grab_plain;
    R124 [] "GRAB_JOB_UNIQ gets JOB_ASSIGN_UNIQ with the unique before the payload." => grab_uniq;
    R125 [] "GRAB_JOB_ALL gets JOB_ASSIGN_UNIQ when the job has no reducer." => grab_all;
    R126 [] "The unique of a job that was sent empty is empty." => |c| unique_verbatim(c, "");
    R127 [] "The unique of a job that was sent as a dash is a dash." => |c| unique_verbatim(c, "-");
    R128 [] "A job is given to one worker only." => once;
    R129 [] "A worker may hold several jobs." => several;
    R130 [] "Jobs of one priority are given out in the order of their submission." => fifo;
    R131 [] "CAN_DO, CANT_DO, RESET_ABILITIES, CAN_DO_TIMEOUT and SET_CLIENT_ID are not answered." =>
        no_answers;
    R132 [] "After CANT_DO a worker is given no job of that function." => cant_do;
    R133 [] "After RESET_ABILITIES a worker is given no job at all." => reset;
    R134 [] "A worker is given jobs of its own functions only." => own_functions;
    R135 [] "CAN_DO repeated counts the worker again each time." => counted_again;
    R136 [] "CANT_DO takes back all repeats of a CAN_DO." => cant_do_all;
    R137 [] "CANT_DO of a function that was never registered changes nothing." => cant_do_unknown;
    R138 [] "CAN_DO_TIMEOUT registers a function as CAN_DO does." => can_do_timeout;
    R139 [] "Three grabs in one segment are answered in their order." => pipelined_grabs;
    R140 [] "A worker that disconnects is no longer counted." => disconnect_counts;
    R141 [] "A function that lost its only ability can be registered again." => register_again;
    R142 [] "CANT_DO of one function leaves the others." => cant_do_one;
}

fn grab_nothing(c: &Ctx, kind: u32) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    p.send(kind, &[])?;
    p.expect(NO_JOB, &[])
}

fn grab_plain(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "u", "in\0put")?;
    c.worker(&[&f])?.grab(&h, &f, "in\0put")
}

fn grab_uniq(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "Unique 1", "in\0put")?;
    c.worker(&[&f])?.grab_uniq(&h, &f, "Unique 1", "in\0put")
}

fn grab_all(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "u", "x")?;
    let mut w = c.worker(&[&f])?;
    w.send(GRAB_JOB_ALL, &[])?;
    w.expect(JOB_ASSIGN_UNIQ, &[&h, &f, &"u", &"x"])?;
    w.send(GRAB_JOB_ALL, &[])?;
    w.expect(NO_JOB, &[])
}

fn unique_verbatim(c: &Ctx, unique: &str) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, unique, "x")?;
    c.worker(&[&f])?.grab_uniq(&h, &f, unique, "x")
}

fn once(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let (mut one, mut two) = (c.worker(&[&f])?, c.worker(&[&f])?);
    one.grab(&h, &f, "x")?;
    two.no_job()?;
    one.no_job()
}

fn several(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let a = client.submit(SUBMIT_JOB, &f, "", "1")?;
    let b = client.submit(SUBMIT_JOB, &f, "", "2")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&a, &f, "1")?;
    w.grab(&b, &f, "2")?;
    c.until_status(&f, [2, 2, 1])?;
    w.complete(&a, "A")?;
    w.complete(&b, "B")?;
    client.completed(&a, "A")?;
    client.completed(&b, "B")
}

fn fifo(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let payloads: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for payload in &payloads {
        client.submit(SUBMIT_JOB_BG, &f, "", payload)?;
    }
    check_eq("the order of the jobs", c.worker(&[&f])?.grab_payloads(20)?, payloads)
}

fn no_answers(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.peer()?;
    w.send(CAN_DO, &[&f])?;
    w.send(CAN_DO_TIMEOUT, &[&f, &"0"])?;
    w.send(SET_CLIENT_ID, &[&"someone"])?;
    w.send(CANT_DO, &[&f])?;
    w.send(RESET_ABILITIES, &[])?;
    w.sync()
}

fn cant_do(c: &Ctx) -> Checked {
    let f = c.name("f");
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.cant_do(&f)?;
    w.no_job()
}

fn reset(c: &Ctx) -> Checked {
    let (f, g) = (c.name("f"), c.name("g"));
    let mut client = c.peer()?;
    client.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    client.submit(SUBMIT_JOB_BG, &g, "", "x")?;
    let mut w = c.worker(&[&f, &g])?;
    w.send(RESET_ABILITIES, &[])?;
    w.no_job()?;
    c.until_status(&f, [1, 0, 0])?;
    c.until_status(&g, [1, 0, 0])
}

fn own_functions(c: &Ctx) -> Checked {
    let (f, g) = (c.name("f"), c.name("g"));
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    c.worker(&[&g])?.no_job()?;
    c.worker(&[&g, &f])?.grab(&h, &f, "x")
}

fn counted_again(c: &Ctx) -> Checked {
    let f = c.name("f");
    let _w = c.worker(&[&f, &f, &f])?;
    check_eq("the status", c.peer()?.status_of(&f)?, Some([0, 0, 3]))
}

fn cant_do_all(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f, &f, &f])?;
    w.cant_do(&f)?;
    w.no_job()?;
    check_eq("the status", c.peer()?.status_of(&f)?, Some([0, 0, 0]))
}

fn cant_do_unknown(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.cant_do(c.name("g"))?;
    w.grab(&h, &f, "x")
}

fn can_do_timeout(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.peer()?;
    w.send(CAN_DO_TIMEOUT, &[&f, &"60000"])?;
    w.grab(&h, &f, "x")?;
    check_eq("the status", c.peer()?.status_of(&f)?, Some([1, 1, 1]))?;
    w.complete(&h, "y")
}

fn pipelined_grabs(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let a = client.submit(SUBMIT_JOB_BG, &f, "", "1")?;
    let b = client.submit(SUBMIT_JOB_BG, &f, "", "2")?;
    let mut w = c.worker(&[&f])?;
    w.raw(&req(GRAB_JOB, &[]).repeat(3))?;
    w.expect(JOB_ASSIGN, &[&a, &f, &"1"])?;
    w.expect(JOB_ASSIGN, &[&b, &f, &"2"])?;
    w.expect(NO_JOB, &[])
}

fn disconnect_counts(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (one, _two) = (c.worker(&[&f])?, c.worker(&[&f])?);
    c.until_status(&f, [0, 0, 2])?;
    drop(one);
    c.until_status(&f, [0, 0, 1])
}

fn register_again(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.cant_do(&f)?;
    w.no_job()?;
    w.can_do(&f)?;
    w.grab(&h, &f, "x")
}

fn cant_do_one(c: &Ctx) -> Checked {
    let (f, g) = (c.name("f"), c.name("g"));
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &g, "", "x")?;
    let mut w = c.worker(&[&f, &g])?;
    w.cant_do(&f)?;
    w.grab(&h, &g, "x")
}

//! GET_STATUS and GET_STATUS_UNIQUE.

use crate::cmd::conformance::ctx::packet::{
    GET_STATUS, STATUS_RES, SUBMIT_JOB, SUBMIT_JOB_BG, WORK_FAIL, WORK_STATUS,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Peer};
use crate::cmd::conformance::rule::rules;

rules! { "status":
    R240 [] "GET_STATUS of an unknown handle is answered by its zeros." => unknown;
    R241 [] "GET_STATUS of a queued job says known and not running." => queued;
    R242 [] "GET_STATUS of a running job says running." => running;
    R243 [] "GET_STATUS gives the numbers of the last WORK_STATUS." => numbers;
    R244 [] "WORK_STATUS with words for numbers is stored as 0." => |c| stored(c, ["abc", "x"], ["0", "0"]);
    R245 [] "WORK_STATUS with -1 is stored as 4294967295." => |c| stored(c, ["-1", "-1"], ["4294967295"; 2]);
    R246 [] "WORK_STATUS numbers end at the first character that is no digit." =>
        |c| stored(c, ["12x", "34.5"], ["12", "34"]);
    R247 [] "GET_STATUS of a finished job says unknown." => finished;
    R248 [] "GET_STATUS of a failed job says unknown." => failed;
    R249 [] "Any connection may ask for the status of a job." => any_connection;
    R250 [] "GET_STATUS echoes the handle up to its first NUL." => echoed_to_nul;
    R251 [] "GET_STATUS_UNIQUE of an unknown unique is answered by its zeros." => unique_unknown;
    R252 [] "GET_STATUS_UNIQUE of a queued foreground job says known and one client." => unique_queued;
    R253 [] "GET_STATUS_UNIQUE of a background job says no client." => unique_background;
    R254 [] "GET_STATUS_UNIQUE of a running job says running and gives its numbers." => unique_running;
    R255 [] "GET_STATUS_UNIQUE counts every attached submission." => unique_attached;
    R256 [] "GET_STATUS_UNIQUE of a finished job says unknown." => unique_finished;
    R257 [] "GET_STATUS_UNIQUE of an empty unique says unknown." => unique_empty;
    R258 [] "GET_STATUS_UNIQUE finds the newest job with the unique, whatever its function." => unique_newest;
    R259 [] "GET_STATUS_UNIQUE counts a client no more that has left." => unique_client_left;
}

/// A job with this unique that a worker has grabbed: client, worker, handle.
fn running_job(c: &Ctx, unique: &str) -> Checked<(Peer, Peer, String)> {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, unique, "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    Ok((client, w, h))
}

fn unknown(c: &Ctx) -> Checked {
    c.peer()?.status("H:nowhere:99999999", ["0", "0", "0", "0"])
}

fn queued(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    p.status(&h, ["1", "0", "0", "0"])
}

fn running(c: &Ctx) -> Checked {
    let (mut client, _w, h) = running_job(c, "")?;
    client.status(&h, ["1", "1", "0", "0"])
}

fn numbers(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running_job(c, "")?;
    for (numerator, denominator) in [("1", "10"), ("7", "20")] {
        w.work(WORK_STATUS, &[&h, &numerator, &denominator])?;
        client.expect(WORK_STATUS, &[&h, &numerator, &denominator])?;
        client.status(&h, ["1", "1", numerator, denominator])?;
    }
    Ok(())
}

fn stored(c: &Ctx, sent: [&str; 2], expected: [&str; 2]) -> Checked {
    let (mut client, mut w, h) = running_job(c, "")?;
    let ([numerator, denominator], [stored_numerator, stored_denominator]) = (sent, expected);
    w.work(WORK_STATUS, &[&h, &numerator, &denominator])?;
    client.expect(WORK_STATUS, &[&h, &numerator, &denominator])?;
    client.status(&h, ["1", "1", stored_numerator, stored_denominator])
}

fn finished(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running_job(c, "")?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")?;
    client.status(&h, ["0", "0", "0", "0"])
}

fn failed(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running_job(c, "")?;
    w.work(WORK_FAIL, &[&h])?;
    client.expect(WORK_FAIL, &[&h])?;
    client.status(&h, ["0", "0", "0", "0"])
}

fn any_connection(c: &Ctx) -> Checked {
    let (_client, mut w, h) = running_job(c, "")?;
    w.work(WORK_STATUS, &[&h, &"3", &"4"])?;
    c.peer()?.status(&h, ["1", "1", "3", "4"])?;
    w.status(&h, ["1", "1", "3", "4"])
}

fn echoed_to_nul(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(GET_STATUS, &[&"H:nowhere:1\0junk"])?;
    p.expect(STATUS_RES, &[&"H:nowhere:1", &"0", &"0", &"0", &"0"])
}

fn unique_unknown(c: &Ctx) -> Checked {
    c.peer()?.status_unique(c.name("u"), ["0", "0", "0", "0", "0"])
}

fn unique_queued(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB, c.name("f"), c.name("u"), "x")?;
    p.status_unique(c.name("u"), ["1", "0", "0", "0", "1"])
}

fn unique_background(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_BG, c.name("f"), c.name("u"), "x")?;
    p.status_unique(c.name("u"), ["1", "0", "0", "0", "0"])
}

fn unique_running(c: &Ctx) -> Checked {
    let (_client, mut w, h) = running_job(c, &c.name("u"))?;
    w.work(WORK_STATUS, &[&h, &"3", &"4"])?;
    c.peer()?.status_unique(c.name("u"), ["1", "1", "3", "4", "1"])
}

fn unique_attached(c: &Ctx) -> Checked {
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    one.submit(SUBMIT_JOB, c.name("f"), c.name("u"), "x")?;
    one.submit(SUBMIT_JOB, c.name("f"), c.name("u"), "x")?;
    two.submit(SUBMIT_JOB, c.name("f"), c.name("u"), "x")?;
    two.submit(SUBMIT_JOB_BG, c.name("f"), c.name("u"), "x")?;
    two.status_unique(c.name("u"), ["1", "0", "0", "0", "3"])
}

fn unique_finished(c: &Ctx) -> Checked {
    let (mut client, mut w, h) = running_job(c, &c.name("u"))?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")?;
    client.status_unique(c.name("u"), ["0", "0", "0", "0", "0"])
}

fn unique_empty(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    p.status_unique("", ["0", "0", "0", "0", "0"])
}

fn unique_newest(c: &Ctx) -> Checked {
    let (f, g, u) = (c.name("f"), c.name("g"), c.name("u"));
    let mut p = c.peer()?;
    let old = p.submit(SUBMIT_JOB, &f, &u, "x")?;
    c.worker(&[&f])?.grab(&old, &f, "x")?;
    p.submit(SUBMIT_JOB_BG, &g, &u, "x")?;
    p.status_unique(&u, ["1", "0", "0", "0", "0"])
}

fn unique_client_left(c: &Ctx) -> Checked {
    let (f, u) = (c.name("f"), c.name("u"));
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    one.submit(SUBMIT_JOB, &f, &u, "x")?;
    two.submit(SUBMIT_JOB, &f, &u, "x")?;
    drop(one);
    c.silence();
    two.status_unique(&u, ["1", "0", "0", "0", "1"])
}

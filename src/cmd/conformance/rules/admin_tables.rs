//! The text commands that answer with a table, and those that answer with a line about the server.

use crate::cmd::conformance::ctx::packet::{
    ECHO_REQ, ECHO_RES, SET_CLIENT_ID, SUBMIT_JOB, SUBMIT_JOB_BG, SUBMIT_JOB_HIGH, SUBMIT_JOB_LOW, req,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "admin-tables":
    R430 [fresh] "status of a new server is a dot alone." => |c| new_server(c, "status");
    R431 [fresh] "prioritystatus of a new server is a dot alone." => |c| new_server(c, "prioritystatus");
    R432 [fresh] "show jobs of a new server is a dot alone." => |c| new_server(c, "show jobs");
    R433 [fresh] "show unique jobs of a new server is a dot alone." => |c| new_server(c, "show unique jobs");
    R434 [] "status gives queued and running jobs, running jobs and workers of a function." => status;
    R435 [] "prioritystatus gives the queued jobs of each priority and the workers." => priorities;
    R436 [] "A function without jobs and workers stays listed." => stays_listed;
    R437 [] "workers lists every connection with its number, numeric address, id and abilities." =>
        workers_row;
    R438 [] "workers lists abilities newest first." => newest_first;
    R439 [] "workers lists a repeated ability repeatedly." => repeated;
    R440 [] "A connection without an id is listed with a dash." => dash;
    R441 [fresh] "workers lists clients and the asking connection too." => everybody_listed;
    R442 [] "show jobs gives retries, ignored and persisted of a job." => jobs_row;
    R443 [] "show unique jobs gives the unique of each job." => uniques;
    R444 [fresh] "show unique jobs gives an empty line for an empty unique." => empty_unique;
    R445 [] "A finished job is listed no more." => finished;
    R446 [] "version is answered by OK and a version." => |c| one_line(c, "version", false);
    R447 [] "getpid is answered by OK and a number." => |c| one_line(c, "getpid", true);
    R448 [] "verbose is answered by OK and the name of a level." => verbose;
    R449 [] "A running job is not among the queued ones." => running_not_queued;
}

fn new_server(c: &Ctx, command: &str) -> Checked {
    c.peer()?.ask(command, ".\n")
}

fn status(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    for _ in 0..3 {
        p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    }
    let (mut one, _two) = (c.worker(&[&f])?, c.worker(&[&f])?);
    one.grab_payload()?;
    check_eq("the status", p.status_of(&f)?, Some([3, 1, 2]))
}

fn priorities(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    for (kind, count) in [(SUBMIT_JOB_HIGH, 1), (SUBMIT_JOB, 2), (SUBMIT_JOB_LOW, 3)] {
        for _ in 0..count {
            p.submit(kind, &f, "", "x")?;
        }
    }
    let _w = c.worker(&[&f])?;
    check_eq("the queued jobs", p.priorities_of(&f)?, Some([1, 2, 3, 1]))
}

fn running_not_queued(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB, &f, "", "x")?;
    p.submit(SUBMIT_JOB, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab_payload()?;
    check_eq("the queued jobs", p.priorities_of(&f)?, Some([0, 1, 0, 1]))
}

fn stays_listed(c: &Ctx) -> Checked {
    let f = c.name("f");
    drop(c.worker(&[&f])?);
    c.until_status(&f, [0, 0, 0])
}

fn workers_row(c: &Ctx) -> Checked {
    let (f, id) = (c.name("f"), c.name("id"));
    let mut w = c.worker(&[&f])?;
    w.send(SET_CLIENT_ID, &[&id])?;
    w.sync()?;
    let rows = c.peer()?.table("workers")?;
    let row = rows.iter().find(|row| row.contains(&id)).cloned().unwrap_or_default();
    let words: Vec<&str> = row.split(' ').collect();
    let [number, address, shown, colon, ability] = words.as_slice() else {
        return check(false, format!("the row is {row:?}"));
    };
    check(number.parse::<i64>().is_ok(), format!("{number:?} is no number"))?;
    check(address.parse::<std::net::IpAddr>().is_ok(), format!("{address:?} is no address"))?;
    check_eq("the rest of the row", [*shown, *colon, *ability], [id.as_str(), ":", f.as_str()])
}

fn newest_first(c: &Ctx) -> Checked {
    let (fa, fb, fc, id) = (c.name("a"), c.name("b"), c.name("c"), c.name("id"));
    let mut w = c.worker(&[&fa, &fb, &fc])?;
    w.send(SET_CLIENT_ID, &[&id])?;
    w.sync()?;
    check_eq("the abilities", w.abilities_of(&id)?, Some(format!(" {fc} {fb} {fa}")))?;
    w.cant_do(&fb)?;
    check_eq("the abilities", w.abilities_of(&id)?, Some(format!(" {fc} {fa}")))
}

fn repeated(c: &Ctx) -> Checked {
    let (f, id) = (c.name("f"), c.name("id"));
    let mut w = c.worker(&[&f, &f])?;
    w.send(SET_CLIENT_ID, &[&id])?;
    w.sync()?;
    check_eq("the abilities", w.abilities_of(&id)?, Some(format!(" {f} {f}")))
}

fn dash(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    let rows = w.table("workers")?;
    let end = format!(" - : {f}");
    check(rows.iter().any(|row| row.ends_with(&end)), format!("no row ends with {end:?}"))
}

fn everybody_listed(c: &Ctx) -> Checked {
    let mut client = c.peer()?;
    client.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    let _w = c.worker(&[&c.name("g")])?;
    let mut p = c.peer()?;
    // The connection that waited for the server to start may still be there for a moment.
    c.until("three connections are listed", || Ok(p.table("workers")?.len() == 3))
}

fn jobs_row(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let fg = p.submit(SUBMIT_JOB, &f, "", "x")?;
    let bg = p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    check_eq("the foreground job", p.job_row(&fg)?, Some([0, 0, 0]))?;
    check_eq("the background job", p.job_row(&bg)?, Some([0, 0, 1]))
}

fn uniques(c: &Ctx) -> Checked {
    let (f, one, two) = (c.name("f"), c.name("one"), c.name("two"));
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB, &f, &one, "x")?;
    p.submit(SUBMIT_JOB_BG, &f, &two, "x")?;
    let rows = p.table("show unique jobs")?;
    check(rows.contains(&one) && rows.contains(&two), format!("{one} and {two} are not both listed"))
}

fn empty_unique(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?;
    check_eq("the table", p.table("show unique jobs")?, vec![String::new()])
}

fn finished(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB_BG, &f, c.name("u"), "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    check_eq("the running job", p.job_row(&h)?, Some([0, 0, 1]))?;
    w.complete(&h, "y")?;
    check_eq("the finished job", p.job_row(&h)?, None)?;
    check(!p.table("show unique jobs")?.contains(&c.name("u")), "its unique is still listed")
}

fn one_line(c: &Ctx, command: &str, number: bool) -> Checked {
    let mut p = c.peer()?;
    p.command(command)?;
    let line = p.line()?;
    let value = line.strip_prefix("OK ").and_then(|rest| rest.strip_suffix('\n')).unwrap_or_default();
    let good = if number {
        value.parse::<u32>().is_ok()
    } else {
        value.starts_with(|first: char| first.is_ascii_digit())
    };
    check(good && !value.contains(['\r', ' ']), format!("the answer is {line:?}"))?;
    p.sync()
}

fn verbose(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw(&[b"verbose\r\n".to_vec(), req(ECHO_REQ, &[&"after"])].concat())?;
    let line = p.line()?;
    let levels = ["FATAL", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    let level = line.strip_prefix("OK ").and_then(|rest| rest.strip_suffix('\n')).unwrap_or_default();
    check(levels.contains(&level), format!("the answer is {line:?}"))?;
    p.expect(ECHO_RES, &[&"after"])
}

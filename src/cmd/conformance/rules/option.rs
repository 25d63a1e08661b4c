//! OPTION_REQ and SET_CLIENT_ID: what a connection says about itself.

use crate::cmd::conformance::ctx::packet::{
    OPTION_REQ, OPTION_RES, SET_CLIENT_ID, SUBMIT_JOB, WORK_EXCEPTION, WORK_FAIL,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "option":
    R410 [] "OPTION_REQ exceptions is answered by OPTION_RES exceptions." => |c| known(c, "exceptions");
    R411 [] "Options are known in any case and echoed as they were sent." => |c| known(c, "ExcepTIONS");
    R412 [] "An unknown option gets ERROR UNKNOWN_OPTION." => |c| unknown(c, "nonsense");
    R413 [] "An empty option gets ERROR UNKNOWN_OPTION." => |c| unknown(c, "");
    R414 [] "A very long option gets ERROR UNKNOWN_OPTION." => |c| unknown(c, &"x".repeat(1000));
    R415 [] "An option that only begins like a known one gets ERROR UNKNOWN_OPTION." =>
        |c| unknown(c, "exceptions2");
    R416 [] "The option counts for its own connection only." => own_connection;
    R417 [] "The option may be asked for twice." => twice;
    R418 [] "A worker's OPTION_REQ is answered too, even while it sleeps." => asleep;
    R419 [] "SET_CLIENT_ID is shown in workers." => |c| client_id(c, "some-id", "some-id");
    R420 [] "A client id may hold blanks." => |c| client_id(c, "some id here", "some id here");
    R421 [] "A client id ends at its first NUL." => |c| client_id(c, "id\0junk", "id");
    R422 [] "A client id of 127 bytes is shown whole." => |c| long_id(c, 127);
    R423 [] "The last SET_CLIENT_ID counts." => last_id;
    R424 [] "A client id of more than 127 bytes is cut to 127." => |c| long_id(c, 200);
}

fn known(c: &Ctx, option: &str) -> Checked {
    let mut p = c.peer()?;
    p.send(OPTION_REQ, &[&option])?;
    p.expect(OPTION_RES, &[&option])?;
    p.sync()
}

fn unknown(c: &Ctx, option: &str) -> Checked {
    let mut p = c.peer()?;
    p.send(OPTION_REQ, &[&option])?;
    p.error("UNKNOWN_OPTION", "Server does not recognize given option")?;
    p.sync()
}

fn own_connection(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut asked, mut other) = (c.peer()?, c.peer()?);
    asked.want_exceptions()?;
    let a = asked.submit(SUBMIT_JOB, &f, "", "1")?;
    let b = other.submit(SUBMIT_JOB, &f, "", "2")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&a, &f, "1")?;
    w.grab(&b, &f, "2")?;
    w.work(WORK_EXCEPTION, &[&a, &"boom"])?;
    w.work(WORK_EXCEPTION, &[&b, &"boom"])?;
    asked.expect(WORK_EXCEPTION, &[&a, &"boom"])?;
    other.expect(WORK_FAIL, &[&b, &""])
}

fn twice(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.want_exceptions()?;
    p.want_exceptions()?;
    p.sync()
}

fn asleep(c: &Ctx) -> Checked {
    let mut w = c.worker(&[&c.name("f")])?;
    w.want_exceptions()?;
    w.sleep()?;
    w.want_exceptions()?;
    w.sync()
}

fn client_id(c: &Ctx, sent: &str, shown: &str) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    w.send(SET_CLIENT_ID, &[&format!("{}.{sent}", c.tag)])?;
    w.sync()?;
    let abilities = w.abilities_of(&format!("{}.{shown}", c.tag))?;
    check_eq("the abilities after the id", abilities, Some(format!(" {f}")))
}

fn long_id(c: &Ctx, length: usize) -> Checked {
    let mut w = c.peer()?;
    let id = format!("{}{}", c.tag, "i".repeat(length.saturating_sub(c.tag.len())));
    w.send(SET_CLIENT_ID, &[&id])?;
    w.sync()?;
    check_eq("the abilities after the id", w.abilities_of(id.get(..127).unwrap_or(&id))?, Some(String::new()))
}

fn last_id(c: &Ctx) -> Checked {
    let mut w = c.peer()?;
    w.send(SET_CLIENT_ID, &[&c.name("one")])?;
    w.send(SET_CLIENT_ID, &[&c.name("two")])?;
    w.sync()?;
    check_eq("the first id", w.abilities_of(&c.name("one"))?, None)?;
    check_eq("the second id", w.abilities_of(&c.name("two"))?, Some(String::new()))
}

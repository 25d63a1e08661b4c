//! Requests that are refused, with the exact error and the connection kept or closed.

use crate::cmd::conformance::ctx::packet::{
    CAN_DO, CAN_DO_TIMEOUT, ERROR, GET_STATUS, GET_STATUS_UNIQUE, GRAB_JOB, JOB_ASSIGN, SUBMIT_JOB,
    SUBMIT_JOB_BG, SUBMIT_JOB_EPOCH, SUBMIT_JOB_HIGH, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW, SUBMIT_JOB_LOW_BG,
    WORK_COMPLETE, WORK_DATA, WORK_EXCEPTION, WORK_FAIL, WORK_STATUS, WORK_WARNING,
};
use crate::cmd::conformance::ctx::{Bytes, Checked, Ctx, Peer, check, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "errors":
    R040 [] "Type 5 as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 5, &[]);
    R041 [] "NOOP as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 6, &[]);
    R042 [] "JOB_CREATED as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 8, &[&"h"]);
    R043 [] "NO_JOB as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 10, &[]);
    R044 [] "JOB_ASSIGN as a request gets ERROR INVALID_COMMAND." =>
        |c| unexpected(c, 11, &[&"h", &"f", &"x"]);
    R045 [] "ECHO_RES as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 17, &[&"x"]);
    R046 [] "ERROR as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 19, &[&"c", &"t"]);
    R047 [] "STATUS_RES as a request gets ERROR INVALID_COMMAND." =>
        |c| unexpected(c, 20, &[&"h", &"0", &"0", &"0", &"0"]);
    R048 [] "ALL_YOURS gets ERROR INVALID_COMMAND." => |c| unexpected(c, 24, &[]);
    R049 [] "OPTION_RES as a request gets ERROR INVALID_COMMAND." => |c| unexpected(c, 27, &[&"exceptions"]);
    R050 [] "JOB_ASSIGN_UNIQ as a request gets ERROR INVALID_COMMAND." =>
        |c| unexpected(c, 31, &[&"h", &"f", &"u", &"x"]);
    R051 [] "SUBMIT_JOB_SCHED gets ERROR INVALID_COMMAND." =>
        |c| unexpected(c, 35, &[&"f", &"u", &"0", &"0", &"0", &"0", &"0", &"x"]);
    R052 [] "JOB_ASSIGN_ALL as a request gets ERROR INVALID_COMMAND." =>
        |c| unexpected(c, 40, &[&"h", &"f", &"u", &"r", &"x"]);
    R053 [] "STATUS_RES_UNIQUE as a request gets ERROR INVALID_COMMAND." =>
        |c| unexpected(c, 42, &[&"u", &"0", &"0", &"0", &"0", &"0"]);
    R054 [] "SUBMIT_JOB with a unique of 65 bytes gets ERROR ARGUMENT_TOO_LARGE." =>
        |c| unique_65(c, SUBMIT_JOB);
    R055 [] "SUBMIT_JOB_BG with a unique of 65 bytes gets ERROR ARGUMENT_TOO_LARGE." =>
        |c| unique_65(c, SUBMIT_JOB_BG);
    R056 [] "The HIGH and LOW submissions refuse a unique of 65 bytes too." => unique_65_priorities;
    R057 [] "SUBMIT_JOB_EPOCH with a unique of 65 bytes gets ERROR ARGUMENT_TOO_LARGE." => unique_65_epoch;
    R058 [] "A submission that is refused leaves no job and no function." => refused_leaves_nothing;
    R059 [] "A unique of 63 bytes reaches the worker as it was sent." => |c| unique_arrives(c, 63);
    R060 [bug] "A unique of 64 bytes reaches the worker as it was sent." => |c| unique_arrives(c, 64);
    R061 [racy] "GET_STATUS with a handle of 64 bytes or more is not answered." => status_handle_64;
    R062 [racy] "GET_STATUS_UNIQUE with a unique of 65 bytes is not answered." => status_unique_65;
    R063 [] "WORK_FAIL with a handle of 64 bytes or more gets ERROR ARGUMENT_TOO_LARGE." => fail_handle_64;
    R064 [] "WORK_DATA for an unknown handle gets ERROR JOB_NOT_FOUND." =>
        |c| unknown_job(c, WORK_DATA, &[&"x"], NO_SUCH_JOB);
    R065 [] "WORK_WARNING for an unknown handle gets ERROR JOB_NOT_FOUND." =>
        |c| unknown_job(c, WORK_WARNING, &[&"x"], NO_SUCH_JOB);
    R066 [] "WORK_STATUS for an unknown handle gets ERROR JOB_NOT_FOUND." =>
        |c| unknown_job(c, WORK_STATUS, &[&"1", &"2"], NO_SUCH_RESULT);
    R067 [] "WORK_COMPLETE for an unknown handle gets ERROR JOB_NOT_FOUND." =>
        |c| unknown_job(c, WORK_COMPLETE, &[&"x"], NO_SUCH_RESULT);
    R068 [] "WORK_FAIL for an unknown handle gets ERROR JOB_NOT_FOUND." =>
        |c| unknown_job(c, WORK_FAIL, &[], NO_SUCH_RESULT);
    R069 [] "WORK_EXCEPTION for an unknown handle gets ERROR JOB_NOT_FOUND." =>
        |c| unknown_job(c, WORK_EXCEPTION, &[&"x"], NO_SUCH_EXCEPTION);
    R070 []
        "WORK_DATA and WORK_WARNING from another connection than the job's worker get ERROR JOB_NOT_FOUND." =>
        |c| stranger(c, &[(WORK_DATA, &[&"x"], NO_SUCH_JOB), (WORK_WARNING, &[&"x"], NO_SUCH_JOB)]);
    R071 []
        "WORK_STATUS, COMPLETE and FAIL from another connection than the worker's get ERROR JOB_NOT_FOUND." =>
        |c| stranger(c, &[
            (WORK_STATUS, &[&"1", &"2"], NO_SUCH_RESULT),
            (WORK_COMPLETE, &[&"x"], NO_SUCH_RESULT),
            (WORK_FAIL, &[], NO_SUCH_RESULT),
        ]);
    R072 [] "WORK_EXCEPTION from another connection than the job's worker gets ERROR JOB_NOT_FOUND." =>
        |c| stranger(c, &[(WORK_EXCEPTION, &[&"x"], NO_SUCH_EXCEPTION)]);
    R073 [] "WORK_COMPLETE for a job that nobody has grabbed gets ERROR JOB_NOT_FOUND." => complete_queued;
    R074 [] "A second WORK_COMPLETE for the same job gets ERROR JOB_NOT_FOUND." => complete_twice;
    R075 [racy] "WORK_STATUS with a denominator of 12 characters is dropped without a reply." =>
        long_denominator;
    R076 [fresh, bug11]
        "CAN_DO_TIMEOUT with a number of 20 digits closes the connection and the server lives on." =>
        timeout_overflow;
    R077 [fresh, racy] "SUBMIT_JOB_EPOCH with a number of 20 digits closes the connection without a reply." =>
        epoch_overflow;
    R078 [] "A function name of 8000 bytes is accepted." => long_name;
    R079 [] "SUBMIT_JOB with a function name of 9000 bytes closes the connection without a reply." =>
        |c| name_9000(c, SUBMIT_JOB);
    R080 [] "CAN_DO with a function name of 9000 bytes closes the connection without a reply." =>
        |c| name_9000(c, CAN_DO);
    R081 [fresh] "The empty function name is a name like any other." => empty_name;
    R082 [] "After an error the same connection serves submissions as before." => kept_after_errors;
}

type Refusals<'a> = &'a [(u32, &'a [Bytes<'a>], &'a str)];

const NO_SUCH_JOB: &str = "Job does not exist on server";
const NO_SUCH_RESULT: &str = "Job given in work result not found";
const NO_SUCH_EXCEPTION: &str = "An exception was received for a job that does not exist";

fn unexpected(c: &Ctx, kind: u32, args: &[Bytes]) -> Checked {
    let mut p = c.peer()?;
    p.send(kind, args)?;
    p.error("INVALID_COMMAND", "Command not expected")?;
    p.sync()
}

fn refused_unique(p: &mut Peer, kind: u32, args: &[Bytes]) -> Checked {
    p.send(kind, args)?;
    p.error("ARGUMENT_TOO_LARGE", "Unique value too large")?;
    p.sync()
}

fn unique_65(c: &Ctx, kind: u32) -> Checked {
    refused_unique(&mut c.peer()?, kind, &[&c.name("f"), &[b'u'; 65], &"x"])
}

fn unique_65_priorities(c: &Ctx) -> Checked {
    [SUBMIT_JOB_HIGH, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW, SUBMIT_JOB_LOW_BG]
        .into_iter()
        .try_for_each(|kind| unique_65(c, kind))
}

fn unique_65_epoch(c: &Ctx) -> Checked {
    refused_unique(&mut c.peer()?, SUBMIT_JOB_EPOCH, &[&c.name("f"), &[b'u'; 65], &"0", &"x"])
}

fn refused_leaves_nothing(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    refused_unique(&mut p, SUBMIT_JOB_BG, &[&f, &[b'u'; 65], &"x"])?;
    c.worker(&[&f])?.no_job()?;
    check(p.status_of(&f)?.is_none_or(|[total, _, _]| total == 0), "the refused job is counted")
}

fn unique_arrives(c: &Ctx, length: usize) -> Checked {
    let f = c.name("f");
    let unique: String = ('a'..='z').cycle().take(length).collect();
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, &unique, "payload")?;
    c.worker(&[&f])?.grab_uniq(&h, &f, &unique, "payload")
}

fn status_handle_64(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for length in [64, 65, 300] {
        p.send(GET_STATUS, &[&vec![b'h'; length]])?;
    }
    p.sync()
}

fn status_unique_65(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(GET_STATUS_UNIQUE, &[&[b'u'; 65]])?;
    p.sync()
}

fn fail_handle_64(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for length in [64, 200] {
        p.send(WORK_FAIL, &[&vec![b'h'; length]])?;
        let text = "Error occurred due to GEARMAND_JOB_HANDLE_SIZE being too small from snprintf";
        p.error("ARGUMENT_TOO_LARGE", text)?;
    }
    p.sync()
}

fn unknown_job(c: &Ctx, kind: u32, rest: &[Bytes], text: &str) -> Checked {
    let mut p = c.peer()?;
    let args: Vec<Bytes> = [&"H:nowhere:1" as Bytes].iter().chain(rest).copied().collect();
    p.send(kind, &args)?;
    p.error("JOB_NOT_FOUND", text)?;
    p.sync()
}

/// Reports of a connection that does not hold the job are refused, and the job goes on.
fn stranger(c: &Ctx, reports: Refusals) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    let mut owner = c.worker(&[&f])?;
    owner.grab(&h, &f, "x")?;
    let mut other = c.worker(&[&f])?;
    for (kind, rest, text) in reports {
        let args: Vec<Bytes> = [&h as Bytes].iter().chain(*rest).copied().collect();
        other.send(*kind, &args)?;
        other.error("JOB_NOT_FOUND", text)?;
    }
    client.sync()?;
    owner.complete(&h, "done")?;
    client.completed(&h, "done")
}

fn complete_queued(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.send(WORK_COMPLETE, &[&h, &"y"])?;
    w.error("JOB_NOT_FOUND", NO_SUCH_RESULT)?;
    w.grab(&h, &f, "x")
}

fn complete_twice(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "1")?;
    w.send(WORK_COMPLETE, &[&h, &"2"])?;
    w.error("JOB_NOT_FOUND", NO_SUCH_RESULT)?;
    client.completed(&h, "1")?;
    client.sync()
}

fn long_denominator(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.work(WORK_STATUS, &[&h, &"1", &"123456789012"])?;
    client.sync()?;
    client.status(&h, ["1", "1", "0", "0"])
}

fn timeout_overflow(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(CAN_DO_TIMEOUT, &[&c.name("f"), &"99999999999999999999"])?;
    p.closed()?;
    c.alive()
}

fn epoch_overflow(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(SUBMIT_JOB_EPOCH, &[&c.name("f"), &"u", &"99999999999999999999", &"x"])?;
    p.closed()?;
    c.alive()
}

fn long_name(c: &Ctx) -> Checked {
    let f = c.name(&"n".repeat(8000 - c.name("").len()));
    check_eq("the length of the name", f.len(), 8000)?;
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    c.worker(&[&f])?.grab(&h, &f, "x")
}

fn name_9000(c: &Ctx, kind: u32) -> Checked {
    let f = c.name(&"n".repeat(9000));
    let mut p = c.peer()?;
    if kind == CAN_DO {
        p.send(kind, &[&f])?
    } else {
        p.send(kind, &[&f, &"", &"x"])?
    }
    p.closed()?;
    c.alive()
}

fn empty_name(c: &Ctx) -> Checked {
    let h = c.peer()?.submit(SUBMIT_JOB_BG, "", "u", "x")?;
    let mut w = c.worker(&[""])?;
    w.grab(&h, "", "x")?;
    w.complete(&h, "y")
}

fn kept_after_errors(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.worker(&[&f])?;
    for _ in 0..3 {
        unexpected_again(&mut p)?;
    }
    p.send(SUBMIT_JOB_BG, &[&f, &[b'u'; 65], &"x"])?;
    check_eq("the answer", p.packet()?.kind, ERROR)?;
    let h = p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    p.send(GRAB_JOB, &[])?;
    p.expect(JOB_ASSIGN, &[&h, &f, &"x"])
}

fn unexpected_again(p: &mut Peer) -> Checked {
    p.send(24, &[])?;
    p.error("INVALID_COMMAND", "Command not expected")
}

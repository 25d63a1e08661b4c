//! Submissions: the answer, handles, order, payloads and names.

use crate::cmd::conformance::ctx::packet::{
    GRAB_JOB, JOB_CREATED, SUBMIT_JOB, SUBMIT_JOB_BG, SUBMIT_JOB_EPOCH, SUBMIT_JOB_HIGH, SUBMIT_JOB_LOW,
    SUBMIT_REDUCE_JOB, SUBMITS, WORK_COMPLETE, req,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "submit":
    R090 [] "SUBMIT_JOB is answered by JOB_CREATED with the bare handle." => created;
    R091 [] "Each of the six plain submissions is answered by JOB_CREATED." => all_kinds;
    R092 [] "A handle is H:, a host name, a colon and a number, 63 bytes at most." => handle_form;
    R093 [] "Two submissions without a unique get two handles." => two_handles;
    R094 [fresh] "Handle numbers count from 1 upwards." => handles_count;
    R095 [fresh] "A submission that coalesces uses up no handle number." => coalesced_takes_no_number;
    R096 [options("--job-handle-prefix=conv")] "With --job-handle-prefix=X handles are X:1, X:2 and so on." =>
        prefix;
    R097 [options("--job-handle-prefix=pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"), bug]
        "With a prefix of 62 characters handles differ and stay within 63 bytes." => long_prefix;
    R098 [] "JOB_CREATED comes before any other packet of its job." => created_first;
    R099 [] "Pipelined submissions are answered in their order." => pipelined;
    R100 [] "A foreground client gets WORK_COMPLETE with the handle and the result." => foreground_result;
    R101 [] "A background client gets nothing after JOB_CREATED." => background_silent;
    R102 [] "A background job outlives the connection of its client." => background_survives;
    R103 [] "An empty payload reaches the worker and an empty result the client." => empty_payload;
    R104 [] "A payload of one mebibyte with every byte value reaches the worker whole." => large_payload;
    R105 [] "A function name with blanks and bytes above 127 is kept as it is." => odd_name;
    R106 [] "A job that was submitted before any worker came is run by the first that comes." => job_waits;
    R107 [] "A submission creates its function." => creates_function;
    R108 [] "A hundred submissions in one segment are all answered with different handles." => hundred;
    R109 [] "A client may wait for several jobs whose results come in any order." => results_in_any_order;
    R110 [] "Each of two clients gets the result of its own job only." => own_results;
    R111 [] "Two functions whose names share a beginning are two functions." => similar_names;
}

fn created(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let handle = p.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    check(!handle.is_empty() && !handle.contains('\0'), format!("the handle is {handle:?}"))?;
    p.sync()
}

fn all_kinds(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for kind in SUBMITS {
        p.submit(kind, c.name("f"), "", "x")?;
    }
    p.sync()?;
    c.until_status(&c.name("f"), [6, 0, 0])
}

fn number_of(handle: &str) -> Checked<u64> {
    let number = handle.rsplit(':').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| {
        crate::cmd::conformance::ctx::Failure::new(format!("{handle:?} does not end in a number"))
    })
}

fn handle_form(c: &Ctx) -> Checked {
    let handle = c.peer()?.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?;
    number_of(&handle)?;
    let parts = handle.split(':').count();
    check(handle.starts_with("H:") && parts >= 3 && handle.len() <= 63, format!("the handle is {handle:?}"))
}

fn two_handles(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let first = p.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    let second = p.submit(SUBMIT_JOB, c.name("f"), "", "x")?;
    check(first != second, format!("both handles are {first:?}"))
}

fn handles_count(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for expected in 1..=3 {
        let handle = p.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?;
        check_eq("the number of the handle", number_of(&handle)?, expected)?;
    }
    Ok(())
}

fn coalesced_takes_no_number(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let first = p.submit(SUBMIT_JOB_BG, c.name("f"), "u", "x")?;
    p.submit(SUBMIT_JOB_BG, c.name("f"), "u", "x")?;
    let third = p.submit(SUBMIT_JOB_BG, c.name("f"), "v", "x")?;
    check_eq("the next number", number_of(&third)?, number_of(&first)? + 1)
}

fn prefix(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for expected in ["conv:1", "conv:2"] {
        check_eq("the handle", p.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?.as_str(), expected)?;
    }
    Ok(())
}

fn long_prefix(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let first = p.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?;
    let second = p.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?;
    check(first.len() <= 63 && second.len() <= 63, format!("{first:?} is longer than 63 bytes"))?;
    check(first != second, format!("both handles are {first:?}"))
}

fn created_first(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let mut w = c.worker(&[&f])?;
    for round in 0..20 {
        let payload = round.to_string();
        w.sleep()?;
        client.send(SUBMIT_JOB, &[&f, &"", &payload])?;
        w.noop()?;
        w.send(GRAB_JOB, &[])?;
        let handle = w.packet()?.text(0, 3);
        w.send(WORK_COMPLETE, &[&handle, &payload])?;
        client.expect(JOB_CREATED, &[&handle])?;
        client.completed(&handle, &payload)?;
    }
    Ok(())
}

fn pipelined(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let names: Vec<String> = (0..10).map(|number| format!("job {number}")).collect();
    let segment: Vec<Vec<u8>> = names.iter().map(|name| req(SUBMIT_JOB, &[&f, &"", name])).collect();
    client.raw(&segment.concat())?;
    let handles = names.iter().map(|_| client.created()).collect::<Checked<Vec<String>>>()?;
    let mut w = c.worker(&[&f])?;
    names.iter().zip(&handles).try_for_each(|(name, handle)| w.grab(handle, &f, name))
}

fn foreground_result(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    for kind in [SUBMIT_JOB, SUBMIT_JOB_HIGH, SUBMIT_JOB_LOW] {
        let h = client.submit(kind, &f, "", "in")?;
        let mut w = c.worker(&[&f])?;
        w.grab(&h, &f, "in")?;
        w.complete(&h, "out")?;
        client.completed(&h, "out")?;
    }
    client.sync()
}

fn background_silent(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB_BG, &f, "", "in")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "in")?;
    w.complete(&h, "out")?;
    client.sync()
}

fn background_survives(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "in")?;
    c.silence();
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "in")?;
    w.complete(&h, "out")
}

fn empty_payload(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "")?;
    w.complete(&h, "")?;
    client.completed(&h, "")
}

fn large_payload(c: &Ctx) -> Checked {
    let f = c.name("f");
    let payload: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", &payload)?;
    c.worker(&[&f])?.grab(&h, &f, &payload)
}

fn odd_name(c: &Ctx) -> Checked {
    let f = [c.name("with blanks ").as_bytes(), b"\xff\xfe\t\x01"].concat();
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.peer()?;
    w.can_do(&f)?;
    w.grab(&h, &f, "x")
}

fn job_waits(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    client.sync()?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")
}

fn creates_function(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    check_eq("status before", p.status_of(&f)?, None)?;
    p.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    check_eq("status after", p.status_of(&f)?, Some([1, 0, 0]))
}

fn hundred(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.raw(&req(SUBMIT_JOB_BG, &[&f, &"", &"x"]).repeat(100))?;
    let mut handles = (0..100).map(|_| p.created()).collect::<Checked<Vec<String>>>()?;
    handles.sort();
    handles.dedup();
    check_eq("the number of handles", handles.len(), 100)?;
    p.sync()
}

fn results_in_any_order(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let mut w = c.worker(&[&f])?;
    let a = client.submit(SUBMIT_JOB, &f, "a", "1")?;
    let b = client.submit(SUBMIT_JOB, &f, "b", "2")?;
    w.grab(&a, &f, "1")?;
    w.grab(&b, &f, "2")?;
    w.complete(&b, "B")?;
    w.complete(&a, "A")?;
    client.completed(&b, "B")?;
    client.completed(&a, "A")
}

fn own_results(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut one, mut two) = (c.peer()?, c.peer()?);
    let a = one.submit(SUBMIT_JOB, &f, "", "1")?;
    let b = two.submit(SUBMIT_JOB, &f, "", "2")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&a, &f, "1")?;
    w.grab(&b, &f, "2")?;
    w.complete(&a, "A")?;
    two.sync()?;
    w.complete(&b, "B")?;
    one.completed(&a, "A")?;
    one.sync()?;
    two.completed(&b, "B")
}

fn similar_names(c: &Ctx) -> Checked {
    let (short, long) = (c.name("f"), c.name("ff"));
    let mut p = c.peer()?;
    let h = p.submit(SUBMIT_JOB_BG, &long, "u", "x")?;
    p.submit_args(SUBMIT_JOB_EPOCH, &[&c.name("other"), &"u", &"0", &"x"])?;
    p.submit_args(SUBMIT_REDUCE_JOB, &[&c.name("another"), &"u", &"r", &"", &"x"])?;
    c.worker(&[&short])?.no_job()?;
    c.worker(&[&long])?.grab(&h, &long, "x")
}

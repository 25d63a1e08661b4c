//! Bytes on the wire: headers, lengths, segments, and what is no packet at all.

use crate::cmd::conformance::ctx::packet::{
    CAN_DO, ECHO_REQ, ECHO_RES, ERROR, GRAB_JOB, NO_JOB, PRE_SLEEP, REQ, RES, RESET_ABILITIES, SUBMIT_JOB,
    SUBMIT_JOB_BG, WORK_COMPLETE, frame, req,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "framing":
    R001 [] "ECHO_REQ is answered by ECHO_RES with the same payload." => echo;
    R002 [] "ECHO_REQ with an empty payload is answered by an empty ECHO_RES." => echo_empty;
    R003 [] "An echo keeps every byte value, NUL included." => echo_all_bytes;
    R004 [] "An echo of one mebibyte comes back whole." => echo_large;
    R005 [] "Type and length of an answer are big-endian after the magic \\0RES." => answer_header;
    R006 [] "A packet that arrives byte by byte is understood." => byte_by_byte;
    R007 [] "A packet cut in the middle of its header and its body is understood." => cut_header;
    R008 [] "Packets that arrive in one segment are answered in their order." => one_segment;
    R009 [] "Bytes that begin with NUL but are no magic close the connection without a reply." => bad_magic;
    R010 [] "The magic \\0RES gets ERROR INVALID_MAGIC and the connection is kept." => response_magic;
    R011 [] "Type 0 closes the connection without a reply." => type_zero;
    R012 [] "Type 43 closes the connection without a reply." => type_43;
    R013 [] "Type 0x7fffffff closes the connection without a reply." => type_max_signed;
    R014 [fresh, bug] "Type 0x80000000 closes the connection and the server lives on." => type_min_signed;
    R015 [fresh, bug] "Type 0xffffffff closes the connection and the server lives on." => type_max;
    R016 [] "GRAB_JOB with a body is answered as if it had none." => grab_with_body;
    R017 [] "PRE_SLEEP and RESET_ABILITIES with a body work as if they had none." => sleep_with_body;
    R018 [] "One connection may be client and worker of the same job." => own_worker;
    R019 [] "Text commands and packets may alternate on one connection." => text_and_binary;
    R020 [] "Text commands and packets in one segment are answered in their order." => mixed_segment;
    R021 [] "A text command ends with LF or with CR LF." => line_ends;
    R022 [] "A connection that ends within a packet disturbs nobody." => cut_connection;
    R023 [] "NUL bytes after the last argument belong to the payload." => nul_in_payload;
    R024 [] "WORK_COMPLETE without the NUL after its handle drops the connection without a reply." =>
        complete_short;
    R025 [] "SUBMIT_JOB with too few NUL bytes drops the connection without a reply." => submit_short;
    R026 [] "A connection closed for bad bytes leaves other connections alone." => neighbour;
    R027 [fresh] "A header that announces 4 GiB does not stop the server." => huge_length;
    R028 [fresh] "Two hundred connections are served at a time." => many_connections;
    R029 [] "A header with the magic \\0RES and an unknown type closes the connection." =>
        response_unknown_type;
    R030 [] "A hundred thousand bytes of small packets are all answered." => small_packets;
    R031 [] "A header with length 0 for SUBMIT_JOB drops the connection without a reply." => submit_empty;
    R032 [] "What was sent in the same segment before bad bytes is still handled." => before_bad_bytes;
}

fn echo(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(ECHO_REQ, &[&"conveyor"])?;
    p.expect(ECHO_RES, &[&"conveyor"])
}

fn echo_empty(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(ECHO_REQ, &[])?;
    p.expect(ECHO_RES, &[])
}

fn echo_all_bytes(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let payload: Vec<u8> = (0..=255).collect();
    p.send(ECHO_REQ, &[&payload])?;
    p.expect(ECHO_RES, &[&payload])
}

fn echo_large(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let payload: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    p.send(ECHO_REQ, &[&payload])?;
    p.expect(ECHO_RES, &[&payload])
}

fn answer_header(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw(&[&b"\0REQ\0\0\0\x10\0\0\x01\x2c"[..], &[b'x'; 300]].concat())?;
    let expected = [&b"\0RES\0\0\0\x11\0\0\x01\x2c"[..], &[b'x'; 300]].concat();
    check_eq("the whole answer", p.packet()?.bytes(), expected)
}

fn byte_by_byte(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for byte in req(ECHO_REQ, &[&"slow"]) {
        p.raw(&[byte])?;
        c.pause_ms(1);
    }
    p.expect(ECHO_RES, &[&"slow"])
}

fn cut_header(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for part in [&b"\0RE"[..], b"Q\0\0\0\x10\0\0", b"\0\x04ab", b"cd"] {
        p.raw(part)?;
        c.pause_ms(20);
    }
    p.expect(ECHO_RES, &[&"abcd"])
}

fn one_segment(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let marks: Vec<String> = (0..100).map(|number| format!("mark {number}")).collect();
    let segment: Vec<Vec<u8>> = marks.iter().map(|mark| req(ECHO_REQ, &[mark])).collect();
    p.raw(&segment.concat())?;
    marks.iter().try_for_each(|mark| p.expect(ECHO_RES, &[mark]))
}

fn bad_magic(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw(b"\0XYZ\0\0\0\x10\0\0\0\x04abcd")?;
    p.closed()
}

fn response_magic(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw(&frame(RES, ECHO_REQ, b"x"))?;
    p.error("INVALID_MAGIC", "Request magic expected")?;
    p.sync()
}

/// A packet of this type is answered by closing.
fn type_closes(c: &Ctx, magic: [u8; 4], kind: u32) -> Checked {
    let mut p = c.peer()?;
    p.raw(&frame(magic, kind, b""))?;
    p.closed()?;
    c.alive()
}

fn type_zero(c: &Ctx) -> Checked {
    type_closes(c, REQ, 0)
}

fn type_43(c: &Ctx) -> Checked {
    type_closes(c, REQ, 43)
}

fn type_max_signed(c: &Ctx) -> Checked {
    type_closes(c, REQ, 0x7fff_ffff)
}

fn type_min_signed(c: &Ctx) -> Checked {
    type_closes(c, REQ, 0x8000_0000)
}

fn type_max(c: &Ctx) -> Checked {
    type_closes(c, REQ, u32::MAX)
}

fn response_unknown_type(c: &Ctx) -> Checked {
    type_closes(c, RES, 43)
}

fn grab_with_body(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(GRAB_JOB, &[&"junk"])?;
    p.expect(NO_JOB, &[])?;
    p.sync()
}

fn sleep_with_body(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.worker(&[&f])?;
    p.send(PRE_SLEEP, &[&"junk"])?;
    p.sync()?;
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    p.noop()?;
    p.send(RESET_ABILITIES, &[&"junk"])?;
    p.no_job()
}

fn own_worker(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.worker(&[&f])?;
    let h = p.submit(SUBMIT_JOB, &f, "u", "in")?;
    p.grab(&h, &f, "in")?;
    p.send(WORK_COMPLETE, &[&h, &"out"])?;
    p.completed(&h, "out")?;
    p.sync()
}

fn text_and_binary(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for _ in 0..3 {
        p.sync()?;
        p.ask("show x", "ERR UNKNOWN_SHOW_ARGUMENTS\r\n")?;
        p.table("status")?;
    }
    p.sync()
}

fn mixed_segment(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let line = b"show x\r\n".to_vec();
    let echo = req(ECHO_REQ, &[&"e"]);
    p.raw(&[line.clone(), echo.clone(), line.clone(), line, echo].concat())?;
    let error = "ERR UNKNOWN_SHOW_ARGUMENTS\r\n";
    p.expect_line(error)?;
    p.expect(ECHO_RES, &[&"e"])?;
    p.expect_line(error)?;
    p.expect_line(error)?;
    p.expect(ECHO_RES, &[&"e"])
}

fn line_ends(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for line in ["status\n", "status\r\n"] {
        p.raw(line.as_bytes())?;
        p.rows()?;
    }
    p.sync()
}

fn cut_connection(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw(b"\0REQ\0\0\0\x07\0\0\0\xffabc")?;
    drop(p);
    c.peer()?.raw(b"\0RE")?;
    c.alive()
}

fn nul_in_payload(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "u", b"\0a\0\0b\0")?;
    c.worker(&[&f])?.grab_uniq(&h, &f, "u", b"\0a\0\0b\0")
}

fn complete_short(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    w.send(WORK_COMPLETE, &[&h])?;
    w.send(ECHO_REQ, &[&"x"])?;
    w.closed()?;
    c.alive()
}

fn submit_short(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(SUBMIT_JOB, &[&c.name("f")])?;
    p.send(ECHO_REQ, &[&"x"])?;
    p.closed()?;
    c.alive()
}

fn submit_empty(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.send(SUBMIT_JOB, &[])?;
    p.send(ECHO_REQ, &[&"x"])?;
    p.closed()?;
    c.alive()
}

fn neighbour(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.grab(&h, &f, "x")?;
    let mut bad = c.peer()?;
    bad.raw(b"\0BAD\0\0\0\0\0\0\0\0")?;
    bad.closed()?;
    w.complete(&h, "y")?;
    client.completed(&h, "y")
}

fn huge_length(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw(b"\0REQ\0\0\0\x10\xff\xff\xff\xffabc")?;
    c.silence();
    c.alive()?;
    drop(p);
    c.alive()
}

fn many_connections(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut peers = Vec::new();
    for _ in 0..200 {
        let mut peer = c.peer()?;
        peer.send(CAN_DO, &[&f])?;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.sync()?;
    }
    let workers = c.peer()?.status_of(&f)?;
    check(workers == Some([0, 0, 200]), format!("status has {workers:?} instead of 200 workers"))
}

fn small_packets(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    let count = 100_000 / 13;
    for _ in 0..10 {
        p.raw(&req(ECHO_REQ, &[&"x"]).repeat(count / 10))?;
        for _ in 0..count / 10 {
            p.expect(ECHO_RES, &[&"x"])?;
        }
    }
    p.sync()
}

fn before_bad_bytes(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let good = req(SUBMIT_JOB_BG, &[&f, &"", &"x"]);
    p.raw(&[good, b"\0BAD\0\0\0\0\0\0\0\0".to_vec()].concat())?;
    let first = p.packet_within(c.timeout);
    // The answer itself may be lost with the connection; what counts is the job.
    if let Ok(Some(packet)) = first {
        check(packet.kind != ERROR, "the good packet was refused")?;
    }
    c.until_status(&f, [1, 0, 0])
}

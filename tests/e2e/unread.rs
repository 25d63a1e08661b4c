//! A big stored queue while it is read: everything is counted, and only who must waits.

use crate::store::{server, store, told};
use crate::support::{Peer, Server};
use crate::wire;
use std::fmt::Write;
use std::path::Path;

const BIG: u64 = 300_000;

/// Starts that may be too slow for us to meet the server while it reads.
const TRIES: usize = 20;

/// Jobs without uniques that take a while to read, and behind them, with a lower priority, the ones that are asked for.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for number in 1..=BIG {
        writeln!(lines, r#"{{"number":{number},"function":"big","payload":"p"}}"#).unwrap();
    }
    for (number, function, unique) in
        [(1, "limited", ""), (2, "limited", ""), (3, "named", "u"), (4, "looked", ""), (5, "looked", "")]
    {
        let number = BIG + number;
        writeln!(
            lines,
            r#"{{"number":{number},"function":"{function}","priority":"low","unique":"{unique}","payload":"p"}}"#
        )
        .unwrap();
    }
    let file = directory.path().join("lines");
    std::fs::write(&file, lines).unwrap();
    told(directory.path(), &["import", file.to_str().unwrap()]);
    directory
}

fn is_loading(peer: &mut Peer) -> bool {
    peer.line("readiness").starts_with("OK loading ")
}

/// Asks while the server is in the middle of reading; none when it was too fast for us.
fn meet(running: &Server) -> Option<()> {
    let mut peer = running.connect();
    if !is_loading(&mut peer) {
        return None;
    }
    // No job of `big` has a unique: nobody has to wait.
    peer.send(wire::SUBMIT_JOB, &[b"big", b"new", b"p"]);
    let (kind, handle) = peer.receive();
    assert_eq!(kind, wire::JOB_CREATED);
    let (prefix, _) = std::str::from_utf8(&handle).unwrap().rsplit_once(':').unwrap();
    let handle = |number: u64| format!("{prefix}:{}", BIG + number);
    let status = peer.table("status");
    let priorities = peer.table("prioritystatus");
    assert_eq!(peer.line("maxqueue limited 2"), "OK\r\n");
    peer.send(wire::SUBMIT_JOB_BG, &[b"limited", b"", b"p"]);
    let refused = peer.receive();
    peer.send(wire::GET_STATUS, &[handle(4).as_bytes()]);
    let known = peer.receive();
    let cancelled = peer.line(&format!("cancel job {}", handle(5)));
    let left = peer.table("status");
    if !is_loading(&mut peer) {
        return None;
    }
    let mut named = running.connect();
    named.send(wire::SUBMIT_JOB_BG, &[b"named", b"u", b"other"]);
    // All of this was said while most jobs were in the file alone.
    let row = |text: &str| text.to_owned();
    for expected in ["limited\t2\t0\t0", "named\t1\t0\t0", "looked\t2\t0\t0"] {
        assert!(status.contains(&row(expected)), "{status:?}");
    }
    assert!(status.contains(&format!("big\t{}\t0\t0", BIG + 1)), "{status:?}");
    assert!(priorities.contains(&format!("big\t0\t{}\t0\t0", BIG + 1)), "{priorities:?}");
    assert!(priorities.contains(&row("looked\t0\t0\t2\t0")), "{priorities:?}");
    assert_eq!((refused.0, &refused.1[..]), (wire::ERROR, &b"QUEUE_ERROR\0Job queue is full"[..]));
    let expected = [handle(4).as_bytes(), b"1", b"0", b"0", b"0"].join(&0);
    assert_eq!(known, (wire::STATUS_RES, expected));
    assert_eq!(cancelled, "OK\r\n");
    assert!(left.contains(&row("looked\t1\t0\t0")), "{left:?}");
    // Whoever may be the same as a job that is not read yet gets the handle of that.
    assert_eq!(named.receive(), (wire::JOB_CREATED, handle(3).into_bytes()));
    // When this is stored, so is what came before it.
    named.send(wire::SUBMIT_JOB_BG, &[b"last", b"", b"p"]);
    assert_eq!(named.receive().0, wire::JOB_CREATED);
    Some(())
}

fn check(directory: &Path) {
    assert_eq!(told(directory, &["check"]), "OK\n");
}

#[test]
fn while_a_big_queue_is_read_all_of_it_is_counted_and_only_who_must_waits() {
    let mut met = None;
    for _ in 0..TRIES {
        let directory = filled();
        check(directory.path());
        let mut running = server(directory.path());
        met = meet(&running);
        if met.is_some() {
            running.kill();
            // The counts outlive that.
            check(directory.path());
            let rows = String::from_utf8(store(directory.path(), &["list", "-f", "looked"]).stdout).unwrap();
            assert_eq!(rows.lines().count(), 2, "one of two is left: {rows}");
            break;
        }
    }
    assert!(met.is_some(), "the server was never met while it read jobs");
}

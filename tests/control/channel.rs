//! The channel itself: what is lost, late, repeated, unknown or nonsense.

use crate::rig::{Count, Rig, WORK_COMPLETE, command, conveyor, on_both, outcome, runtime, submit};
use crate::support::{PATIENCE, Server, wait_for};
use conveyor_common::control::Order;
use conveyor_worker::supervise::{Heard, Performer, Signal, Start, pair};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use tokio::runtime::Runtime;

/// A manager in lines of JSON.
struct Lines {
    stream: BufReader<UnixStream>,
    _performer: Performer,
    _runtime: Runtime,
}

impl Lines {
    fn start(command: &conveyor_worker::performer::Command) -> Self {
        let runtime = runtime();
        let entered = runtime.enter();
        let (ours, theirs) = pair().unwrap();
        ours.set_nonblocking(false).unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let start = Start { command, control: Some(theirs), stdin: None, output_bytes: 1000 };
        let performer = start.start().unwrap();
        drop(entered);
        Self { stream: BufReader::new(ours), _performer: performer, _runtime: runtime }
    }

    fn say(&mut self, lines: &str) {
        self.stream.get_mut().write_all(lines.as_bytes()).unwrap();
    }

    /// The next line; empty at the end.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

fn worker(server: &Server) -> Lines {
    let mut lines = Lines::start(&conveyor(server, &["--id", "seven"], &["cat"]));
    let hello = lines.hear();
    assert!(hello.starts_with(r#"{"type":"hello","version":1,"codec":"bincode","pid":"#), "{hello}");
    assert!(hello.ends_with(r#""name":"seven","kind":"conveyor worker"}"#), "{hello}");
    server.wait_for_workers("count", 1);
    lines
}

#[test]
fn orders_that_come_late_or_twice_are_acknowledged_and_change_nothing() {
    on_both(|server| {
        let mut lines = worker(server);
        lines.say("{\"type\":\"pause\",\"sequence\":5}\n");
        assert_eq!(lines.hear(), r#"{"type":"ack","sequence":5}"#);
        assert_eq!(lines.hear(), r#"{"type":"paused","sequence":5}"#);
        lines.say("{\"type\":\"resume\",\"sequence\":3}\n{\"type\":\"ping\",\"sequence\":9}\n");
        assert_eq!(lines.hear(), r#"{"type":"ack","sequence":3}"#);
        assert_eq!(lines.hear(), r#"{"type":"ack","sequence":9}"#);
        wait_for("it is paused", || server.status().iter().all(|row| row.3 == 0).then_some(()));
        lines.say("{\"type\":\"resume\",\"sequence\":6}\n{\"type\":\"resume\",\"sequence\":6}\n");
        for _ in 0..2 {
            assert_eq!(lines.hear(), r#"{"type":"ack","sequence":6}"#);
            assert_eq!(lines.hear(), r#"{"type":"resumed","sequence":6}"#);
        }
        server.wait_for_workers("count", 1);
        // Final, whatever number it has.
        lines.say("{\"type\":\"terminate\",\"sequence\":1}\n");
        assert_eq!(lines.hear(), r#"{"type":"ack","sequence":1}"#);
        assert_eq!(lines.hear(), "");
    });
}

#[test]
fn what_a_newer_manager_says_is_noted_and_nonsense_ends_the_channel_only() {
    on_both(|server| {
        let mut lines = worker(server);
        lines.say("{\"type\":\"dance\",\"sequence\":1}\n{\"type\":\"ping\",\"sequence\":2,\"loud\":true}\n");
        assert_eq!(lines.hear(), r#"{"type":"note","text":"a message of type \"dance\" was passed over"}"#);
        assert!(lines.hear().contains("loud"));
        assert_eq!(lines.hear(), r#"{"type":"ack","sequence":2}"#);
        lines.say("nonsense\n");
        assert_eq!(lines.hear(), "");
        let mut client = server.connect();
        let handle = submit(&mut client, "still here");
        assert_eq!(outcome(&mut client), (WORK_COMPLETE, handle, b"still here".to_vec()));
    });
}

#[test]
fn a_performer_that_does_not_read_holds_up_nobody_and_one_that_talks_nonsense_loses_its_channel() {
    let mut deaf = Rig::start(&command(["sleep", "1000"]));
    for round in 0..20_000 {
        deaf.tell(if round % 2 == 0 { Order::Pause } else { Order::Resume });
    }
    let count = Count::new();
    let script = format!("echo nonsense >&3; echo 1 >> {}; exec sleep 1000", count.file().display());
    let mut odd = Rig::start(&command(["sh", "-c", &script]));
    let Heard::Closed(why) = odd.hear() else { panic!("only that is said") };
    assert!(why.contains("write a line of JSON"), "{why}");
    count.wait_above(0);
    odd.performer().signal(Signal::Term);
    assert!(odd.end().0.code().is_none(), "it lived until then");
    deaf.performer().signal(Signal::Kill);
    assert!(deaf.end().0.code().is_none());
}

#[test]
fn a_descriptor_that_is_no_channel_is_reported_before_anything_is_done() {
    for (number, expected) in [("x", "no number"), ("3", "LISTEN_FDS does not name it")] {
        let mut worker = std::process::Command::new(env!("CARGO_BIN_EXE_conveyor"));
        worker.args(["worker", "-f", "count", "--", "cat"]).env("CONVEYOR_CONTROL_FD", number);
        let output = crate::support::run(worker.env_remove("LISTEN_FDS"));
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(expected) && message.contains("CONVEYOR_CONTROL_FD"), "{message}");
    }
}

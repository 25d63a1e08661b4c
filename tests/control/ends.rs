//! Concepts 17, 18 and 23 of the original: how jobs and performers end.

use crate::rig::{
    Count, OPTION_REQ, OPTION_RES, Rig, SUBMIT_JOB, WORK_COMPLETE, WORK_EXCEPTION, command, conveyor,
    on_both, outcome, performers, submit,
};
use crate::rust::counter;
use crate::support::{Peer, Server, require, wait_for};
use conveyor_common::control::Order;
use conveyor_worker::supervise::{Heard, Signal};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

fn client(server: &Server) -> Peer {
    let mut client = server.connect();
    client.send(OPTION_REQ, &[b"exceptions"]);
    assert_eq!(client.receive().0, OPTION_RES);
    client
}

#[test]
fn concept_17_exception_panic_and_exit_code_are_error_results_of_the_right_job() {
    require("php");
    on_both(|server| {
        let count = Count::new();
        let text = format!(
            "<?php require '{}'; Conveyor\\Performer::run(function ($job) {{ throw new Exception('no luck'); }});",
            performers("php/Performer.php")
        );
        let program = count.program("throw.php", &text);
        let mut client = client(server);
        let exception = conveyor(server, &["--persistent", "--exceptions"], &["php", &program]);
        let exits = conveyor(server, &["--exceptions"], &["sh", "-c", "echo sorry >&2; exit 3"]);
        for (performer, function, expected) in [
            (exception, "count", "no luck"),
            (exits, "count", "exit code 3"),
            (counter(server), "panic", "at work"),
        ] {
            let mut rig = Rig::start(&performer);
            server.wait_for_workers(function, 1);
            client.send(SUBMIT_JOB, &[function.as_bytes(), b"", b"x"]);
            let (_, handle) = client.receive();
            let (kind, of, text) = outcome(&mut client);
            assert_eq!((kind, of), (WORK_EXCEPTION, handle), "{expected}");
            assert!(String::from_utf8(text).unwrap().contains(expected), "{expected}");
            // The performer lives on.
            rig.until(|heard| matches!(heard, Heard::JobEnded { ok: false, .. }));
            rig.obeyed(Order::Ping);
            rig.obeyed(Order::Terminate { shed: false });
            assert!(rig.end().0.success());
            wait_for("it is gone", || server.status().iter().all(|row| row.3 == 0).then_some(()));
        }
    });
}

#[test]
fn concept_18_premature_end_is_reported_once_and_a_killed_worker_s_job_is_done_again_once() {
    on_both(|server| {
        let mut client = client(server);
        let count = Count::new();
        let payload = format!("40 {}", count.file().display());
        let mut first = Rig::start(&counter(server));
        server.wait_for_workers("count", 1);
        let handle = submit(&mut client, &payload);
        count.wait_above(3);
        first.obeyed(Order::Terminate { shed: true });
        let (kind, of, _) = outcome(&mut client);
        assert_eq!((kind, &of), (WORK_EXCEPTION, &handle));
        first.end();
        // One that is killed says nothing: the server gives the job to the next.
        let mut killed = Rig::start(&counter(server));
        server.wait_for_workers("count", 1);
        let (again, other) = (Count::new(), Count::new());
        let handle = submit(&mut client, &format!("400 {}", again.file().display()));
        again.wait_above(3);
        std::fs::remove_file(again.file()).unwrap();
        let _next = Rig::start(&counter(server));
        killed.performer().signal(Signal::Kill);
        assert_eq!(killed.end().0.signal(), Some(9));
        // 400 steps are more than its 3 s: an exception, of that job. One terminal packet, and then those of the next job.
        let (kind, of, _) = outcome(&mut client);
        assert_eq!((kind, of), (WORK_EXCEPTION, handle));
        let handle = submit(&mut client, &format!("4 {}", other.file().display()));
        let (kind, of, _) = outcome(&mut client);
        assert_eq!((kind, of), (WORK_COMPLETE, handle));
    });
}

#[test]
fn concept_18_a_command_ends_its_job_when_its_worker_is_to_end_and_gives_it_back_when_that_hurries() {
    on_both(|server| {
        let mut client = client(server);
        let mut rig =
            Rig::start(&conveyor(server, &["--jobs", "2"], &["sh", "-c", "read go < \"$(cat)\"; echo $go"]));
        server.wait_for_workers("count", 1);
        let count = Count::new();
        let gate = count.file();
        assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
        let handle = submit(&mut client, gate.to_str().unwrap());
        rig.until(|heard| matches!(heard, Heard::JobStarted { .. }));
        rig.obeyed(Order::Terminate { shed: false });
        std::fs::write(&gate, "went\n").unwrap();
        assert_eq!(outcome(&mut client), (WORK_COMPLETE, handle, b"went\n".to_vec()));
        assert!(rig.end().0.success());
        // Terminate, then TERM: as two signals.
        let mut hurried = Rig::start(&conveyor(server, &[], &["sh", "-c", "read go < \"$(cat)\"; echo $go"]));
        server.wait_for_workers("count", 1);
        let handle = submit(&mut client, gate.to_str().unwrap());
        hurried.until(|heard| matches!(heard, Heard::JobStarted { .. }));
        hurried.obeyed(Order::Terminate { shed: false });
        hurried.performer().signal(Signal::Term);
        assert!(hurried.end().0.success());
        let _next = Rig::start(&conveyor(server, &[], &["echo", "again"]));
        assert_eq!(outcome(&mut client), (WORK_COMPLETE, handle, b"again\n".to_vec()));
    });
}

#[test]
fn concept_23_two_ways_to_terminate_and_what_ignores_both_is_killed_with_all_it_started() {
    require("dash");
    // It knows nothing of the channel, ignores TERM, and has a child.
    let count = Count::new();
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! > {0}; while :; do sleep 0.05; echo $! >> {0}; done",
        count.file().display()
    );
    let mut rig = Rig::start(&command(["dash", "-c", &script]));
    let child = wait_for("its child", || {
        let text = std::fs::read_to_string(count.file()).ok()?;
        text.lines().next()?.parse::<u32>().ok()
    });
    rig.performer().signal(Signal::Term);
    let lines = || std::fs::read_to_string(count.file()).unwrap().lines().count();
    let before = lines();
    wait_for("it goes on after TERM", || (lines() > before + 4).then_some(()));
    rig.performer().signal(Signal::Kill);
    assert_eq!(rig.end().0.signal(), Some(9));
    let gone = |pid: u32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    };
    wait_for("its child is gone", || gone(child).then_some(()));
    // By signal, without a handler.
    let mut plain = Rig::start(&command(["sleep", "1000"]));
    let start = Instant::now();
    plain.performer().signal(Signal::Stop);
    plain.performer().signal(Signal::Term);
    assert_eq!(plain.end().0.signal(), Some(15), "one that is stopped, too");
    assert!(start.elapsed() < Duration::from_secs(5));
    // In band: concept_25 and concept_24_terminate show it in every language.
}

#[test]
fn a_manager_that_is_gone_takes_its_workers_along_unless_they_are_told_to_go_on() {
    on_both(|server| {
        let mut client = client(server);
        let mut drained = Rig::start(&conveyor(server, &[], &["cat"]));
        server.wait_for_workers("count", 1);
        drained.close();
        assert!(drained.end().0.success());
        wait_for("it is gone", || server.status().iter().all(|row| row.3 == 0).then_some(()));
        let mut lasting = Rig::start(&conveyor(server, &["--when-manager-lost", "go-on"], &["cat"]));
        server.wait_for_workers("count", 1);
        lasting.obeyed(Order::Pause);
        lasting.close();
        let handle = submit(&mut client, "still here");
        assert_eq!(outcome(&mut client), (WORK_COMPLETE, handle, b"still here".to_vec()));
    });
}

//! Workers of the original PHP packages: their handshake and their lists of process numbers, with PHP's own ZeroMQ.

use crate::rig::{Count, runtime};
use crate::support::{PATIENCE, wait_for};
use conveyor_common::payload::Endpoints;
use conveyor_worker::supervise::legacy::{Orders, command, handshake, processes};
use conveyor_worker::supervise::{Performer, Signal, Start};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

fn require_php_zmq() {
    let listed = std::process::Command::new("php").arg("-m").output().expect("php is there");
    let has = String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == "zmq");
    assert!(has, "PHP has no extension zmq: run scripts/test-deps.sh");
}

fn start(line: &str, orders: &Orders) -> Performer {
    let command = command(line);
    let endpoints = Endpoints { publisher_pm: Some(orders.address().to_owned()), ..Endpoints::default() };
    let start =
        Start { command: &command, control: None, stdin: Some(handshake(&endpoints)), output_bytes: 100 };
    start.start().unwrap()
}

fn line(count: &Count) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control/php/stander.php");
    format!("php {} {}", script.display(), count.file().display())
}

/// Lets the tasks of the publisher run until the condition holds.
fn drive<T>(runtime: &Runtime, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut clock = runtime.block_on(async { tokio::time::interval(Duration::from_millis(10)) });
    loop {
        runtime.block_on(clock.tick());
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "gave up waiting: {what}");
    }
}

/// Until the counter has stood still for half a second.
fn drive_until_still(runtime: &Runtime, count: &Count) {
    let (mut value, mut since) = (count.value(), Instant::now());
    drive(runtime, "the worker pauses", || {
        let now = count.value();
        if now != value {
            (value, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(500)).then_some(())
    });
}

fn end(runtime: &Runtime, mut performer: Performer) -> (ExitStatus, String) {
    runtime.block_on(async move {
        let ended = tokio::time::timeout(PATIENCE, performer.ended()).await;
        let status = ended.expect("the worker ends").unwrap();
        (status, String::from_utf8_lossy(&performer.last_words().await).into_owned())
    })
}

fn orders(runtime: &Runtime) -> Orders {
    runtime.block_on(Orders::bind("tcp://127.0.0.1:0")).unwrap()
}

#[test]
fn original_php_workers_pause_continue_and_end_by_lists_of_pids() {
    require_php_zmq();
    let runtime = runtime();
    let mut orders = orders(&runtime);
    let (count, other) = (Count::new(), Count::new());
    let _entered = runtime.enter();
    // The shell becomes PHP in the first, and stays in the second.
    let performer = start(&line(&count), &orders);
    let second = start(&format!("{}; exit $?", line(&other)), &orders);
    drive(&runtime, "both count", || (count.value() > 3 && other.value() > 3).then_some(()));
    assert_eq!(processes(second.pid()).len(), 2, "sh and PHP");
    orders.pause(&[performer.pid()]);
    // Not before the pause was seen is it looked for a continue.
    drive_until_still(&runtime, &count);
    let (value, others) = (count.value(), other.value());
    drive(&runtime, "the other one goes on", || (other.value() > others + 20).then_some(()));
    assert_eq!(count.value(), value);
    orders.resume(&[performer.pid()]);
    drive(&runtime, "it goes on within 5 s", || (count.value() > value).then_some(()));
    // Terminate while paused.
    orders.pause(&[performer.pid(), second.pid()]);
    drive_until_still(&runtime, &other);
    let ended = [performer.pid(), second.pid()];
    orders.terminate(&ended);
    for performer in [performer, second] {
        let (status, words) = end(&runtime, performer);
        assert_eq!(status.code(), Some(64), "{words}");
        assert!(words.contains("step "), "{words}");
    }
    orders.forget(&ended);
}

#[test]
fn original_workers_that_subscribe_late_hear_what_counts() {
    require_php_zmq();
    let runtime = runtime();
    let mut orders = orders(&runtime);
    let count = Count::new();
    let _entered = runtime.enter();
    let performer = start(&line(&count), &orders);
    // Long before PHP is up.
    orders.terminate(&[performer.pid()]);
    assert_eq!(end(&runtime, performer).0.code(), Some(64));
}

#[test]
fn original_workers_without_addresses_give_up_and_with_wrong_ones_say_so() {
    require_php_zmq();
    let runtime = runtime();
    let _entered = runtime.enter();
    let count = Count::new();
    let command = command(&line(&count));
    let start =
        Start { command: &command, control: None, stdin: Some("no JSON\n".into()), output_bytes: 200 };
    let (status, words) = end(&runtime, start.start().unwrap());
    assert_eq!(status.code(), Some(1));
    assert!(words.contains("receive correct dto"), "{words}");
    // 21 s in silence, which its standard input's end is not: it is killed before.
    let start = Start { command: &command, control: None, stdin: Some("".into()), output_bytes: 200 };
    let performer = start.start().unwrap();
    wait_for("it waits", || processes(performer.pid()).first().copied());
    performer.signal(Signal::Kill);
    assert!(end(&runtime, performer).0.code().is_none());
    assert_eq!(count.value(), 0);
}

#[test]
fn a_shell_may_become_the_program() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let command = command("exec sleep 1000");
    let start = Start { command: &command, control: None, stdin: None, output_bytes: 1 };
    let performer = start.start().unwrap();
    let name = || std::fs::read_to_string(format!("/proc/{}/comm", performer.pid())).ok();
    wait_for("it is sleep", || name().filter(|name| name == "sleep\n"));
    assert_eq!(processes(performer.pid()), [performer.pid()]);
}

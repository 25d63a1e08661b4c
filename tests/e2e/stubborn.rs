//! Peers that are merely quiet, slow or half-closed: silence is not death.

use crate::support::{Server, wait_for};
use crate::wire;
use std::io::Read;
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn a_client_that_shuts_its_writing_side_still_gets_its_answers() {
    let server = Server::conveyor(&[]);
    let mut peer = server.connect();
    peer.write(b"create function f\r\nstatus\r\n");
    peer.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    peer.stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "OK\r\nf\t0\t0\t0\n.\n");
}

#[test]
fn answers_keep_the_order_of_the_questions() {
    let server = Server::conveyor(&[]);
    let mut peer = server.connect();
    let mut bytes = Vec::new();
    for number in 0..1000_u32 {
        let payload = number.to_string();
        bytes.extend(crate::support::packet(wire::SUBMIT_JOB_BG, &[b"f", b"", payload.as_bytes()]));
        bytes.extend(crate::support::packet(wire::ECHO_REQ, &[payload.as_bytes()]));
    }
    peer.write(&bytes);
    let mut last = 0_u64;
    for number in 0..1000_u32 {
        let (created, handle) = peer.receive();
        assert_eq!(created, wire::JOB_CREATED);
        let handle: u64 = String::from_utf8(handle).unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        assert!(handle > last, "handles rise in the order of the submissions");
        last = handle;
        assert_eq!(peer.receive(), (wire::ECHO_RES, number.to_string().into_bytes()));
    }
}

#[test]
fn a_future_job_wakes_a_sleeper_on_time_and_not_before() {
    let server = Server::conveyor(&[]);
    let mut worker = server.connect();
    worker.send(wire::CAN_DO, &[b"later"]);
    worker.send(wire::PRE_SLEEP, &[]);
    server.wait_for_workers("later", 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let due = now.as_secs() + 2;
    let start = Instant::now();
    let mut client = server.connect();
    client.send(wire::SUBMIT_JOB_EPOCH, &[b"later", b"", due.to_string().as_bytes(), b"p"]);
    assert_eq!(client.receive().0, wire::JOB_CREATED);
    assert_eq!(worker.receive().0, wire::NOOP);
    let waited = start.elapsed();
    let early = Duration::from_secs(2) - Duration::from_nanos(u64::from(now.subsec_nanos()));
    assert!(waited >= early, "woken after {waited:?}, {early:?} before the time");
    worker.send(wire::GRAB_JOB, &[]);
    assert_eq!(worker.receive().0, wire::JOB_ASSIGN);
}

#[test]
fn an_idle_server_does_nothing() {
    let server = Server::conveyor(&[]);
    let _crowd: Vec<_> = (0..500).map(|_| server.connect()).collect();
    let (before, start) = (server.cpu_ticks(), Instant::now());
    wait_for("two seconds of peace", || (start.elapsed() > Duration::from_secs(2)).then_some(()));
    let used = server.cpu_ticks() - before;
    assert!(used <= 6, "{used} of 200 ticks for nothing");
}

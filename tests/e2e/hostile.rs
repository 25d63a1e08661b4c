//! Peers that send garbage, claim too much, stall or say nothing; and good ones that do not notice.

use crate::support::{PATIENCE, Peer, Server, packet, wait_for};
use crate::wire;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections that say nothing.
const SILENT: usize = 5_000;

/// Jobs the good client gets done meanwhile.
const JOBS: usize = 2_000;

/// Lets this process, and the servers it starts, have many connections.
fn raise_descriptor_limit(wanted: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        limit.maximum = limit.maximum.map(|maximum| maximum.max(wanted));
        setrlimit(Resource::Nofile, limit).expect("this test needs 6000 open files: raise `ulimit -Hn`");
    }
}

/// Runs `work` again and again until told to stop.
fn until_stopped(stop: &Arc<AtomicBool>, mut work: impl FnMut(usize) + Send + 'static) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            work(turn);
            turn += 1;
        }
    })
}

/// Bytes that look random, different for every turn.
fn noise(turn: usize, length: usize) -> Vec<u8> {
    let mut state = turn as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| byte()).collect()
}

fn send_and_drop(address: SocketAddr, bytes: &[u8]) {
    // The server may close at any byte: that is what is wanted of it.
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(bytes);
    }
}

/// The payload after which a worker goes home.
const LAST: &[u8] = b"the last one";

/// A worker that answers every job with its payload.
fn echo_worker(address: SocketAddr, function: &'static [u8]) -> JoinHandle<()> {
    let mut peer = Peer::connect(address);
    peer.send(wire::CAN_DO, &[function]);
    std::thread::spawn(move || {
        peer.send(wire::GRAB_JOB, &[]);
        loop {
            match peer.receive() {
                (wire::JOB_ASSIGN, body) => {
                    let mut parts = body.splitn(3, |byte| *byte == 0);
                    let (handle, _, payload) = (parts.next(), parts.next(), parts.next());
                    peer.send(wire::WORK_COMPLETE, &[handle.unwrap(), payload.unwrap()]);
                    if payload == Some(LAST) {
                        return;
                    }
                    peer.send(wire::GRAB_JOB, &[]);
                }
                (wire::NO_JOB, _) => peer.send(wire::PRE_SLEEP, &[]),
                (wire::NOOP, _) => peer.send(wire::GRAB_JOB, &[]),
                other => panic!("not for a worker: {other:?}"),
            }
        }
    })
}

fn do_job(peer: &mut Peer, function: &[u8], payload: &[u8]) {
    peer.send(wire::SUBMIT_JOB, &[function, b"", payload]);
    let (created, handle) = peer.receive();
    assert_eq!(created, wire::JOB_CREATED);
    let (completed, body) = peer.receive();
    assert_eq!(completed, wire::WORK_COMPLETE);
    assert_eq!(body, [&handle, &b"\0"[..], payload].concat());
}

#[test]
fn good_clients_go_on_among_thousands_of_bad_ones() {
    raise_descriptor_limit(6_000);
    let server = Server::conveyor(&["--file-descriptors", "6000", "--backlog", "1024"]);
    let address = server.address;
    let stop = Arc::new(AtomicBool::new(false));
    let silent: Vec<TcpStream> = (0..SILENT).map(|_| TcpStream::connect(address).unwrap()).collect();
    let bad = vec![
        until_stopped(&stop, move |turn| send_and_drop(address, &noise(turn, 1 + turn % 3000))),
        until_stopped(&stop, move |turn| {
            let bytes = [b"\0REQ\0\0\0", &noise(turn, 200)[..]].concat();
            send_and_drop(address, &bytes);
        }),
        until_stopped(&stop, move |turn| {
            let whole = packet(wire::SUBMIT_JOB, &[b"nobody", b"", b"payload"]);
            send_and_drop(address, &whole[..turn % whole.len()]);
        }),
        until_stopped(&stop, move |turn| {
            let claim = u32::MAX - u32::try_from(turn % 1000).unwrap();
            send_and_drop(address, &[b"\0REQ\0\0\0\x07", &claim.to_be_bytes()[..], b"f\0\0x"].concat());
        }),
        {
            let whole = packet(wire::ECHO_REQ, &[b"slow"]);
            let mut stream = TcpStream::connect(address).unwrap();
            until_stopped(&stop, move |turn| {
                // One byte at a time, for as long as the test takes.
                let _ = stream.write_all(&whole[turn % whole.len()..][..1]);
                std::thread::park_timeout(Duration::from_millis(20));
            })
        },
    ];
    let worker = echo_worker(address, b"good");
    server.wait_for_workers("good", 1);
    let mut client = server.connect();
    let mut slowest = Duration::ZERO;
    for number in 0..JOBS {
        let start = Instant::now();
        do_job(&mut client, b"good", format!("job {number}").as_bytes());
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < PATIENCE / 4, "a job took {slowest:?}");
    let listed = server.connect().table("workers").len();
    assert!(listed > SILENT, "only {listed} connections are listed: silent ones were cut off");
    stop.store(true, Ordering::Relaxed);
    do_job(&mut client, b"good", LAST);
    bad.into_iter().chain([worker]).for_each(|thread| thread.join().unwrap());
    drop(silent);
    wait_for("the server forgets who left", || (server.connect().table("workers").len() < 10).then_some(()));
}

#[test]
fn memory_grows_with_what_arrives_not_with_what_is_claimed() {
    let server = Server::conveyor(&[]);
    let before = server.memory();
    let mut peers: Vec<Peer> = (0..200).map(|_| server.connect()).collect();
    for peer in &mut peers {
        let claim: u32 = 1 << 30;
        peer.write(&[b"\0REQ\0\0\0\x07", &claim.to_be_bytes()[..], b"f\0\0", &[b'x'; 1000]].concat());
    }
    let mut good = server.connect();
    good.send(wire::ECHO_REQ, &[b"all arrived"]);
    assert_eq!(good.receive(), (wire::ECHO_RES, b"all arrived".to_vec()));
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "200 GiB were claimed, 200 KB sent, and the server grew by {grown} bytes");
}

#[test]
fn a_packet_above_the_limit_is_refused_with_a_reason() {
    let server = Server::conveyor(&["--packet-limit", "1000"]);
    let mut peer = server.connect();
    peer.send(wire::ECHO_REQ, &[&[b'x'; 1000]]);
    assert_eq!(peer.receive().0, wire::ECHO_RES);
    peer.send(wire::ECHO_REQ, &[&[b'x'; 1001]]);
    let (opcode, body) = peer.receive();
    assert_eq!(opcode, wire::ERROR);
    let text = String::from_utf8(body).unwrap();
    assert!(text.starts_with("ARGUMENT_TOO_LARGE\0") && text.contains("1000"), "{text:?}");
    assert!(peer.is_closed());
}

#[test]
fn out_of_descriptors_accepting_pauses_and_does_not_spin() {
    // Whoever is not accepted waits in the backlog, however many descriptors the server needs for itself.
    let server = Server::conveyor(&["--file-descriptors", "40", "--backlog", "64"]);
    let crowd: Vec<TcpStream> = (0..55).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let (before, start) = (server.cpu_ticks(), Instant::now());
    wait_for("a second of being full", || (start.elapsed() > Duration::from_secs(1)).then_some(()));
    let used = server.cpu_ticks() - before;
    assert!(used < 30, "{used} of 100 ticks went into accepting what cannot be accepted");
    drop(crowd);
    let mut peer = server.connect();
    peer.send(wire::ECHO_REQ, &[b"there is room again"]);
    assert_eq!(peer.receive().0, wire::ECHO_RES);
}

#[test]
fn a_client_that_does_not_read_slows_nobody_and_is_not_cut_off() {
    let server = Server::conveyor(&[]);
    let worker = echo_worker(server.address, b"copy");
    server.wait_for_workers("copy", 1);
    // 64 MiB of results pile up for a client that does not read them now.
    let mut lazy = server.connect();
    let payload = vec![b'z'; 1 << 20];
    for _ in 0..64 {
        lazy.send(wire::SUBMIT_JOB, &[b"copy", b"", &payload]);
    }
    let mut client = server.connect();
    for _ in 0..200 {
        do_job(&mut client, b"copy", b"small");
    }
    let mut results = 0;
    while results < 64 {
        match lazy.receive() {
            (wire::JOB_CREATED, _) => {}
            (wire::WORK_COMPLETE, body) => {
                assert!(body.ends_with(&payload));
                results += 1;
            }
            other => panic!("{:?} for a client", other.0),
        }
    }
    do_job(&mut client, b"copy", LAST);
    worker.join().unwrap();
}

//! Peers that do not read: slowed, then cut off, and never for silence alone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic, and says where")]

use conveyor_common::HandlePrefix;
use conveyor_server::core::{Compat, Durability, Identity, Keeps, Rules, Wakeup};
use conveyor_server::{Config, Keepalive, Limits, Server, ServerHandle};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn serve(limits: Limits) -> ServerHandle {
    let rules = Rules {
        compat: Compat::V2_0,
        round_robin: false,
        max_losses: None,
        wakeup: Wakeup::AsNeeded,
        exceptions: false,
        prefix: HandlePrefix::new(b"H:t"),
        durability: Durability::Memory,
        keeps: Keeps::default(),
        queue_bytes: usize::MAX,
        identity: Identity { version: "t".to_owned(), pid: 1, verbose: "ERROR".to_owned() },
    };
    let config = Config {
        listen: vec!["127.0.0.1".to_owned()],
        port: 0,
        backlog: 32,
        rules,
        store: None,
        limits,
        keepalive: Keepalive::default(),
    };
    Server::bind(config).unwrap().spawn().unwrap()
}

fn connect(server: &ServerHandle) -> TcpStream {
    let stream = TcpStream::connect(server.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn echo(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&b"\0REQ\0\0\0\x10"[..], &length.to_be_bytes(), payload].concat()
}

/// Asks for `count` MiB of answers and reads none of them.
fn ask_and_not_read(stream: &mut TcpStream, count: usize) {
    let request = echo(&vec![b'x'; 1 << 20]);
    for _ in 0..count {
        // The server may stop reading or close: both are its right here.
        if stream.write_all(&request).is_err() {
            return;
        }
    }
}

/// Whether a well-behaved peer is served.
fn is_served(stream: &mut TcpStream) -> bool {
    stream.write_all(&echo(b"well")).unwrap();
    let mut answer = [0; 16];
    stream.read_exact(&mut answer).is_ok() && answer.ends_with(b"well")
}

/// Reads everything until the server closes, and returns how much that was; none if it stays open.
fn read_to_the_end(stream: &mut TcpStream, patience: Duration) -> Option<usize> {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Some(total),
            Ok(read) => total += read,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Some(total),
            Err(_) => return None,
        }
    }
}

#[test]
fn who_takes_nothing_for_long_while_much_waits_is_cut_off_and_others_are_not() {
    let stall = Duration::from_secs(1);
    let server = serve(Limits { output_bytes: 4 << 20, stall, ..Limits::default() });
    let (mut greedy, mut modest, mut good) = (connect(&server), connect(&server), connect(&server));
    ask_and_not_read(&mut greedy, 32);
    modest.write_all(&echo(b"patience")).unwrap();
    let start = Instant::now();
    while start.elapsed() < 4 * stall {
        assert!(is_served(&mut good));
    }
    let answered = read_to_the_end(&mut greedy, Duration::from_secs(10));
    assert!(answered.is_some_and(|bytes| bytes < 32 << 20), "not cut off: {answered:?}");
    let mut answer = [0; 20];
    modest.read_exact(&mut answer).unwrap();
    assert!(answer.ends_with(b"patience"), "silence alone is no fault");
}

#[test]
fn above_the_budget_of_all_the_greediest_goes_first() {
    let server = serve(Limits { output_total_bytes: 16 << 20, ..Limits::default() });
    let (mut greedy, mut modest, mut good) = (connect(&server), connect(&server), connect(&server));
    ask_and_not_read(&mut modest, 8);
    ask_and_not_read(&mut greedy, 64);
    assert!(is_served(&mut good));
    let answered = read_to_the_end(&mut greedy, Duration::from_secs(10));
    assert!(answered.is_some_and(|bytes| bytes < 64 << 20), "not cut off: {answered:?}");
    let header_bytes = 12;
    let mut answers = vec![0; 8 * ((1 << 20) + header_bytes)];
    modest.read_exact(&mut answers).unwrap();
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_goes_on_when_it_does() {
    let server = serve(Limits { pause_bytes: 1 << 20, ..Limits::default() });
    let mut peer = connect(&server);
    let mut writer = peer.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.set_write_timeout(None).unwrap();
        ask_and_not_read(&mut writer, 64);
    });
    let mut good = connect(&server);
    assert!(is_served(&mut good));
    let mut answers = vec![0; 64 * ((1 << 20) + 12)];
    peer.read_exact(&mut answers).unwrap();
    writing.join().unwrap();
}

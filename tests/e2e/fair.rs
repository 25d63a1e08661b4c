//! Nobody keeps the others waiting: what one client gets while another sends as fast as it can.

use crate::support::{Server, packet};
use crate::wire;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// Jobs of the flood, and in one write.
const FLOOD: usize = 200_000;
const BATCH: usize = 2_000;

/// A JOB_CREATED has at least this many bytes.
const ANSWER_BYTES: usize = 12;

/// Sends the flood and takes the answers, as fast as both go.
fn flood(server: &Server, done: &AtomicBool) {
    let stream = TcpStream::connect(server.address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut stream, mut buffer, mut left) = (stream, vec![0; 1 << 16], FLOOD * ANSWER_BYTES);
        while left > 0 {
            left = left.saturating_sub(stream.read(&mut buffer).unwrap());
        }
    });
    let batch = packet(wire::SUBMIT_JOB_BG, &[b"flood", b"", &[b'x'; 64]]).repeat(BATCH);
    (0..FLOOD / BATCH).for_each(|_| writer.write_all(&batch).unwrap());
    reader.join().unwrap();
    done.store(true, Ordering::Relaxed);
}

#[test]
fn a_client_gets_its_turns_beside_a_flood() {
    let server = Server::conveyor(&[]);
    let done = AtomicBool::new(false);
    let trips = std::thread::scope(|scope| {
        scope.spawn(|| flood(&server, &done));
        let mut peer = server.connect();
        let mut trips = 0;
        while !done.load(Ordering::Relaxed) {
            peer.send(wire::ECHO_REQ, &[b"mine"]);
            assert_eq!(peer.receive(), (wire::ECHO_RES, b"mine".to_vec()));
            trips += 1;
        }
        trips
    });
    // A turn is 128 packets, which makes 1562 of them; most are left for what the machine does besides. A server that
    // reads as long as there is something gives a handful.
    assert!(trips > 1562 / 32, "{trips} round trips in the time of {FLOOD} jobs");
}

//! What a library sends where the table only says that something cannot be.

use crate::library::Library;
use crate::support::{PATIENCE, packet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

const GRAB_JOBS: [u32; 2] = [9, 30];
const JOB_ASSIGN: u32 = 11;
const WORK_COMPLETE: u32 = 13;

fn request(stream: &mut TcpStream) -> (u32, Vec<u8>) {
    let mut header = [0_u8; 12];
    stream.read_exact(&mut header).unwrap();
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; number(8) as usize];
    stream.read_exact(&mut body).unwrap();
    (number(4), body)
}

/// When this fails, the library has been mended: let `Library::worker_lacks` say so.
#[test]
fn the_perl_worker_leaves_out_the_nul_before_an_empty_result() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _worker = Library::Perl.start_worker(listener.local_addr().unwrap().port());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while !GRAB_JOBS.contains(&request(&mut stream).0) {}
    let mut assign = packet(JOB_ASSIGN, &[b"H:same:1", b"empty", b"x"]);
    assign[..4].copy_from_slice(b"\0RES");
    stream.write_all(&assign).unwrap();
    assert_eq!(request(&mut stream), (WORK_COMPLETE, b"H:same:1".to_vec()));
}

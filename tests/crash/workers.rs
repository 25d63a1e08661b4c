//! A worker's process is killed at each step of the protocol: its job goes to another worker, once, and a sleeping one is
//! woken for it.

use crate::conn::Conn;
use crate::crew::assigned;
use crate::server::Victim;
use crate::support::{PATIENCE, Process, require};
use crate::wire::{
    CAN_DO, GRAB_JOB, JOB_ASSIGN, JOB_CREATED, NO_JOB, NOOP, PRE_SLEEP, SUBMIT_JOB, SUBMIT_JOB_BG,
    WORK_COMPLETE, WORK_STATUS,
};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// How far the worker gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Grab,
    Assign,
    Status,
    HalfComplete,
}

/// A worker that says how far it is and then waits to be killed.
const WORKER: &str = "import socket, struct, sys
port, step = int(sys.argv[1]), sys.argv[2]
s = socket.create_connection(('127.0.0.1', port))
def packet(kind, *args):
    body = b'\\0'.join(args)
    return b'\\0REQ' + struct.pack('>II', kind, len(body)) + body
def read(count):
    data = b''
    while len(data) < count:
        more = s.recv(count - len(data))
        assert more
        data += more
    return data
def receive():
    kind, length = struct.unpack('>4xII', read(12))
    return kind, read(length)
s.sendall(packet(1, b'f') + packet(9))
if step != 'Grab':
    kind, body = receive()
    assert kind == 11, kind
    handle = body.split(b'\\0')[0]
if step == 'Status':
    s.sendall(packet(12, handle, b'1', b'2'))
if step == 'HalfComplete':
    whole = packet(13, handle, b'a result of some length')
    s.sendall(whole[:len(whole) - 9])
print(step, flush=True)
sys.stdin.read()";

fn worker(server: &Victim, step: Step) -> Process {
    require("python3");
    let mut python = Command::new("setpriv");
    let port = server.address.port().to_string();
    python.args(["--pdeathsig", "KILL", "python3", "-c", WORKER, &port, &format!("{step:?}")]);
    let mut process = Process::spawn(python.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), format!("{step:?}"), "the worker gets so far");
    process
}

/// One job, one worker that dies of it, one that sleeps.
fn comes_back(server: &Victim, step: Step, background: bool, bytes: usize) {
    let what = format!("{step:?}, background {background}, {bytes} bytes");
    let payload = [&b"1:"[..], &vec![b'x'; bytes]].concat();
    let mut client = Conn::open(server.address).unwrap();
    client.send(if background { SUBMIT_JOB_BG } else { SUBMIT_JOB }, &[b"f", b"", &payload]).unwrap();
    let (opcode, handle) = client.receive().unwrap();
    assert_eq!(opcode, JOB_CREATED);

    let mut dying = worker(server, step);
    let mut other = Conn::open(server.address).unwrap();
    other.send(CAN_DO, &[b"f"]).unwrap();
    // It sleeps before the job is lost. One that sent GRAB_JOB may not have been heard yet.
    let heard = || server.running() == 1;
    crate::support::wait_for("the job is taken", || heard().then_some(()));
    other.send(GRAB_JOB, &[]).unwrap();
    assert_eq!(other.receive().unwrap().0, NO_JOB, "{what}");
    other.send(PRE_SLEEP, &[]).unwrap();
    if step == Step::Status && !background {
        assert_eq!(client.receive().unwrap().0, WORK_STATUS);
    }
    dying.child.kill().unwrap();
    dying.child.wait().unwrap();

    assert!(other.is_readable(PATIENCE).unwrap(), "{what}: nobody is woken");
    assert_eq!(other.receive().unwrap().0, NOOP);
    other.send(GRAB_JOB, &[]).unwrap();
    let (opcode, body) = other.receive().unwrap();
    assert_eq!(opcode, JOB_ASSIGN, "{what}");
    assert_eq!(assigned(&body), (1, handle.clone()), "{what}");
    assert!(body.ends_with(&payload));
    other.send(GRAB_JOB, &[]).unwrap();
    assert_eq!(other.receive().unwrap().0, NO_JOB, "{what}: it is there twice");
    other.send(WORK_COMPLETE, &[&handle, b"done"]).unwrap();
    if !background {
        let (opcode, body) = client.receive().unwrap();
        assert_eq!((opcode, body.ends_with(b"done")), (WORK_COMPLETE, true), "{what}");
    }
    other.send(GRAB_JOB, &[]).unwrap();
    assert_eq!(other.receive().unwrap().0, NO_JOB, "{what}: it is back");
    assert_eq!(server.total(), 0, "{what}");
}

fn all_steps(options: &[&str], bytes: usize) {
    let place = tempfile::tempdir().unwrap();
    let mut server = Victim::new(place.path(), options);
    server.start();
    for step in [Step::Grab, Step::Assign, Step::Status, Step::HalfComplete] {
        for background in [true, false] {
            comes_back(&server, step, background, bytes);
        }
    }
    server.stop();
}

#[test]
fn jobs_of_killed_workers_come_back_once() {
    all_steps(&[], 10);
}

/// The answer to GRAB_JOB waits for the disk when its worker dies. A foreground job is never left there.
#[test]
fn jobs_whose_payload_is_on_the_disk_come_back_once() {
    let place = tempfile::tempdir().unwrap();
    let mut server = Victim::new(place.path(), &["--queue-memory", "1M"]);
    server.start();
    for step in [Step::Grab, Step::Assign, Step::Status, Step::HalfComplete] {
        comes_back(&server, step, true, 3 << 20);
    }
    server.stop();
}

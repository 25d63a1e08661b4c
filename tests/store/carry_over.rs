//! A queue that gearmand left is served by us, and the reverse: real programs on both sides, stock clients and
//! workers in between.

use crate::support::{GEARMAND, Process, Server, require, run};
use std::process::{Command, Stdio};

const CAN_DO: u32 = 1;
const JOB_CREATED: u32 = 8;
const GRAB_JOB_UNIQ: u32 = 30;
const NO_JOB: u32 = 10;
const JOB_ASSIGN_UNIQ: u32 = 31;
const WORK_COMPLETE: u32 = 13;
pub(crate) const SUBMIT_JOB_BG: u32 = 18;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Gearmand,
    Conveyor,
}

impl Who {
    /// Starts it with options that both know.
    pub(crate) fn start(self, options: &[String]) -> Server {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        match self {
            Self::Gearmand => Server::gearmand(&options),
            Self::Conveyor => Server::conveyor(&options),
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Gearmand => Self::Conveyor,
            Self::Conveyor => Self::Gearmand,
        }
    }
}

/// Stops a server in order.
pub(crate) fn stop(mut server: Server) {
    server.process.signal("TERM");
    assert_eq!(server.process.exit_code(), Some(0));
}

/// A background job by the stock client.
pub(crate) fn submit(server: &Server, options: &[&str], payload: &str) {
    require("gearman");
    let port = server.port().to_string();
    let mut command = Command::new("gearman");
    command.args(["-h", "127.0.0.1", "-p", &port, "-b"]).args(options).arg(payload);
    let output = run(&mut command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A background job whose payload no command line can hold.
pub(crate) fn submit_bytes(server: &Server, function: &str, unique: &str, payload: &[u8]) {
    let mut client = server.connect();
    client.send(SUBMIT_JOB_BG, &[function.as_bytes(), unique.as_bytes(), payload]);
    assert_eq!(client.receive().0, JOB_CREATED);
}

/// Payloads of so many jobs, done by the stock worker, in the order in which it got them.
pub(crate) fn work(server: &Server, function: &str, count: usize) -> Vec<String> {
    let port = server.port().to_string();
    let args = ["-h", "127.0.0.1", "-p", &port, "-w", "-f", function, "-c", &count.to_string()];
    // What a function gives is not seen by anybody in the background: a command writes it to the end of a file.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("done");
    let mut command = Command::new("timeout");
    command.args(["20", "gearman"]).args(args).args(["--", "sh", "-c"]);
    command.arg(format!("cat >> {0}; echo >> {0}", file.display()));
    let mut worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    assert_eq!(worker.exit_code(), Some(0), "the stock worker did {count} jobs of {function}");
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

/// Function, unique and payload of all jobs of these functions, which are done.
pub(crate) fn drain(server: &Server, functions: &[&str]) -> Vec<(String, String, Vec<u8>)> {
    let mut worker = server.connect();
    for function in functions {
        worker.send(CAN_DO, &[function.as_bytes()]);
    }
    let mut jobs = Vec::new();
    loop {
        worker.send(GRAB_JOB_UNIQ, &[]);
        let (kind, body) = worker.receive();
        if kind == NO_JOB {
            return jobs;
        }
        assert_eq!(kind, JOB_ASSIGN_UNIQ);
        let mut parts = body.splitn(4, |byte| *byte == 0);
        let mut part = || parts.next().unwrap().to_vec();
        let (handle, function, unique, payload) = (part(), part(), part(), part());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        jobs.push((text(function), text(unique), payload));
        worker.send(WORK_COMPLETE, &[&handle, b""]);
    }
}

/// What a pair of servers can be asked of with a kind of store.
pub(crate) struct Matrix {
    /// Options of the store, which both know.
    pub(crate) options: Vec<String>,
    /// The order within a priority outlives the server.
    pub(crate) in_order: bool,
    /// gearmand gets priorities back.
    pub(crate) gearmand_priorities: bool,
    /// gearmand gets all rows back, not just some.
    pub(crate) gearmand_complete: bool,
}

/// One leaves jobs, the other does them, and leaves nothing.
pub(crate) fn check(matrix: &Matrix, from: Who) {
    require(GEARMAND);
    let to = from.other();
    let server = from.start(&matrix.options);
    submit(&server, &["-f", "work", "-L", "-u", "u1"], "low");
    submit(&server, &["-f", "work", "-u", "u2"], "first");
    submit(&server, &["-f", "work", "-u", "u3"], "second");
    submit(&server, &["-f", "work", "-I", "-u", "u4"], "high");
    submit_bytes(&server, "bytes", "u5", b"x");
    stop(server);

    let server = to.start(&matrix.options);
    if to == Who::Conveyor || matrix.gearmand_complete {
        let mut done = work(&server, "work", 4);
        let mut expected = ["high", "first", "second", "low"].map(str::to_owned).to_vec();
        let in_order = matrix.in_order && (to == Who::Conveyor || matrix.gearmand_priorities);
        if !in_order {
            done.sort();
            expected.sort();
        }
        assert_eq!(done, expected, "{from:?} to {to:?}");
        let bytes = drain(&server, &["bytes"]);
        assert_eq!(bytes, [("bytes".to_owned(), "u5".to_owned(), b"x".to_vec())]);
    } else {
        let done = drain(&server, &["work", "bytes"]);
        let known = [&b"high"[..], b"first", b"second", b"low", b"x"];
        assert!(done.iter().all(|(.., payload)| known.contains(&&payload[..])), "{done:?}");
    }
    stop(server);

    if to == Who::Conveyor || matrix.gearmand_complete {
        let server = from.start(&matrix.options);
        assert_eq!(drain(&server, &["work", "bytes"]), [], "what is done is not stored");
        stop(server);
    }
}

fn sqlite(directory: &tempfile::TempDir, more: &[&str]) -> Matrix {
    let mut options = vec![
        "--queue-type=libsqlite3".to_owned(),
        format!("--libsqlite3-db={}/q.db", directory.path().display()),
    ];
    options.extend(more.iter().map(|option| (*option).to_owned()));
    Matrix { options, in_order: true, gearmand_priorities: true, gearmand_complete: true }
}

#[test]
fn libsqlite3_from_gearmand() {
    check(&sqlite(&tempfile::tempdir().unwrap(), &[]), Who::Gearmand);
}

#[test]
fn libsqlite3_to_gearmand() {
    check(&sqlite(&tempfile::tempdir().unwrap(), &[]), Who::Conveyor);
}

#[test]
fn libsqlite3_stored_on_shutdown_from_gearmand() {
    check(&sqlite(&tempfile::tempdir().unwrap(), &["--store-queue-on-shutdown"]), Who::Gearmand);
}

#[test]
fn libsqlite3_stored_on_shutdown_to_gearmand() {
    check(&sqlite(&tempfile::tempdir().unwrap(), &["--store-queue-on-shutdown"]), Who::Conveyor);
}

#[test]
fn gearmand_serves_what_its_own_libsqlite3_would_have_broken() {
    let directory = tempfile::tempdir().unwrap();
    let matrix = sqlite(&directory, &[]);
    let server = Who::Conveyor.start(&matrix.options);
    // Stored by gearmand an empty payload keeps it from starting, and jobs without a unique overwrite each other.
    submit_bytes(&server, "f", "empty", b"");
    submit_bytes(&server, "f", "", b"one");
    submit_bytes(&server, "f", "", b"two");
    submit_bytes(&server, "f", "nul", b"a\0b");
    stop(server);
    let server = Who::Gearmand.start(&matrix.options);
    let payloads: Vec<Vec<u8>> = drain(&server, &["f"]).into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads, [&b""[..], b"one", b"two", b"a\0b"]);
    stop(server);
}

#[test]
fn an_empty_payload_of_gearmand_is_read_from_libsqlite3() {
    let directory = tempfile::tempdir().unwrap();
    let matrix = sqlite(&directory, &[]);
    let server = Who::Gearmand.start(&matrix.options);
    submit_bytes(&server, "f", "u", b"");
    stop(server);
    let server = Who::Conveyor.start(&matrix.options);
    assert_eq!(drain(&server, &["f"]), [("f".to_owned(), "u".to_owned(), Vec::new())]);
    stop(server);
}

#[test]
fn a_name_of_our_own_is_taken_off_again() {
    let directory = tempfile::tempdir().unwrap();
    let matrix = sqlite(&directory, &[]);
    let mut server = Who::Conveyor.start(&matrix.options);
    submit_bytes(&server, "f", "", b"one");
    submit_bytes(&server, "f", "-", b"two");
    server.kill();
    server.start_again();
    let jobs = drain(&server, &["f"]);
    let expected = [("", "one"), ("-", "two")]
        .map(|(unique, payload)| ("f".to_owned(), unique.to_owned(), payload.as_bytes().to_vec()));
    assert_eq!(jobs, expected);
    stop(server);
}

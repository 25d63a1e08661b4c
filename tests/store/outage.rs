//! The server of a store goes and comes back while jobs are submitted and worked.

use crate::carry_over::{SUBMIT_JOB_BG, drain, stop, submit_bytes};
use crate::servers::Backend;
use crate::support::{Server, wait_for};

const JOB_CREATED: u32 = 8;
const ERROR: u32 = 19;
const SUBMIT_JOB: u32 = 7;

/// The answer to a background submission.
pub(crate) fn answer(server: &Server, unique: &str) -> (u32, Vec<u8>) {
    let mut client = server.connect();
    client.send(SUBMIT_JOB_BG, &[b"f", unique.as_bytes(), unique.as_bytes()]);
    client.receive()
}

fn payloads(jobs: Vec<(String, String, Vec<u8>)>) -> Vec<String> {
    let mut list: Vec<String> =
        jobs.into_iter().map(|(.., payload)| String::from_utf8(payload).unwrap()).collect();
    list.sort();
    list
}

const AWAY: &str = "ERR STORE_AWAY background+jobs+are+refused+until+it+is+back\n";

/// Whether this is its answer to `readiness`.
fn says(server: &Server, expected: &str) -> Option<()> {
    (server.connect().line("readiness") == expected).then_some(())
}

/// Refused at once while it is away, accepted when it is back; nothing accepted is lost, nothing refused is done, what
/// ended meanwhile is not done again.
pub(crate) fn check(backend: &mut Backend, options: &[&str]) {
    let server = Server::conveyor(options);
    assert_eq!(answer(&server, "before").0, JOB_CREATED);
    submit_bytes(&server, "ends", "during", b"ends during the outage");
    backend.kill();
    let (kind, body) = answer(&server, "refused");
    assert_eq!((kind, body), (ERROR, b"QUEUE_ERROR\0QUEUE_ERROR".to_vec()));
    wait_for("whoever asks is told", || says(&server, AWAY));
    assert_eq!(drain(&server, &["ends"]).len(), 1);
    // Foreground jobs need no store.
    let mut client = server.connect();
    client.send(SUBMIT_JOB, &[b"foreground", b"", b""]);
    assert_eq!(client.receive().0, JOB_CREATED);
    drop(client);
    backend.start_again();
    wait_for("a submission is accepted again", || (answer(&server, "after").0 == JOB_CREATED).then_some(()));
    wait_for("it is ready again", || says(&server, "OK ready\n"));
    stop(server);

    let server = Server::conveyor(options);
    assert_eq!(payloads(drain(&server, &["f", "ends"])), ["after", "before"]);
    stop(server);
}

/// With `--queue-retry` a submission waits for the store.
pub(crate) fn check_patience(backend: &mut Backend, options: &[&str]) {
    let server = Server::conveyor(&[options, &["--queue-retry", "60"]].concat());
    assert_eq!(answer(&server, "before").0, JOB_CREATED);
    backend.kill();
    let mut client = server.connect();
    client.send(SUBMIT_JOB_BG, &[b"f", b"waits", b"waits"]);
    // Everybody else is served meanwhile.
    assert_eq!(server.status().len(), 1);
    backend.start_again();
    assert_eq!(client.receive().0, JOB_CREATED);
    assert_eq!(payloads(drain(&server, &["f"])), ["before", "waits"]);
    stop(server);
}

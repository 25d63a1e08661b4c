//! memcached: a key a job, and names that its keys cannot hold.

use crate::carry_over::{self, Matrix, SUBMIT_JOB_BG, Who, drain, stop, submit_bytes};
use crate::promises::{self, Subject};
use crate::servers::Backend;
use crate::{gearmand_store, outage};
use conveyor_server::store::gearmand::Place;

fn options(backend: &Backend) -> Vec<String> {
    let server = format!("--libmemcached-servers=127.0.0.1:{}", backend.port);
    vec!["--queue-type=libmemcached".to_owned(), server]
}

#[test]
fn libmemcached_keeps_its_promises() {
    let backend = Backend::memcached();
    let fresh = |name: &str| {
        let server = format!("127.0.0.1:{}", backend.port);
        gearmand_store(Place::Memcached { server, prefix: format!("%41{name}-") })
    };
    promises::check(&Subject { fresh: &fresh, in_order: true, any_bytes: false });
}

fn matrix(backend: &Backend) -> Matrix {
    // gearmand lists keys in a way that misses some now and then.
    Matrix { options: options(backend), in_order: true, gearmand_priorities: false, gearmand_complete: false }
}

#[test]
fn libmemcached_from_gearmand() {
    carry_over::check(&matrix(&Backend::memcached()), Who::Gearmand);
}

#[test]
fn libmemcached_to_gearmand() {
    carry_over::check(&matrix(&Backend::memcached()), Who::Conveyor);
}

#[test]
fn what_a_key_cannot_hold_is_refused_alone() {
    let backend = Backend::memcached();
    let server = Who::Conveyor.start(&options(&backend));
    let large = vec![0; 9 << 20];
    let mut client = server.connect();
    client.send(SUBMIT_JOB_BG, &[b"with space", b"u", b""]);
    client.send(SUBMIT_JOB_BG, &[b"f", b"good", b"1"]);
    client.send(SUBMIT_JOB_BG, &[b"f", b"large", &large]);
    client.send(SUBMIT_JOB_BG, &[&[b'f'; 250], b"u", b""]);
    client.send(SUBMIT_JOB_BG, &[b"f", b"good too", b""]);
    let answers: Vec<u32> = (0..5).map(|_| client.receive().0).collect();
    assert_eq!(answers, [19, 8, 19, 19, 19]);
    submit_bytes(&server, "f", "good-too", b"2");
    stop(server);
    let server = Who::Conveyor.start(&options(&backend));
    let payloads: Vec<Vec<u8>> = drain(&server, &["f"]).into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads, [b"1", b"2"]);
    stop(server);
}

#[test]
fn libmemcached_refuses_while_it_is_away() {
    let mut backend = Backend::memcached();
    let options = options(&backend);
    let server = Who::Conveyor.start(&options);
    submit_bytes(&server, "f", "before", b"");
    backend.kill();
    let mut client = server.connect();
    client.send(SUBMIT_JOB_BG, &[b"f", b"refused", b""]);
    assert_eq!(client.receive().0, 19);
    // It comes back empty: what is in memory is served, and new jobs are stored again.
    backend.start_again();
    crate::support::wait_for("a submission is accepted again", || {
        (outage::answer(&server, "after").0 == 8).then_some(())
    });
    assert_eq!(drain(&server, &["f"]).len(), 2);
    stop(server);
}

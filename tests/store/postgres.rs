//! PostgreSQL: one table, and what its text columns cannot hold.

use crate::carry_over::{self, Matrix, SUBMIT_JOB_BG, Who, drain, stop};
use crate::promises::{self, Subject};
use crate::servers::Backend;
use crate::{gearmand_store, outage};
use conveyor_server::store::gearmand::Place;

fn conninfo(backend: &Backend) -> String {
    format!("host=127.0.0.1 port={} user=gearman dbname=postgres", backend.port)
}

fn options(backend: &Backend) -> Vec<String> {
    vec!["--queue-type=Postgres".to_owned(), format!("--libpq-conninfo={}", conninfo(backend))]
}

#[test]
fn postgres_keeps_its_promises() {
    let backend = Backend::postgres();
    let fresh = |name: &str| {
        gearmand_store(Place::Postgres { conninfo: conninfo(&backend), table: format!("table-{name}") })
    };
    // Room of deleted rows is used again: there is no order.
    promises::check(&Subject { fresh: &fresh, in_order: false, any_bytes: false });
}

#[test]
fn postgres_from_gearmand_to_gearmand_and_an_outage() {
    let mut backend = Backend::postgres();
    let options = options(&backend);
    // gearmand takes every row for one of high priority.
    let matrix = Matrix {
        options: options.clone(),
        in_order: false,
        gearmand_priorities: false,
        gearmand_complete: true,
    };
    carry_over::check(&matrix, Who::Gearmand);
    assert_eq!(backend.psql("SELECT count(*) FROM queue"), "0");
    carry_over::check(&matrix, Who::Conveyor);
    assert_eq!(backend.psql("SELECT count(*) FROM queue"), "0");
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    outage::check(&mut backend, &words);
    outage::check_patience(&mut backend, &words);
    refused_alone(&options);
}

fn refused_alone(options: &[String]) {
    let server = Who::Conveyor.start(options);
    let mut client = server.connect();
    client.send(SUBMIT_JOB_BG, &[b"\xff", b"u", b""]);
    client.send(SUBMIT_JOB_BG, &[b"f", b"good", b"\0"]);
    client.send(SUBMIT_JOB_BG, &[&[b'f'; 256], b"u", b""]);
    client.send(SUBMIT_JOB_BG, &["ä".repeat(255).as_bytes(), b"good", b""]);
    let answers: Vec<u32> = (0..4).map(|_| client.receive().0).collect();
    assert_eq!(answers, [19, 8, 19, 8]);
    stop(server);
    let server = Who::Conveyor.start(options);
    assert_eq!(drain(&server, &["f", &"ä".repeat(255)]).len(), 2);
    stop(server);
}

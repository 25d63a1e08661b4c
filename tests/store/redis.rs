//! redis: both of gearmand's layouts, and what it has no place for.

use crate::carry_over::{self, Matrix, Who, drain, stop, submit_bytes};
use crate::promises::{self, Subject};
use crate::servers::Backend;
use crate::{gearmand_store, outage};
use conveyor_server::store::gearmand::Place;

const SUBMIT_JOB_EPOCH: u32 = 36;

fn options(backend: &Backend) -> Vec<String> {
    vec![
        "--queue-type=redis".to_owned(),
        "--redis-server=127.0.0.1".to_owned(),
        format!("--redis-port={}", backend.port),
    ]
}

fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

#[test]
fn redis_keeps_its_promises() {
    let backend = Backend::redis();
    let fresh = |name: &str| {
        gearmand_store(Place::Redis {
            server: "127.0.0.1".to_owned(),
            port: backend.port,
            password: None,
            // Characters that mean something in a pattern.
            prefix: format!("[{name}]*?"),
        })
    };
    promises::check(&Subject { fresh: &fresh, in_order: false, any_bytes: true });
}

fn matrix(backend: &Backend) -> Matrix {
    Matrix { options: options(backend), in_order: false, gearmand_priorities: true, gearmand_complete: true }
}

#[test]
fn redis_from_gearmand() {
    let backend = Backend::redis();
    carry_over::check(&matrix(&backend), Who::Gearmand);
    assert_eq!(backend.redis_cli(&["KEYS", "*"]).trim(), "");
}

#[test]
fn redis_to_gearmand() {
    let backend = Backend::redis();
    carry_over::check(&matrix(&backend), Who::Conveyor);
    assert_eq!(backend.redis_cli(&["KEYS", "*"]).trim(), "");
}

#[test]
fn all_layouts_of_gearmand_are_read() {
    let backend = Backend::redis();
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    backend.redis_cli(&["HSET", "_gear_-f-u1.1", "data", "1.1", "priority", "0"]);
    backend.redis_cli(&["HSET", &format!("_gear_-with-hyphen-{uuid}"), "data", "uuid", "priority", "2"]);
    let fields = ["data", "2.0", "priority", "1", "function", "f", "unique", "u-2"];
    backend.redis_cli(&[&["HSET", "_gear_-f-u-2"], &fields[..]].concat());
    backend.redis_cli(&["SET", "_gear_-f-old", "string"]);
    backend.redis_cli(&["LPUSH", "_gear_-f-other", "of somebody else"]);
    let options = options(&backend);
    let server = Who::Conveyor.start(&options);
    let mut jobs = drain(&server, &["f", "with-hyphen"]);
    jobs.sort();
    let expected =
        [("f", "old", "string"), ("f", "u-2", "2.0"), ("f", "u1.1", "1.1"), ("with-hyphen", uuid, "uuid")]
            .map(|(function, unique, payload)| {
                (function.to_owned(), unique.to_owned(), payload.as_bytes().to_vec())
            });
    assert_eq!(jobs, expected);
    stop(server);
    assert_eq!(backend.redis_cli(&["KEYS", "*"]).trim(), "_gear_-f-other");
}

#[test]
fn the_layout_of_2_0_is_written() {
    let backend = Backend::redis();
    let server = Who::Conveyor.start(&options(&backend));
    submit_bytes(&server, "fn-x", "u-1", b"payload");
    let hash = backend.redis_cli(&["HGETALL", "_gear_-fn-x-u-1"]);
    let fields: Vec<&str> = hash.lines().collect();
    assert_eq!(fields, ["data", "payload", "priority", "1", "function", "fn-x", "unique", "u-1"]);
    stop(server);
}

#[test]
fn start_times_are_refused_and_only_they() {
    let backend = Backend::redis();
    let server = Who::Conveyor.start(&options(&backend));
    let mut client = server.connect();
    client.send(SUBMIT_JOB_EPOCH, &[b"f", b"later", b"2000000000", b""]);
    assert_eq!(client.receive(), (19, b"QUEUE_ERROR\0QUEUE_ERROR".to_vec()));
    submit_bytes(&server, "f", "now", b"");
    assert_eq!(drain(&server, &["f"]).len(), 1);
    stop(server);
}

#[test]
fn redis_may_go_and_come_back() {
    let mut backend = Backend::redis();
    let options = options(&backend);
    outage::check(&mut backend, &words(&options));
}

#[test]
fn submissions_wait_for_redis_when_told_to() {
    let mut backend = Backend::redis();
    let options = options(&backend);
    outage::check_patience(&mut backend, &words(&options));
}

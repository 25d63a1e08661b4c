//! What every store promises, checked for all of them; and queues that go from gearmand to us and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod carry_over;
mod import;
mod memcached;
mod mysql;
mod named;
mod outage;
mod postgres;
mod promises;
mod redis;
mod servers;

use conveyor_server::store::gearmand::{GearmandStore, Place};
use conveyor_server::store::{Backend, Flush, StoreConfig};
use promises::Subject;
use std::path::Path;
use std::time::Duration;

/// One of gearmand's stores that writes at once.
fn gearmand_store(place: Place) -> Backend {
    Backend::Gearmand(GearmandStore { place, on_shutdown: false, patience: Duration::ZERO })
}

#[test]
fn the_default_store_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    let fresh = |name: &str| {
        Backend::Durable(StoreConfig { directory: directory.path().join(name), flush: Flush::Each })
    };
    promises::check(&Subject { fresh: &fresh, in_order: true, any_bytes: true });
}

fn sqlite(directory: &Path, name: &str, on_shutdown: bool) -> Backend {
    // A hyphen in the name of the table too.
    let place = Place::Sqlite { file: directory.join("queue.db"), table: format!("table-{name}") };
    Backend::Gearmand(GearmandStore { place, on_shutdown, patience: Duration::ZERO })
}

#[test]
fn libsqlite3_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    let fresh = |name: &str| sqlite(directory.path(), name, false);
    promises::check(&Subject { fresh: &fresh, in_order: true, any_bytes: true });
}

#[test]
fn libsqlite3_keeps_its_promises_when_it_writes_at_the_end_only() {
    let directory = tempfile::tempdir().unwrap();
    let fresh = |name: &str| sqlite(directory.path(), name, true);
    promises::check(&Subject { fresh: &fresh, in_order: true, any_bytes: true });
}

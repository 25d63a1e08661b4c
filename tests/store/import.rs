//! `conveyor import` between one of gearmand's stores and the default one, both ways.

use crate::gearmand_store;
use crate::support::run;
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use conveyor_server::core::{Change, Record};
use conveyor_server::store::gearmand::Place;
use conveyor_server::store::{Backend, Flush, StoreConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn record(number: u64, priority: Priority, unique: &str) -> Record {
    Record {
        number: JobNumber(number),
        order: number,
        function: Bytes::from_static(b"f-g"),
        unique: Bytes::copy_from_slice(unique.as_bytes()),
        priority,
        reducer: None,
        when: 0,
        retries: 0,
        payload: Bytes::from(format!("payload\0{number}")),
    }
}

fn fill(backend: &Backend, records: impl IntoIterator<Item = Record>) {
    let mut store = backend.open().unwrap().store;
    let changes: Vec<Change> = records.into_iter().map(Change::Added).collect();
    let numbers = Change::NumbersReserved { through: JobNumber(100), orders: 100 };
    store.commit(&[&[numbers][..], &changes].concat()).unwrap();
    store.close();
}

/// What a store holds, in the order of reading: priority, unique, payload.
fn held(backend: &Backend) -> Vec<(Priority, Bytes, Bytes)> {
    let mut opened = backend.open().unwrap();
    let (mut found, mut room) = (Vec::new(), usize::MAX);
    loop {
        let (jobs, next) = opened.loader.next_jobs(&mut room).unwrap();
        found
            .extend(jobs.into_iter().map(|job| (job.record.priority, job.record.unique, job.record.payload)));
        if next.is_none() {
            opened.store.close();
            return found;
        }
    }
}

fn import(directory: &Path, file: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.arg("import").args(args).args(["--json", "--libsqlite3-db"]).arg(file);
    let output = run(command.arg("--data-dir").arg(directory));
    let failure = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| json!(failure)))
}

#[test]
fn jobs_come_from_gearmands_store_into_ours_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, file) = (directory.path().join("ours"), directory.path().join("theirs.db"));
    let theirs = gearmand_store(Place::Sqlite { file: file.clone(), table: "gearman_queue".to_owned() });
    let durable = Backend::Durable(StoreConfig { directory: ours.clone(), flush: Flush::Each });
    let jobs = [
        record(1, Priority::Normal, "a"),
        record(2, Priority::High, ""),
        record(3, Priority::Normal, ""),
        record(4, Priority::Low, "b"),
    ];
    fill(&theirs, jobs.clone());
    let there = held(&theirs);
    assert_eq!(there.len(), 4);

    // A dry run makes nothing.
    let (code, said) = import(&ours, &file, &["--from", "libsqlite3", "--dry-run"]);
    assert_eq!((code, &said["jobs"], &said["copied"]), (Some(0), &json!(4), &json!(4)), "{said}");
    assert!(!ours.exists());

    let (code, said) = import(&ours, &file, &["--from", "libsqlite3"]);
    assert_eq!((code, &said["copied"]), (Some(0), &json!(4)), "{said}");
    assert_eq!(held(&durable), there, "in their order");
    assert_eq!(held(&theirs), there, "the first store still has them");

    // What has a unique is not copied twice.
    let (_, said) = import(&ours, &file, &["--from", "libsqlite3", "--remove"]);
    assert_eq!((&said["known"], &said["copied"]), (&json!(2), &json!(2)), "{said}");
    assert_eq!(held(&theirs).len(), 2, "what was left out stays where it was");

    // Back again, and what a store of gearmand's cannot hold.
    let mut odd = record(50, Priority::High, "odd");
    odd.reducer = Some(Bytes::from_static(b"r"));
    odd.retries = 2;
    fill(&durable, [odd]);
    let back = directory.path().join("back.db");
    let (code, said) = import(&ours, &back, &["--from", "durable", "--to", "libsqlite3", "--dry-run"]);
    assert_eq!((code, &said["reducers_lost"], &said["attempts_lost"]), (Some(0), &json!(1), &json!(1)));
    let (code, said) = import(&ours, &back, &["--from", "durable", "--to", "libsqlite3", "--remove"]);
    assert_eq!((code, &said["copied"]), (Some(0), &json!(7)), "{said}");
    assert_eq!(held(&durable), []);
    let carried = gearmand_store(Place::Sqlite { file: back, table: "gearman_queue".to_owned() });
    assert_eq!(held(&carried).len(), 7);
}

#[test]
fn a_start_time_has_no_place_in_redis_and_that_is_said_before() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("ours");
    let durable = Backend::Durable(StoreConfig { directory: ours.clone(), flush: Flush::Each });
    let mut later = record(1, Priority::Normal, "later");
    later.when = 4_000_000_000;
    fill(&durable, [later, record(2, Priority::Normal, "now")]);
    let (code, said) = import(&ours, Path::new("x"), &["--from", "durable", "--to", "redis", "--dry-run"]);
    assert_eq!((code, &said["copied"], &said["refused"]), (Some(1), &json!(1), &json!(1)), "{said}");
}

#[test]
fn what_is_not_there_is_not_made_by_looking_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("ours");
    let (code, said) = import(&ours, Path::new("x"), &["--from", "durable", "--to", "libsqlite3"]);
    assert_eq!(code, Some(1));
    assert!(said.as_str().unwrap().contains("ours"), "{said}");
    assert!(!ours.exists());
    let (code, said) = import(&ours, Path::new("x"), &["--from", "durable"]);
    assert_eq!(code, Some(2), "{said}");
}

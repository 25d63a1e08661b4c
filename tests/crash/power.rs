//! The power goes: the server is killed, and its files are put back to what was synced.

use crate::conn::Conn;
use crate::disk::{shim, take_all};
use crate::server::Victim;
use crate::wire::SUBMIT_JOB_BG;
use crate::{Dice, pass};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// Submissions sent before their answers are read.
const PIPELINED: usize = 16;

/// Acknowledged jobs before the power goes.
const ENOUGH: u64 = 600;

/// Between two batches of a life that lasts.
const PAUSE: Duration = Duration::from_millis(2);

/// How often it goes.
const ROUNDS: usize = 3;

/// Files of a directory become what they were when they were last synced.
fn forget_unsynced(directory: &Path, shadow: &Path) {
    let entries = std::fs::read_to_string(shadow.join("entries")).unwrap_or_default();
    for entry in std::fs::read_dir(directory).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // What is in shared memory never is on the disk.
    for name in entries.lines().filter(|name| !name.ends_with("-shm")) {
        let content = std::fs::read(shadow.join("files").join(name)).unwrap_or_default();
        std::fs::write(directory.join(name), content).unwrap();
    }
}

/// What became of acknowledged jobs.
struct Aftermath {
    /// Jobs that are not there, and how long before the end they were acknowledged.
    lost: BTreeMap<usize, Duration>,
    acknowledged: usize,
}

/// Submits for at least this time, and lets the power go.
fn lose_power(durability: &str, rounds: usize, bytes: usize, least: Duration) -> Aftermath {
    let payload = |id: usize| [format!("{id}:").as_bytes(), &vec![b'x'; bytes]].concat();
    let mut dice = Dice::new(durability);
    let place = tempfile::tempdir().unwrap();
    let shadow = place.path().join("shadow");
    std::fs::create_dir_all(shadow.join("files")).unwrap();
    let mut server = Victim::new(place.path(), &["--durability", durability]);
    server.variable("LD_PRELOAD", shim());
    server.variable("CRASH_DIRECTORY", server.directory.clone());
    server.variable("CRASH_SHADOW", &shadow);
    let mut acknowledged = BTreeMap::new();
    let mut next = 0;
    for _ in 0..rounds {
        server.start();
        let enough = acknowledged.len() + usize::try_from(100 + dice.below(ENOUGH)).unwrap();
        let mut conn = Conn::open(server.address).unwrap();
        let start = Instant::now();
        while acknowledged.len() < enough || start.elapsed() < least {
            let ids: Vec<usize> = (next..next + PIPELINED).collect();
            next += PIPELINED;
            for id in &ids {
                conn.send(SUBMIT_JOB_BG, &[b"f", b"", &payload(*id)]).unwrap();
            }
            for id in ids {
                conn.created().unwrap().unwrap();
                acknowledged.insert(id, Instant::now());
            }
            if !least.is_zero() {
                // A disk that cannot keep up is another matter.
                pass(PAUSE);
            }
        }
        // Some more are under way when it goes.
        for id in next..next + PIPELINED {
            conn.send(SUBMIT_JOB_BG, &[b"f", b"", &payload(id)]).unwrap();
        }
        next += PIPELINED;
        conn.created().unwrap().unwrap();
        server.kill();
        forget_unsynced(&server.directory, &shadow);
    }
    let end = Instant::now();
    server.without_variables();
    server.start();
    server.wait_to_say("all stored jobs are read");
    let found: BTreeSet<usize> = take_all(&server, "f");
    server.stop();
    let count = acknowledged.len();
    acknowledged.retain(|id, _| !found.contains(id));
    let lost: BTreeMap<usize, Duration> = acknowledged.into_iter().map(|(id, at)| (id, end - at)).collect();
    let oldest = lost.values().max().copied().unwrap_or_default();
    println!(
        "{durability}: {count} acknowledged, {} lost when the power went, {oldest:?} old at most",
        lost.len()
    );
    Aftermath { lost, acknowledged: count }
}

#[test]
fn what_was_acknowledged_outlives_the_power() {
    let Aftermath { lost, acknowledged } = lose_power("sync", ROUNDS, 10, Duration::ZERO);
    assert!(acknowledged > 100 * ROUNDS);
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// So large that the log is written back to the file several times.
#[test]
fn what_was_acknowledged_outlives_the_power_when_the_log_is_written_back() {
    let Aftermath { lost, acknowledged } = lose_power("sync", ROUNDS, 300_000, Duration::ZERO);
    assert!(acknowledged * 300_000 > 80 << 20);
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[test]
fn what_was_acknowledged_some_time_ago_outlives_the_power_under_interval() {
    let window = Duration::from_millis(500);
    let Aftermath { lost, .. } = lose_power("interval:20", 1, 10, window * 2);
    assert!(lost.values().all(|age| *age < window), "lost: {lost:?}");
}

/// A check of the check: without syncs it must find losses.
#[test]
fn without_durability_the_power_takes_jobs_along() {
    let Aftermath { lost, acknowledged } = lose_power("none", 1, 10, Duration::ZERO);
    assert!(!lost.is_empty(), "all of {acknowledged} are there: nothing was forgotten");
}

/// New directories are on the disk too before anything is acknowledged.
#[test]
fn the_power_takes_no_new_directory_along() {
    let place = tempfile::tempdir().unwrap();
    let (shadow, above) = (place.path().join("shadow"), place.path().join("above"));
    std::fs::create_dir_all(shadow.join("files").join("queue")).unwrap();
    std::fs::create_dir(&above).unwrap();
    let mut server = Victim::new(&above, &[]);
    server.variable("LD_PRELOAD", shim());
    server.variable("CRASH_DIRECTORY", &above);
    server.variable("CRASH_SHADOW", &shadow);
    server.start();
    Conn::open(server.address).unwrap().submit("f", "", b"0:").unwrap().unwrap();
    let entries = std::fs::read_to_string(shadow.join("entries")).unwrap_or_default();
    assert!(entries.lines().any(|name| name == "queue"), "synced above the queue: {entries:?}");
    server.kill();
}

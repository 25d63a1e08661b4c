//! `conveyor store check` and `repair` on queues that were damaged in every way we could think of.

use crate::store::{exported, filled, json, queue, refused, server, stop, store, told};
use crate::support::wait_for;
use crate::wire;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub(crate) const PAGE: usize = 4096;

/// Pages of the queue that begin with this byte, from 0, the first apart.
pub(crate) fn pages(bytes: &[u8], kind: u8) -> Vec<usize> {
    (1..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] == kind).collect()
}

/// Changes the file of a queue.
pub(crate) fn damage(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(queue(directory)).unwrap();
    change(&mut bytes);
    fs::write(queue(directory), bytes).unwrap();
}

/// Repairs, and says what is left: the report, and the jobs of before that are not there any more.
fn repaired(directory: &Path, before: &[String]) -> (serde_json::Value, BTreeSet<u64>) {
    let damaged = fs::read(queue(directory)).unwrap();
    assert_eq!(store(directory, &["check"]).status.code(), Some(1));
    assert_eq!(fs::read(queue(directory)).unwrap(), damaged, "a check changes nothing");
    let report = json(&told(directory, &["repair", "--json"]));
    assert_eq!(fs::read(report["damaged"].as_str().unwrap()).unwrap(), damaged, "it is kept as it was");
    assert_eq!(told(directory, &["check"]), "OK\n");
    let after: BTreeSet<String> = exported(directory).into_iter().collect();
    assert_eq!(report["jobs"], after.len());
    let number = |line: &String| json(line)["number"].as_u64().unwrap();
    let lost = before.iter().filter(|line| !after.contains(*line)).map(number).collect();
    // Nothing came into being.
    assert!(
        after.iter().all(|line| before.contains(line)) || !report["unnamed"].as_object().unwrap().is_empty()
    );
    (report, lost)
}

/// Numbers that a repair says may be lost, of the only priority there is in `filled`. Whether others had jobs at the edge of
/// what is damaged nobody can know.
fn reported(report: &serde_json::Value) -> BTreeSet<u64> {
    let ranges = report["lost"].as_array().unwrap().iter().filter(|lost| lost["priority"] == "normal");
    ranges.flat_map(|lost| lost["from"].as_u64().unwrap()..=lost["to"].as_u64().unwrap()).collect()
}

#[test]
fn a_bad_page_of_jobs_costs_its_own_jobs_only() {
    let directory = filled(3000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| {
        let leaves = pages(bytes, 0x0d);
        // The first and the last page of jobs, and one in between; the first leaf is that of the functions.
        for leaf in [leaves[1], leaves[leaves.len() / 2], leaves[leaves.len() - 1]] {
            bytes[leaf * PAGE..(leaf + 1) * PAGE].fill(0xa5);
        }
    });
    let (report, lost) = repaired(at, &before);
    assert!((3..200).contains(&lost.len()), "{lost:?}");
    let reported = reported(&report);
    assert!(reported == lost, "{report}");

    // And a server serves what is left.
    let running = server(at);
    wait_for("all jobs are read", || {
        let jobs: u64 = running.status().iter().map(|row| row.1).sum();
        (jobs == 3000 - lost.len() as u64).then_some(())
    });
    stop(running);
}

#[test]
fn jobs_are_found_without_the_tree_that_leads_to_them() {
    let directory = filled(3000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| {
        let inner = pages(bytes, 0x05);
        assert!(!inner.is_empty());
        for page in inner {
            bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        }
    });
    let (report, lost) = repaired(at, &before);
    assert!(lost.is_empty() && reported(&report).is_empty(), "{report}");
}

#[test]
fn a_queue_is_repaired_without_its_first_page() {
    let directory = filled(1000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| bytes[..PAGE].fill(0));
    assert!(refused(at, &["list"]).1.contains("conveyor store repair"));
    let (report, lost) = repaired(at, &before);
    assert!(
        lost.is_empty() && report["without_head"] == true && report["numbers_guessed"] == false,
        "{report}"
    );
}

#[test]
fn jobs_of_nameless_functions_keep_their_payloads() {
    let directory = filled(1000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| bytes[2 * PAGE..3 * PAGE].fill(0xff));
    let (report, _) = repaired(at, &before);
    assert_eq!(report["jobs"], 1000);
    let unnamed = report["unnamed"].as_object().unwrap();
    assert_eq!(unnamed.values().map(|jobs| jobs.as_u64().unwrap()).sum::<u64>(), 1000);
    assert!(unnamed.keys().all(|name| name.starts_with("lost-function-")), "{report}");
    assert_eq!(json(&exported(at)[0])["payload"], json(&before[0])["payload"]);
}

#[test]
fn a_queue_that_was_cut_off_gives_what_is_left() {
    let directory = filled(3000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| bytes.truncate(bytes.len() / 2 / PAGE * PAGE + 100));
    let output = at.join("rescued");
    let damaged = fs::read(queue(at)).unwrap();
    told(at, &["repair", "--output", output.to_str().unwrap()]);
    assert!(output.exists() && fs::read(queue(at)).unwrap() == damaged, "it stays in its place");
    assert!(refused(at, &["repair", "-o", output.to_str().unwrap()]).1.contains("there already"));
    let (report, lost) = repaired(at, &before);
    assert!((1000..2000).contains(&lost.len()), "{}", lost.len());
    assert!(reported(&report).is_superset(&lost), "{report}");
}

#[test]
fn flipped_bits_cost_few_jobs() {
    const FLIPS: usize = 40;
    for seed in 1..=12_usize {
        let directory = filled(600);
        let at = directory.path();
        let before: BTreeSet<u64> =
            exported(at).iter().map(|line| json(line)["number"].as_u64().unwrap()).collect();
        damage(at, |bytes| {
            let mut at = seed * 7919;
            for _ in 0..FLIPS {
                at = (at * 1_103_515_245 + 12_345) % 2_147_483_648;
                let byte = at % bytes.len();
                bytes[byte] ^= 1 << (at % 8);
            }
        });
        let output = store(at, &["check"]);
        assert!(output.status.code() == Some(1), "seed {seed}: {output:?}");
        let output = store(at, &["repair", "--json"]);
        // Whatever it is, it is no panic and no endless loop.
        assert!(matches!(output.status.code(), Some(0 | 1)), "seed {seed}: {output:?}");
        if output.status.success() {
            let report = json(&String::from_utf8(output.stdout).unwrap());
            let after: BTreeSet<u64> =
                exported(at).iter().filter_map(|line| json(line)["number"].as_u64()).collect();
            let lost = reported(&report);
            assert!(after.len() > 200, "seed {seed}: {report}");
            // A flipped bit in a number makes another number of it, which nobody can tell.
            let silent = before.difference(&after).filter(|number| !lost.contains(number)).count();
            assert!(silent <= FLIPS / 4, "seed {seed}: {silent} beside {report}");
        }
    }
}

#[test]
fn what_is_in_the_log_only_is_kept_too() {
    let directory = filled(2000);
    let at = directory.path();
    let mut running = server(at);
    let mut peer = running.connect();
    for number in 0..300 {
        peer.send(wire::SUBMIT_JOB_BG, &[b"logged", b"", format!("late {number}").as_bytes()]);
        assert_eq!(peer.receive().0, wire::JOB_CREATED);
    }
    running.kill();
    let before = exported(at);
    assert_eq!(before.len(), 2300);
    damage(at, |bytes| {
        for page in pages(bytes, 0x05) {
            bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        }
    });
    let log = fs::read(at.join("queue.db-wal")).unwrap();
    assert!(!log.is_empty());
    let report = json(&told(at, &["repair", "--json"]));
    let kept = format!("{}-wal", report["damaged"].as_str().unwrap());
    assert_eq!(fs::read(kept).unwrap(), log, "the damaged queue keeps its log");
    assert_eq!(exported(at), before);
    assert_eq!(told(at, &["check"]), "OK\n");
}

#[test]
fn jobs_that_are_done_do_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let running = server(at);
    let mut peer = running.connect();
    for number in 0..2000 {
        let payload = format!("{number} ").repeat(40);
        peer.send(wire::SUBMIT_JOB_BG, &[b"f", b"", payload.as_bytes()]);
        assert_eq!(peer.receive().0, wire::JOB_CREATED);
    }
    let mut worker = running.connect();
    worker.send(wire::CAN_DO, &[b"f"]);
    for _ in 0..1000 {
        worker.send(wire::GRAB_JOB, &[]);
        let (kind, body) = worker.receive();
        assert_eq!(kind, wire::JOB_ASSIGN);
        let handle = body.split(|byte| *byte == 0).next().unwrap();
        worker.send(wire::WORK_COMPLETE, &[handle, b""]);
    }
    wait_for("they are done", || running.status().iter().any(|row| row.1 == 1000).then_some(()));
    stop(running);
    let before = exported(at);
    assert_eq!(before.len(), 1000);
    damage(at, |bytes| {
        let inner = pages(bytes, 0x05);
        assert!(!inner.is_empty());
        for page in inner {
            bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        }
    });
    let (report, lost) = repaired(at, &before);
    assert!(lost.is_empty() && report["jobs"] == 1000, "{report}");
}

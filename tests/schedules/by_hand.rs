//! `conveyor schedule run-now`.

use crate::support::{Process, Server, bound, free_port, wait_for};
use crate::{Place, queued};
use serde_json::Value;
use std::fs;
use std::process::Stdio;

#[test]
fn a_run_by_hand_needs_no_daemon_and_exits_as_the_run_does() {
    let place = Place::new("[schedule.r]\ncron = '@yearly'\nrun = 'r'\n");
    place.touch("go");
    assert_eq!(place.schedule(&["run-now", "r"]).0, 0);
    fs::write(place.path("code"), "3").unwrap();
    let (code, printed, _) = place.schedule(&["run-now", "r", "--json"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &printed["outcome"], &printed["code"]), (3, &"failed".into(), &3.into()));
    let uniques = place.uniques("start");
    assert!(uniques.len() == 2 && uniques[0] != uniques[1] && uniques[0].starts_with("schedule:r:20"));
    let past = &place.state("r").unwrap()["past"];
    assert_eq!((&past[0]["outcome"], &past[1]["outcome"]), (&"done".into(), &"failed".into()));
}

#[test]
fn a_run_by_hand_respects_a_run_that_goes_on() {
    let place = Place::new("[schedule.r]\ncron = '@yearly'\nrun = 'r'\n");
    let words = ["schedule", "run-now", "r", "--state-dir", "state"];
    let mut command = place.prepared(bound(env!("CARGO_BIN_EXE_conveyor")), &words);
    let mut first = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    place.wait_for_log("start", 1);
    let (code, _, complaint) = place.schedule(&["run-now", "r"]);
    assert!(code == 75 && complaint.contains("goes on"), "{code} {complaint}");
    // Its terminal tells it to stop: it tells the run.
    first.signal("INT");
    assert_eq!(first.exit_code(), Some(143));
    assert_eq!(place.uniques("term").len(), 1);
    place.touch("go");
    assert_eq!(place.schedule(&["run-now", "r"]).0, 0);
}

#[test]
fn a_run_by_hand_waits_or_replaces_where_the_policy_says_so() {
    for overlap in ["queue", "replace"] {
        let place =
            Place::new(&format!("[schedule.r]\ncron = '@yearly'\noverlap = '{overlap}'\nrun = 'r'\n"));
        let words = ["schedule", "run-now", "r", "--state-dir", "state"];
        let start = || {
            let mut command = place.prepared(bound(env!("CARGO_BIN_EXE_conveyor")), &words);
            Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
        };
        let mut first = start();
        place.wait_for_log("start", 1);
        let mut second = start();
        if overlap == "replace" {
            place.wait_for_log("start", 2);
            assert_eq!(place.uniques("term").len(), 1);
            assert_ne!(first.exit_code(), Some(0));
            place.touch("go");
        } else {
            place.touch("go");
            assert_eq!(first.exit_code(), Some(0));
        }
        assert_eq!(second.exit_code(), Some(0));
        let words: Vec<String> = place.log().into_iter().map(|line| line.0).collect();
        let expected = if overlap == "replace" { "term" } else { "end" };
        assert_eq!(words, ["start", expected, "start", "end"]);
    }
}

#[test]
fn a_job_by_hand_is_submitted_with_its_unique() {
    for target in [Server::conveyor(&[]), Server::gearmand(&[])] {
        let place = Place::new("[schedule.j]\ncron = '@yearly'\njob = { function = 'f', body = 'x' }\n");
        let server = format!("127.0.0.1:{}", target.port());
        let (code, printed, _) = place.schedule(&["run-now", "j", "--server", &server, "--json"]);
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((code, printed["outcome"].as_str()), (0, Some("accepted")));
        assert_eq!(queued(&target), [format!("schedule:j:{}", printed["due"]["utc"].as_str().unwrap())]);
        // Still queued, so that it goes on.
        assert_eq!(place.schedule(&["run-now", "j", "--server", &server]).0, 75);
        let _worker = crate::counting_worker(&target, "f", &place.path("jobs"));
        wait_for("the job is done", || queued(&target).is_empty().then_some(()));
        assert_eq!(place.schedule(&["run-now", "j", "--server", &server]).0, 0);
    }
}

#[test]
fn a_job_by_hand_without_a_server_fails_at_once() {
    let place = Place::new("[schedule.j]\ncron = '@yearly'\njob = { function = 'f' }\n");
    let server = format!("127.0.0.1:{}", free_port());
    let (code, printed, _) = place.schedule(&["run-now", "j", "--server", &server]);
    assert!(code == 1 && printed.contains("no server can be reached"), "{code} {printed}");
}

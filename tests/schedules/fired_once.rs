//! A due time starts something once: with several processes, across kills, restarts and servers that are away.

use crate::support::{Server, lasting_port, run, wait_for};
use crate::{Place, counting_worker, now, once, queued, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

#[test]
fn two_processes_configured_alike_submit_each_job_once() {
    for target in [Server::conveyor(&[]), Server::gearmand(&[])] {
        let port = target.port();
        let place = Place::new(&format!(
            "[schedule.count]\ncron = '* * * * * *'\noverlap = 'parallel'\n\
             job = {{ function = 'count', body = 'x', servers = ['127.0.0.1:{port}'] }}\n"
        ));
        let file = place.path("jobs");
        let _worker = counting_worker(&target, "count", &file);
        let (mut one, mut other) = (place.keeper(), place.keeper());
        let done = || fs::read_to_string(&file).unwrap_or_default().lines().count();
        wait_for("five jobs are done", || (done() >= 5).then_some(()));
        one.stop();
        other.stop();
        wait_for("no job is left", || target.status().iter().all(|row| row.1 == 0).then_some(()));
        let state = place.state("count").unwrap();
        let runs = ["past", "running"].map(|list| state[list].as_array().unwrap().clone()).concat();
        let dues: BTreeSet<i64> = runs.iter().map(|run| run["due"].as_i64().unwrap()).collect();
        assert_eq!((dues.len(), done()), (runs.len(), runs.len()), "{state:#}");
    }
}

#[test]
fn two_processes_configured_alike_start_each_run_once() {
    let place = Place::new("[schedule.r]\ncron = '* * * * * *'\noverlap = 'parallel'\nrun = 'r'\n");
    place.touch("go");
    let (mut one, mut other) = (place.keeper(), place.keeper());
    place.wait_for_log("start", 6);
    one.stop();
    other.stop();
    let started = place.uniques("start");
    let different: BTreeSet<&String> = started.iter().collect();
    assert_eq!(started.len(), different.len(), "{started:?}");
}

#[test]
fn a_kill_and_a_restart_across_a_due_time_start_it_once() {
    let place = Place::new("[schedule.tick]\ncron = '*/2 * * * * *'\nmissed = 'all'\nrun = 'r'\n");
    place.touch("go");
    let mut seen = 0;
    let mut missed = Vec::new();
    for _ in 0..3 {
        let mut keeper = place.keeper();
        place.wait_for_log("end", seen + 1);
        keeper.kill();
        seen = place.uniques("start").len();
        let decided = place.state("tick").unwrap()["decided"].as_i64().unwrap();
        missed.push(decided + 2000);
        wait_until(decided + 2000);
    }
    let mut keeper = place.keeper();
    place.wait_for_log("end", seen + 2);
    keeper.stop();
    let started = place.uniques("start");
    let different: BTreeSet<&String> = started.iter().collect();
    assert_eq!(started.len(), different.len(), "{started:?}");
    for due in missed {
        let due = jiff::Timestamp::from_millisecond(due).unwrap();
        let unique = format!("schedule:tick:{due}");
        assert!(started.contains(&unique), "{unique} in {started:?}");
    }
}

#[test]
fn a_server_that_is_away_at_the_due_time_gets_the_job_when_it_is_back() {
    let port = lasting_port();
    let (expression, due) = once(5);
    let place = Place::new(&format!(
        "[schedule.late]\ncron = '{expression}'\nzone = 'UTC'\n\
         job = {{ function = 'late', servers = ['127.0.0.1:{port}'] }}\n"
    ));
    let mut first = place.keeper();
    let tries = |state: &serde_json::Value| state["retries"][0]["tries"].as_i64().filter(|tries| *tries >= 2);
    place.wait_for_state("it is tried again", "late", tries);
    // Nothing has left: another process goes on with it.
    first.kill();
    let _second = place.keeper();
    let target = Server::conveyor_at(port, &[]);
    let unique = format!("schedule:late:{}", jiff::Timestamp::from_millisecond(due).unwrap());
    wait_for("the job is queued", || (queued(&target) == [unique.clone()]).then_some(()));
    assert!(now() > due);
    let accepted = place.wait_for_state("it is known to be accepted", "late", |state| {
        state["running"][0]["place"]["job"]["handle"].as_str().map(str::to_owned)
    });
    assert!(accepted.starts_with("H:"), "{accepted}");
}

/// A state as a process leaves it that dies between the decision to send a job and the answer.
#[test]
fn a_job_that_may_have_left_is_looked_for_and_not_sent_again() {
    for target in [Server::conveyor(&[]), Server::gearmand(&[])] {
        let place = Place::new(&format!(
            "[schedule.j]\ncron = '@yearly'\njob = {{ function = 'f', servers = ['127.0.0.1:{}'] }}\n",
            target.port()
        ));
        let due = |due: i64| {
            serde_json::json!({
                "due": due, "kind": "due", "started": due, "phase": "sent", "tries": 0, "stopping": false, "place": null,
            })
        };
        let state = serde_json::json!({
            "version": 1, "plan": "@yearly Europe/Berlin on", "decided": now(), "by_hand": 0,
            "running": [due(1_795_000_000_000_i64), due(1_795_000_001_000)],
            "waiting": null, "backlog": [], "retries": [], "past": [], "passed_over": null,
        });
        fs::create_dir_all(place.path("state/schedules")).unwrap();
        fs::write(place.path("state/schedules/j.json"), state.to_string()).unwrap();
        let unique = "schedule:j:2026-11-18T11:06:40Z";
        let port = target.port().to_string();
        let mut submit = Command::new("gearman");
        submit.args(["-h", "127.0.0.1", "-p", &port, "-b", "-f", "f", "-u", unique, "x"]);
        assert!(run(&mut submit).status.success());
        let _keeper = place.keeper();
        let past = place.wait_for_state("one is given up", "j", |state| state["past"].get(0).cloned());
        assert_eq!((&past["due"], &past["outcome"]), (&1_795_000_001_000_i64.into(), &"unknown".into()));
        place.wait_for_state("the other is known", "j", |state| {
            (state["running"][0]["phase"] == "running" && state["running"][0]["due"] == 1_795_000_000_000_i64)
                .then_some(())
        });
        assert_eq!(queued(&target), [unique]);
    }
}

#[test]
fn a_run_outlives_a_killed_server_and_is_still_known_to_the_next() {
    let place = Place::new("[schedule.long]\ncron = '* * * * * *'\nrun = 'r'\n");
    let mut keeper = place.keeper();
    place.wait_for_log("start", 1);
    keeper.kill();
    let keeper = place.keeper();
    let goes_on = |state: &serde_json::Value| {
        let why = state["passed_over"]["why"].as_str()?;
        (why.contains("goes on") && state["running"].as_array()?.len() == 1).then_some(())
    };
    place.wait_for_state("it is seen to go on", "long", goes_on);
    assert_eq!(place.uniques("start").len(), 1);
    place.touch("go");
    place.wait_for_log("start", 2);
    let past = place.wait_for_state("its end is known", "long", |state| state["past"].get(0).cloned());
    assert_eq!(past["outcome"], "unknown");
    drop(keeper);
}

#[test]
fn a_server_that_stops_ends_its_runs_and_waits_for_them() {
    let place = Place::new("[schedule.long]\ncron = '* * * * * *'\nrun = 'r'\n");
    let mut keeper = place.keeper();
    place.wait_for_log("start", 1);
    keeper.stop();
    assert_eq!(place.uniques("term"), place.uniques("start"));
    let past = &place.state("long").unwrap()["past"];
    assert_eq!(past[0]["outcome"], "stopped", "{past}");
}

//! What happens while the run before goes on.

use crate::support::{Process, Server, bound, wait_for};
use crate::{Place, queued};
use serde_json::Value;
use std::process::Stdio;

fn place(overlap: &str) -> Place {
    Place::new(&format!("[schedule.r]\ncron = '* * * * * *'\noverlap = '{overlap}'\nrun = 'r'\n"))
}

/// Waits until a due time was passed over with these words.
fn wait_for_reason(place: &Place, words: &str) {
    let reason = |state: &Value| state["passed_over"]["why"].as_str()?.contains(words).then_some(());
    place.wait_for_state(&format!("'{words}'"), "r", reason);
}

/// The most that ran at the same time, from what the stand-in wrote down.
fn most_at_once(place: &Place) -> usize {
    let (mut now, mut most) = (0, 0);
    for (word, _) in place.log() {
        if word == "start" {
            now += 1
        } else {
            now -= 1
        }
        most = most.max(now);
    }
    most
}

#[test]
fn skip_starts_nothing_beside_a_run_and_goes_on_after_it() {
    let place = place("skip");
    let _keeper = place.keeper();
    place.wait_for_log("start", 1);
    wait_for_reason(&place, "goes on");
    assert_eq!(place.log().len(), 1);
    place.touch("go");
    place.wait_for_log("end", 3);
    assert_eq!(most_at_once(&place), 1);
}

#[test]
fn queue_lets_one_wait_and_starts_it_when_the_run_ends() {
    let place = place("queue");
    let _keeper = place.keeper();
    place.wait_for_log("start", 1);
    wait_for_reason(&place, "waits already");
    let waiting = place.state("r").unwrap()["waiting"]["due"].as_i64().unwrap();
    assert_eq!(place.log().len(), 1);
    place.touch("go");
    place.wait_for_log("end", 2);
    let waiting = jiff::Timestamp::from_millisecond(waiting).unwrap();
    assert_eq!(place.uniques("start")[1], format!("schedule:r:{waiting}"));
    assert_eq!(most_at_once(&place), 1);
}

#[test]
fn parallel_starts_beside() {
    let place = place("parallel");
    let _keeper = place.keeper();
    place.wait_for_log("start", 3);
    assert_eq!(place.uniques("end").len(), 0);
    place.touch("go");
    place.wait_for_log("end", 3);
}

#[test]
fn replace_stops_the_run_before_and_starts_after_its_end() {
    let place = place("replace");
    let _keeper = place.keeper();
    place.wait_for_log("term", 2);
    place.wait_for_log("start", 3);
    assert_eq!(most_at_once(&place), 1);
    let outcome = |state: &Value| state["past"][0]["outcome"].as_str().map(str::to_owned);
    assert_eq!(place.wait_for_state("an outcome", "r", outcome), "stopped");
}

#[test]
fn replace_takes_queued_jobs_back_and_leaves_those_that_run() {
    for target in [Server::conveyor(&[]), Server::gearmand(&[])] {
        let place = Place::new(&format!(
            "[schedule.r]\ncron = '* * * * * *'\noverlap = 'replace'\n\
             job = {{ function = 'f', servers = ['127.0.0.1:{}'] }}\n",
            target.port()
        ));
        let mut keeper = place.keeper();
        let outcomes = |state: &Value| {
            let past = state["past"].as_array()?;
            Some(past.iter().map(|past| past["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        let stopped = |wanted: &'static str| {
            move |state: &Value| outcomes(state)?.iter().any(|outcome| outcome == wanted).then_some(())
        };
        place.wait_for_state("a queued job is taken back", "r", stopped("stopped"));
        let shell =
            format!("while [ ! -e '{0}/go' ] && [ -d '{0}' ]; do sleep 0.05; done", place.path("").display());
        let port = target.port().to_string();
        let mut command = bound("gearman");
        command.args(["-h", "127.0.0.1", "-p", &port, "-w", "-f", "f", "--", "sh", "-c", &shell]);
        let _worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        place.wait_for_state("a running job is left", "r", stopped("left-running"));
        keeper.stop();
        place.touch("go");
        wait_for("all jobs end", || queued(&target).is_empty().then_some(()));
    }
}

#[test]
fn a_job_that_is_queued_counts_as_going_on() {
    for target in [Server::conveyor(&[]), Server::gearmand(&[])] {
        let place = Place::new(&format!(
            "[schedule.r]\ncron = '* * * * * *'\njob = {{ function = 'f', servers = ['127.0.0.1:{}'] }}\n",
            target.port()
        ));
        let _keeper = place.keeper();
        wait_for_reason(&place, "goes on");
        let jobs = queued(&target);
        assert!(jobs.len() == 1 && jobs[0].starts_with("schedule:r:20"), "{jobs:?}");
        let _worker = crate::counting_worker(&target, "f", &place.path("jobs"));
        place.wait_for_state("its end is seen", "r", |state| {
            (state["past"][0]["outcome"].as_str()? == "done").then_some(())
        });
    }
}

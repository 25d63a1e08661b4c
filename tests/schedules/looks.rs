//! What is shown, and what is said about a wrong file.

use crate::Place;
use crate::support::{Process, bound, free_port, run, wait_for};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const CONFIG: &str = "[schedule.nightly]\ncron = '30 2 * * *'\nzone = 'America/New_York'\njitter = '5m'\nrun = 'resize'\n\
     [schedule.local]\ncron = '@hourly'\njob = { function = 'f' }\n\
     [schedule.off]\ncron = '@hourly'\nenabled = false\nrun = 'x'\n";

#[test]
fn list_next_and_check_show_what_is_configured() {
    let place = Place::new(CONFIG);
    let (code, printed, _) = place.schedule(&["check"]);
    assert_eq!((code, printed.as_str()), (0, "conveyor.toml: 3 schedules, all well\n"));
    let (_, printed, _) = place.schedule(&["list"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[1].starts_with("local") && lines[1].contains("Europe/Berlin") && lines[1].contains("job f"),
        "{printed}"
    );
    assert!(lines[3].starts_with("off") && lines[3].ends_with("off"), "{printed}");
    let (_, printed, _) = place.schedule(&["list", "--json"]);
    let rows: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&rows[1]["zone"], &rows[1]["overlap"]), (&"America/New_York".into(), &"skip".into()));
    let (_, printed, _) = place.schedule(&["next", "nightly", "-n", "3"]);
    assert_eq!(printed.lines().count(), 3);
    assert!(
        printed.lines().all(|line| line.contains(" 02:30:00 -0") && line.contains("starts")),
        "{printed}"
    );
    let (code, _, complaint) = place.schedule(&["next", "weekly"]);
    assert!(code == 1 && complaint.contains("it has: local, nightly, off"), "{complaint}");
}

#[test]
fn a_wrong_file_is_told_with_file_and_key() {
    let place = Place::new("[schedule.a]\ncron = '0 0 31 2 *'\nrun = 'x'\n");
    for words in [&["check"][..], &["status"], &["run-now", "a"]] {
        let (code, _, complaint) = place.schedule(words);
        assert!(
            code == 1 && complaint.contains("conveyor.toml: schedule.a.cron: '0 0 31 2 *' is never due"),
            "{complaint}"
        );
    }
    let (code, _, complaint) = place.schedule(&["check", "--config", "missing.toml"]);
    assert!(
        code == 1 && complaint.contains("missing.toml") && complaint.contains("--config FILE"),
        "{complaint}"
    );
    for command in
        [&["server", "--port", "0"][..], &["server", "--check-args"], &["all-in-one", "--port", "0"]]
    {
        let mut command = place.prepared(Command::new(env!("CARGO_BIN_EXE_conveyor")), command);
        let output = run(command.args(["--config", "conveyor.toml", "--state-dir", "state"]));
        assert_eq!(output.status.code(), Some(1), "{command:?}");
    }
}

#[test]
fn status_shows_next_and_last_runs_and_why_one_was_left_out() {
    let place = Place::new(
        "[schedule.r]\ncron = '* * * * * *'\nrun = 'r'\n[schedule.never]\ncron = '@yearly'\nrun = 'x'\n",
    );
    let (code, printed, _) = place.schedule(&["status"]);
    assert!(code == 0 && printed.contains("last         never"), "{printed}");
    let _keeper = place.keeper();
    place.wait_for_state("one is left out", "r", |state| state["passed_over"]["due"].as_i64());
    let (_, printed, _) = place.schedule(&["status", "r"]);
    for part in
        ["r (run r)", "Europe/Berlin", "running      due 20", "process ", "not started  due 20", "goes on"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    place.touch("go");
    place.wait_for_log("end", 1);
    let row = wait_for("its end is shown", || {
        let (_, printed, _) = place.schedule(&["status", "--json"]);
        let rows: Value = serde_json::from_str(&printed).unwrap();
        rows[1]["last"]["outcome"].as_str()?;
        Some(rows[1].clone())
    });
    assert_eq!((&row["name"], &row["last"]["outcome"]), (&"r".into(), &"done".into()));
    for time in [
        &row["next"],
        &row["last"]["due"],
        &row["last"]["started"],
        &row["last"]["ended"],
        &row["not_started"]["due"],
    ] {
        assert!(time["utc"].as_str().unwrap().ends_with('Z') && time["shown"].is_string(), "{row:#}");
    }
}

#[test]
fn all_in_one_runs_the_schedules_of_its_directory_against_itself() {
    let place =
        Place::new("[schedule.turn]\ncron = '* * * * * *'\njob = { function = 'reverse', body = 'hello' }\n");
    let port = free_port().to_string();
    let words = ["all-in-one", "--state-dir", "state", "--port", &port];
    let mut command = place.prepared(bound(env!("CARGO_BIN_EXE_conveyor")), &words);
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "schedules  turn"));
    place.wait_for_state("a job is done", "turn", |state| {
        (state["past"][0]["outcome"].as_str()? == "done").then_some(())
    });
    process.signal("INT");
    assert_eq!(process.exit_code(), Some(0));
}

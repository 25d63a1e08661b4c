//! Outcomes, critical errors, going on with a run: what it ends with, and what stands in its report.

use crate::rig::{Stage, names, on_both, printed, said};
use crate::support::{Server, run, wait_for};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

on_both!(
    concept_06_the_report_counts_what_is_ok_wrong_and_missing,
    concept_08_a_critical_error_ends_the_run,
    a_killed_run_is_gone_on_with,
    a_signal_ends_a_run_early_and_it_is_gone_on_with,
);

fn concept_06_the_report_counts_what_is_ok_wrong_and_missing(server: Server) {
    let stage = Stage::new(server, 2);
    let tasks: String = (1..=10)
        .map(|id| match id {
            3 | 5 => format!("{{\"id\":{id},\"body\":\"error\"}}\n"),
            // Nobody does it.
            7 => format!("{{\"id\":{id},\"function\":\"nobody\"}}\n"),
            _ => format!("{{\"id\":{id},\"body\":\"go\"}}\n"),
        })
        .collect();
    fs::write(stage.path("tasks.jsonl"), tasks).unwrap();
    let output = stage.run(&["--tasks", "tasks.jsonl", "--task-timeout", "1s", "--output", "out.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("tasks     10: 7 ok, 2 with errors, 1 missing"), "{told}");
    assert!(told.contains("task 3: error: no luck (try 1, again in 0.1 s)"), "{told}");
    assert_eq!(stage.done().len(), 7 + 2 * 2, "errors are tried twice");

    let inspected = stage.inspect(&["nightly", "--json"]);
    assert_eq!(inspected.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&report["ok"], &report["error"], &report["missing"]), (&7.into(), &2.into(), &1.into()));
    let listed = printed(&stage.inspect(&["--tasks", "error"]));
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, ["3", "5"], "{listed}");
    assert!(listed.contains("error         tries 2: no luck"), "{listed}");

    let results = fs::read_to_string(stage.path("out.jsonl")).unwrap();
    let results: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.len(), 10);
    let of = |id: i64| results.iter().find(|result| result["id"] == id).unwrap();
    assert_eq!((&of(1)["outcome"], &of(1)["result"]), (&"ok".into(), &"well done".into()));
    assert_eq!((&of(3)["outcome"], &of(3)["attempts"]), (&"error".into(), &2.into()));
    assert_eq!(of(7)["outcome"], "timed-out");
}

fn concept_08_a_critical_error_ends_the_run(server: Server) {
    let stage = Stage::new(server, 1);
    let mut bodies = vec!["go"; 50];
    bodies[2] = "critical";
    let tasks = stage.tasks(&bodies);
    let start = Instant::now();
    let output = stage.run(&["--tasks", &tasks]);
    let took = start.elapsed();
    assert_eq!(output.status.code(), Some(70), "{}", said(&output));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let told = said(&output);
    assert!(told.contains("nightly: ended early with "), "{told}");
    assert!(told.contains(" of 50 tasks done: task 3: the disk is full"), "{told}");
    // A client that is slow to hear of it lets some more run.
    let executed = stage.done().len();
    assert!((3..40).contains(&executed), "{executed}");
    // The lock is free, and what was queued is gone: of what comes now everything is done, and of the others nothing.
    let again = stage.run(&["--tasks", &stage.tasks(&["go", "go"])]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let done = stage.done();
    // One may have been handed out before the run had ended.
    assert!(done.len() <= executed + 1 + 2, "{executed} and then {done:#?}");
}

fn a_killed_run_is_gone_on_with(server: Server) {
    let stage = Stage::new(server, 1);
    let tasks = stage.tasks(&["go", "error", "gate", "go", "go"]);
    let mut client = stage.start(&["--tasks", &tasks, "--attempts", "1"]);
    stage.wait_for_done(3);
    let runs = stage.state().join("runs/nightly");
    let journal = runs.join(&names(&runs)[0]);
    wait_for("the client to hear of the second", || {
        fs::read_to_string(&journal).unwrap().contains("no luck").then_some(())
    });
    client.child.kill().unwrap();
    client.exit_code();
    let unfinished = stage.inspect(&[]);
    assert_eq!(unfinished.status.code(), Some(1));
    assert!(printed(&unfinished).contains("nightly: has not ended"), "{}", printed(&unfinished));
    stage.open_gate();
    // Neither tasks nor function are said again.
    let mut command = crate::support::bound(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["client", "run", "nightly", "--server", &stage.server.address.to_string(), "--resume"]);
    command.arg("--state-dir").arg(stage.state()).current_dir(stage.directory.path());
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("tasks     5: 4 ok, 1 with errors, 0 missing"), "{told}");
    assert!(told.contains("resumed 1 times"), "{told}");
    let errors = stage.done().iter().filter(|task| task.contains("error")).count();
    assert_eq!(errors, 1, "what has ended is not done again");
    let none = stage.run(&["--resume"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(said(&none).contains("there is no run of nightly to go on with"), "{}", said(&none));
}

fn a_signal_ends_a_run_early_and_it_is_gone_on_with(server: Server) {
    let stage = Stage::new(server, 1);
    let tasks = stage.tasks(&["gate", "go", "go"]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let before = stage.done().len();
        let mut command = stage.client(&["--tasks", &tasks, "--json", "--run-id", signal]);
        let mut client = crate::support::Process::spawn(
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()),
        );
        stage.wait_for_done(before + 1);
        client.signal(signal);
        let mut events = String::new();
        std::io::Read::read_to_string(&mut client.child.stdout.take().unwrap(), &mut events).unwrap();
        assert_eq!(client.exit_code(), Some(code), "{events}");
        let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        assert_eq!((&last["event"], &last["outcome"]["how"]), (&"report".into(), &"aborted".into()));
        assert_eq!(last["outcome"]["reason"], format!("stopped by {signal}"));
        // The performer ends its job, and nothing of the run is left for it.
        stage.open_gate();
        let again = stage.run(&["--resume", signal]);
        assert_eq!(again.status.code(), Some(0), "{}", said(&again));
        fs::remove_file(stage.path("go")).unwrap();
    }
}

//! What a run prints: events for programs, a view or lines for people.

use crate::rig::{Stage, printed, said};
use crate::support::terminal::Terminal;
use crate::support::{Process, Server, run};
use serde_json::Value;
use std::process::Stdio;

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_tell_of_every_task_and_the_report_comes_last() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let tasks = stage.tasks(&["go", "error", "junk"]);
    let output = stage.run(&["--tasks", &tasks, "--json", "--quiet", "--run-id", "r/1"]);
    assert_eq!(output.status.code(), Some(1));
    let events = events(&printed(&output));
    let of_task = |id: i64| -> Vec<&str> {
        let of_task = events.iter().filter(|event| event["task"] == id);
        of_task.map(|event| event["event"].as_str().unwrap()).collect()
    };
    assert_eq!(of_task(1), ["submitted", "created", "complete"]);
    let twice = ["submitted", "created", "fail", "again", "submitted", "created", "fail"];
    assert_eq!(of_task(2), twice);
    assert_eq!(of_task(3), twice);
    assert_eq!(events[0]["event"], "started");
    let run = events[0]["run"].as_str().unwrap();
    assert!(run.starts_with("r-1-") && run.len() <= 32, "a safe id: {run}");
    let complete = events.iter().find(|event| event["event"] == "complete").unwrap();
    assert_eq!(complete["result"], "well done");
    let again = events.iter().find(|event| event["event"] == "again").unwrap();
    assert_eq!((&again["attempt"], &again["in_ms"]), (&2.into(), &50.into()));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["ok"], &last["error"]), (&"report".into(), &1.into(), &2.into()));
    assert!(said(&output).contains("1 ok, 2 with errors"), "{}", said(&output));
    let used = stage.run(&["--tasks", &tasks, "--run-id", "r/1"]);
    assert_eq!(used.status.code(), Some(2));
    assert!(said(&used).contains("choose another id, or go on with it"), "{}", said(&used));
}

#[test]
fn errors_in_lines_are_few_a_second_and_the_rest_is_counted() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let tasks = stage.tasks(&["junk"; 40]);
    let output = stage.run(&["--tasks", &tasks, "--attempts", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    let of_errors = told.lines().filter(|line| line.starts_with("nightly: task ")).count();
    let more: usize = told
        .lines()
        .filter_map(|line| {
            line.strip_prefix("nightly: and ")?.strip_suffix(" more errors")?.parse::<usize>().ok()
        })
        .sum();
    assert_eq!(of_errors + more, 40, "{told}");
    assert!(more >= 20, "{told}");
    assert!(told.starts_with("nightly: begins run "), "{told}");
    assert!(told.contains("nightly: 40 of 40 tasks are not done (40 with errors, 0 missing)"), "{told}");
}

#[test]
fn nothing_is_said_when_all_is_well_and_nothing_is_asked_for() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let output = stage.run(&["--tasks", &stage.tasks(&["go"]), "--quiet", "--output", "-"]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    let result = &events(&printed(&output))[0];
    assert_eq!(
        (&result["id"], &result["outcome"], &result["attempts"]),
        (&1.into(), &"ok".into(), &1.into())
    );
}

#[test]
fn at_a_terminal_there_is_a_view_with_counts_and_the_last_three_errors() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let tasks = stage.tasks(&["error", "go", "error", "error", "junk", "gate", "go"]);
    let mut terminal = Terminal::new();
    let mut command = stage.client(&["--tasks", &tasks, "--attempts", "1"]);
    let mut client = Process::spawn(command.stdout(Stdio::null()).stderr(terminal.stdio()));
    drop(command);
    terminal.wait_until("the view", |screen| {
        screen.contains("5/7 tasks, 1 ok, 3 error, 1 malformed") && screen.contains("2 in flight, 0 wait")
    });
    terminal.wait_until("the errors", |screen| {
        let shown = |id: usize| screen.contains(&format!("task {id}: "));
        shown(3) && shown(4) && shown(5) && !shown(1)
    });
    stage.open_gate();
    assert_eq!(client.exit_code(), Some(1));
    let (screen, _) = terminal.at_the_end();
    assert!(screen.contains("tasks     7: 3 ok, 4 with errors, 0 missing"), "{screen}");
    assert!(!screen.contains("in flight") && !screen.contains("left"), "the view is gone: {screen}");
}

#[test]
fn a_terminal_gets_lines_where_no_view_is_wanted() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let terminal = Terminal::new();
    let mut command =
        stage.client(&["--tasks", &stage.tasks(&["error"]), "--attempts", "1", "--no-progress"]);
    let mut client = Process::spawn(command.stdout(Stdio::null()).stderr(terminal.stdio()));
    drop(command);
    assert_eq!(client.exit_code(), Some(1));
    let (_, written) = terminal.at_the_end();
    assert!(
        !written.contains('\u{1b}') && written.contains("nightly: task 1: error: no luck (try 1, the last)"),
        "{written}"
    );
}

#[test]
fn inspect_reads_the_newest_journal_or_the_one_it_is_given() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    assert_eq!(stage.inspect(&[]).status.code(), Some(2), "there is none yet");
    assert_eq!(
        stage.run(&["--tasks", &stage.tasks(&["error"]), "--run-id", "r1", "--attempts", "1"]).status.code(),
        Some(1)
    );
    assert_eq!(stage.run(&["--tasks", &stage.tasks(&["go", "go"]), "--run-id", "r2"]).status.code(), Some(0));
    let newest = stage.inspect(&["nightly"]);
    assert_eq!(newest.status.code(), Some(0));
    assert!(
        printed(&newest).starts_with("nightly: all 2 tasks are done\nrun       r2\n"),
        "{}",
        printed(&newest)
    );
    let older = stage.inspect(&["state/runs/nightly/r1.jsonl", "--tasks", "all", "--json"]);
    assert_eq!(older.status.code(), Some(1));
    let task = &events(&printed(&older))[0];
    assert_eq!(
        (&task["id"], &task["outcome"], &task["message"]),
        (&1.into(), &"error".into(), &"no luck".into())
    );
    let unknown = stage.inspect(&["weekly"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("there is no journal of weekly in "), "{}", said(&unknown));
    // Only so many are kept.
    assert_eq!(stage.run(&["--tasks", &stage.tasks(&["go"]), "--keep", "1"]).status.code(), Some(0));
    assert_eq!(crate::rig::names(&stage.state().join("runs/nightly")).len(), 1);
    let help = run(std::process::Command::new(env!("CARGO_BIN_EXE_conveyor")).args(["client", "run", "-H"]));
    assert!(printed(&help).contains("75   a run of this name is alive already"), "{}", printed(&help));
}

//! What a run leaves behind and what it does not: journals, commands, locks, results.

use crate::rig::{Stage, names, said, start};
use crate::support::{Process, Server, bound, free_port, run, wait_for};
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn journals(stage: &Stage) -> Vec<PathBuf> {
    let runs = stage.state().join("runs/nightly");
    names(&runs).iter().map(|name| runs.join(name)).collect()
}

/// Starts a run whose tasks nobody does, and stops it when they are submitted.
fn stopped_run(stage: &Stage) -> PathBuf {
    let tasks = stage.tasks(&["x"]);
    let before = journals(stage).len();
    let mut client = start(&mut stage.client(&["--tasks", &tasks]));
    let submitted = || {
        let newest = journals(stage).into_iter().next_back()?;
        let text = fs::read_to_string(&newest).ok()?;
        (journals(stage).len() > before && text.contains("\"created\"")).then_some(newest)
    };
    let journal = wait_for("the task is submitted", submitted);
    client.signal("TERM");
    assert_eq!(client.exit_code(), Some(143));
    journal
}

#[test]
fn a_run_that_can_be_gone_on_with_outlives_runs_that_are_over() {
    let mut stage = Stage::new(Server::conveyor(&[]), 0);
    let stopped = stopped_run(&stage);
    stage.hire("work", "performer.sh");
    let tasks = stage.tasks(&["a"]);
    for _ in 0..3 {
        assert_eq!(stage.run(&["--tasks", &tasks, "--keep", "1"]).status.code(), Some(0));
    }
    assert_eq!(journals(&stage).len(), 2, "the newest that is over, and the one that is not");
    assert!(stopped.exists());
    let resumed = stage.run(&["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
}

#[test]
fn a_damaged_journal_is_named_and_no_older_run_is_taken_for_it() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    stopped_run(&stage);
    let damaged = stopped_run(&stage);
    let text = fs::read_to_string(&damaged).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[2] = "{\"what\":\"garb";
    fs::write(&damaged, lines.join("\n") + "\n").unwrap();
    let refused = stage.run(&["--resume"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(said(&refused).contains(name) && said(&refused).contains("line 3"), "{}", said(&refused));
    assert!(said(&refused).contains("--resume RUN"), "{}", said(&refused));
}

#[test]
fn a_run_that_is_stopped_takes_the_command_of_its_tasks_along() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    let command = "sleep 1000 & echo $! > child; wait";
    let mut client = start(&mut stage.client(&["--tasks-command", command]));
    let child = wait_for("the command has started", || {
        fs::read_to_string(stage.path("child")).ok().filter(|text| text.ends_with('\n'))
    });
    client.signal("TERM");
    assert_eq!(client.exit_code(), Some(143));
    let state = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    let ended = || fs::read_to_string(&state).map_or(Some(()), |stat| stat.contains(") Z ").then_some(()));
    wait_for("what the command has started has ended", ended);
}

#[test]
fn results_that_are_lost_are_no_success() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let tasks = stage.tasks(&["a"]);
    let output = stage.run(&["--tasks", &tasks, "--output", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("not all results could be written"), "{}", said(&output));
}

#[test]
fn a_scheduled_run_has_the_server_of_its_schedule_and_its_commands_not_its_lock() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    // No server is named. The command of the tasks and that of the notice look at what they inherit.
    let look = "ls -l /proc/self/fd";
    fs::write(
        stage.path("conveyor.toml"),
        format!(
            "[client.nightly]\nfunction = \"work\"\ntasks = {{ command = \"{look} >> inherited; echo '{{}}'\" }}\n\
             [[client.nightly.notify]]\nsink = \"command\"\non = \"always\"\n\
             command = [\"sh\", \"-c\", \"{look} >> inherited; echo $CONVEYOR_OUTCOME >> outcomes\"]\n\
             [schedule.nightly]\ncron = \"* * * * * *\"\nrun = \"nightly\"\n"
        ),
    )
    .unwrap();
    let port = free_port();
    let mut keeper = bound(env!("CARGO_BIN_EXE_conveyor"));
    keeper.args(["server", "--config", "conveyor.toml", "--queue-type", "builtin", "--listen", "127.0.0.1"]);
    keeper.args(["--port", &port.to_string()]).current_dir(stage.directory.path());
    keeper.env("CONVEYOR_STATE_DIR", stage.state()).stderr(Stdio::null());
    let mut keeper = Process::spawn(&mut keeper);
    wait_for("the server accepts", || TcpStream::connect(("127.0.0.1", port)).ok());
    let mut worker = bound("gearman");
    worker.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-w", "-f", "work", "--", "sh", "performer.sh"]);
    worker
        .current_dir(stage.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _worker = Process::spawn(&mut worker);
    let outcomes = || fs::read_to_string(stage.path("outcomes")).unwrap_or_default();
    wait_for("a run has ended", || (!outcomes().is_empty()).then_some(()));
    keeper.signal("TERM");
    assert_eq!(keeper.exit_code(), Some(0));
    assert!(outcomes().starts_with("ok\n"), "{}", outcomes());
    let inherited = fs::read_to_string(stage.path("inherited")).unwrap();
    assert!(inherited.contains(" 0 -> ") && !inherited.contains(".run"), "{inherited}");
    let check = run(Command::new(env!("CARGO_BIN_EXE_conveyor"))
        .args(["schedule", "check"])
        .current_dir(stage.directory.path()));
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
}

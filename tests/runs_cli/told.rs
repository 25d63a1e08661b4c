//! What a run is told: its configuration, flags that beat it, and what is refused before anything is submitted.

use crate::rig::{Stage, printed, said};
use crate::support::{Server, bound, free_port, run};
use std::fs;
use std::process::{Command, Output};

/// `conveyor client run NAME` with this configuration.
fn run_with(stage: &Stage, config: &str, args: &[&str]) -> Output {
    fs::write(stage.path("conveyor.toml"), config).unwrap();
    run(&mut bare(stage, args))
}

fn bare(stage: &Stage, args: &[&str]) -> Command {
    let mut command = bound(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["client", "run"]).args(args).current_dir(stage.directory.path());
    command.env("CONVEYOR_STATE_DIR", stage.state()).env_remove("CONVEYOR_CONFIG");
    command
}

#[test]
fn a_client_of_the_file_runs_and_flags_beat_it() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let config = format!(
        "[client.nightly]\nservers = [\"{}\"]\nfunction = \"work\"\nattempts = 3\ndelay = \"10ms\"\n\
         tasks = [{{ id = \"a\", body = \"error\" }}, {{ id = 7, body = {{ w = 1 }} }}]\n\
         [schedule.nightly]\ncron = \"0 3 * * *\"\nrun = \"nightly\"\n",
        stage.server.address
    );
    let output = run_with(&stage, &config, &["nightly"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(stage.done().len(), 3 + 1);
    assert!(stage.done().iter().any(|task| task.contains(r#""body":"{\"w\":1}""#)), "{:#?}", stage.done());
    let output = run_with(&stage, &config, &["nightly", "--attempts", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(stage.done().len(), 4 + 2, "one try each");
    // A name that is not in the file is one for flags.
    let command = run(bare(&stage, &["other", "-f", "work", "--tasks-command", "echo '{}'"])
        .args(["--server", &stage.server.address.to_string()]));
    assert_eq!(command.status.code(), Some(0), "{}", said(&command));
    // The environment names the file.
    fs::rename(stage.path("conveyor.toml"), stage.path("elsewhere.toml")).unwrap();
    let output = run(bare(&stage, &["nightly", "--attempts", "1"]).env("CONVEYOR_CONFIG", "elsewhere.toml"));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn what_is_wrong_is_refused_before_anything_is_submitted() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    let server = stage.server.address.to_string();
    for (config, args, expected) in [
        (
            "[client.nightly]\nfunktion = \"x\"",
            &["nightly"][..],
            "conveyor.toml, line 2: there is no key `funktion`: did you mean `function`?",
        ),
        (
            "[client.nightly]\nmode = \"loose\"",
            &["nightly"],
            "conveyor.toml, line 2: mode \"loose\" is unknown: consistent",
        ),
        ("[client.nightly]\nfunction = \"x\"", &["nightly"], "client nightly has no tasks: write tasks = "),
        (
            "[client.nightly]\ntasks = \"-\"",
            &["nightly"],
            "client nightly has no function: write function = ",
        ),
        (
            "[client.nightly]",
            &["nightli"],
            "conveyor.toml has no table [client.nightli]: did you mean nightly?",
        ),
        ("", &["../x", "-f", "x", "--tasks", "-"], "a client cannot be called \"../x\""),
        ("", &["a", "-f", "x", "--tasks", "none.jsonl"], "none.jsonl: No such file"),
        (
            "",
            &["a", "-f", "x", "--tasks", "twice.jsonl"],
            "twice.jsonl: line 2 is no task: line 1 has the id 1 already",
        ),
        ("", &["a", "-f", "x", "--tasks", "empty.jsonl"], "there are no tasks: nothing to run"),
        (
            "",
            &["a", "-f", "x", "--tasks-command", "echo '{}'; exit 3"],
            "the command of the tasks ended with exit status: 3: nothing is submitted",
        ),
        (
            "",
            &["a", "-f", "x", "--tasks-command", "echo junk"],
            "the output of the command of the tasks: line 1 is no task",
        ),
        (
            "",
            &["a", "-f", "x", "--tasks", "-", "--mode", "parallel", "--scope", "cluster"],
            "scope cluster is about runs that exclude each other",
        ),
        (
            "",
            &["a", "-f", "x", "--tasks", "-", "--delay", "30"],
            "'30' is no duration: write one such as 90s, 5m, 1h30m or 2d",
        ),
        ("", &["a", "-f", "x", "--tasks", "-", "--manager", "m"], "the manager of the client has no command"),
        ("", &["a", "--config", "none.toml"], "none.toml: No such file"),
        (
            "",
            &["a", "-f", "x", "--tasks", "-", "--json", "--output", "-"],
            "results are among the events of --json",
        ),
        ("[client.a.manager]\nmemory = 101", &["a"], "conveyor.toml, line 2: 101 cannot be: write 1 to 100"),
    ] {
        fs::write(stage.path("twice.jsonl"), "{\"id\":1}\n{\"id\":1}\n").unwrap();
        fs::write(stage.path("empty.jsonl"), "\n").unwrap();
        let output = run_with(&stage, config, &[args, &["--server", &server]].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{args:?}: {}", said(&output));
    }
    assert_eq!(stage.server.status(), [], "nothing was submitted");
    assert_eq!(crate::rig::names(&stage.state().join("runs")), Vec::<String>::new(), "no journal is left");
}

#[test]
fn without_a_server_it_ends_with_3_and_leaves_nothing() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    let nowhere = format!("127.0.0.1:{}", free_port());
    let tasks = stage.tasks(&["go"]);
    for more in [&[][..], &["--scope", "cluster"]] {
        let output = run(bare(&stage, &["a", "-f", "x", "--tasks", &tasks, "--server", &nowhere]).args(more));
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains("`conveyor server` starts one"), "{}", said(&output));
        assert_eq!(crate::rig::names(&stage.state().join("runs/a")), Vec::<String>::new());
        assert_eq!(crate::rig::names(&stage.state().join("run")), Vec::<String>::new());
    }
}

#[test]
fn a_dry_run_says_what_would_be_run_and_submits_nothing() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    let output = stage.run(&["--tasks", &stage.tasks(&["go"; 7]), "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = printed(&output);
    for line in [
        "function  work, codec json, priority normal",
        "lock      free",
        "tasks     7",
        "  1: go",
        "  and 2 more",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(stage.server.status(), []);
    assert_eq!(crate::rig::names(&stage.state().join("runs")), Vec::<String>::new());
}

#[test]
fn a_run_that_is_out_of_time_ends_with_1() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let tasks = stage.tasks(&["go", "gate", "go"]);
    let output = stage.run(&["--tasks", &tasks, "--run-timeout", "1s"]);
    stage.open_gate();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("the run was out of time"), "{}", said(&output));
}

//! Who hears how a run went, and runs that schedules start.

use crate::rig::{Stage, on_both, said};
use crate::support::{Process, Server, bound, free_port, run, wait_for};
use serde_json::Value;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// `[client.nightly]` with two sinks: a log that hears of failures, a command that hears of everything.
fn config(server: &str, bodies: &str, more: &str) -> String {
    format!(
        "[client.nightly]\nservers = [\"{server}\"]\nfunction = \"work\"\nattempts = 1\ntasks = [{bodies}]\n\
         [[client.nightly.notify]]\nsink = \"log\"\nfile = \"failures.log\"\n\
         [[client.nightly.notify]]\nsink = \"command\"\non = \"always\"\n\
         command = [\"sh\", \"-c\", \"cat >> heard; echo >> heard; echo $CONVEYOR_OUTCOME $CONVEYOR_RUN >> outcomes\"]\n{more}"
    )
}

fn conveyor(stage: &Stage, args: &[&str]) -> Command {
    let mut command = bound(env!("CARGO_BIN_EXE_conveyor"));
    command.args(args).current_dir(stage.directory.path());
    command.env("CONVEYOR_STATE_DIR", stage.state()).env_remove("CONVEYOR_CONFIG").stdin(Stdio::null());
    command
}

fn run_with(stage: &Stage, config: &str, args: &[&str]) -> Output {
    fs::write(stage.path("conveyor.toml"), config).unwrap();
    run(conveyor(stage, &["client", "run", "nightly"]).args(args))
}

fn text(stage: &Stage, name: &str) -> String {
    fs::read_to_string(stage.path(name)).unwrap_or_default()
}

#[test]
fn those_who_want_to_know_hear_how_a_run_went() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let server = stage.server.address.to_string();
    let good = config(&server, "{ id = 1 }, { id = 2 }", "");
    let output = run_with(&stage, &good, &["--run-id", "first"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(text(&stage, "failures.log"), "");
    assert_eq!(text(&stage, "outcomes"), "ok first\n");
    let heard: Value = serde_json::from_str(text(&stage, "heard").trim()).unwrap();
    assert_eq!((&heard["created"], &heard["ok"], &heard["run"]), (&2.into(), &2.into(), &"first".into()));

    let bad = config(&server, "{ id = 1 }, { id = \"a-7\", body = \"error\" }", "");
    let output = run_with(&stage, &bad, &["--run-id", "second"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let log = text(&stage, "failures.log");
    assert!(log.contains("1 of 2 tasks are not done") && log.contains("no luck"), "{log}");
    assert_eq!(text(&stage, "outcomes"), "ok first\nfailed second\n");

    let critical = config(&server, "{ id = 1, body = \"critical\" }", "");
    assert_eq!(run_with(&stage, &critical, &["--run-id", "third"]).status.code(), Some(70));
    assert!(text(&stage, "failures.log").contains("the disk is full"));
}

#[test]
fn a_run_that_could_not_be_run_is_told_of_and_a_dry_one_is_not() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    let nobody = format!("127.0.0.1:{}", free_port());
    let lost = config(&nobody, "{ id = 1 }", "");
    assert_eq!(run_with(&stage, &lost, &["--dry-run"]).status.code(), Some(0));
    assert_eq!(text(&stage, "heard"), "");
    let double = config(&stage.server.address.to_string(), "{ id = 1 }, { id = 1 }", "");
    assert_eq!(run_with(&stage, &double, &[]).status.code(), Some(2));
    assert!(text(&stage, "failures.log").contains("could not be run"), "{}", text(&stage, "failures.log"));
    assert!(text(&stage, "heard").contains("has the id 1 already"), "{}", text(&stage, "heard"));
}

#[test]
fn a_sink_that_fails_changes_nothing_else() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let broken = "[[client.nightly.notify]]\nsink = \"command\"\non = \"always\"\ncommand = [\"false\"]\n";
    let config = config(&stage.server.address.to_string(), "{ id = 1 }", broken);
    let output = run_with(&stage, &config, &["--run-id", "only"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("failed"), "{}", said(&output));
    assert_eq!(text(&stage, "outcomes"), "ok only\n");
    let wrong = run_with(&stage, &config.replace("\"false\"", ""), &[]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&wrong).contains("[client.nightly]: notify entry 3: command is empty"), "{}", said(&wrong));
}

/// What is known of the schedule `nightly`.
fn schedule(stage: &Stage) -> Option<Value> {
    let text = fs::read(stage.state().join("schedules/nightly.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

#[test]
fn a_schedule_starts_a_run_each_due_time_once() {
    let stage = Stage::new(Server::conveyor(&[]), 2);
    let tick = "[schedule.nightly]\ncron = \"* * * * * *\"\nrun = \"nightly\"\n";
    let config = config(&stage.server.address.to_string(), "{ id = 1 }, { id = 2 }", tick);
    fs::write(stage.path("conveyor.toml"), config).unwrap();
    let port = free_port();
    let words = ["server", "--config", "conveyor.toml", "--queue-type", "builtin", "--listen", "127.0.0.1"];
    let mut keeper = conveyor(&stage, &words);
    keeper.args(["--port", &port.to_string()]).stderr(Stdio::null());
    let mut keeper = Process::spawn(&mut keeper);
    wait_for("the server accepts", || TcpStream::connect(("127.0.0.1", port)).ok());
    let runs = || text(&stage, "outcomes").lines().count();
    wait_for("three runs have ended", || (runs() >= 3).then_some(()));
    keeper.signal("TERM");
    assert_eq!(keeper.exit_code(), Some(0));
    let lines: Vec<String> = text(&stage, "outcomes").lines().map(str::to_owned).collect();
    let mut different = lines.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), lines.len(), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("ok schedule-nightl-")), "{lines:?}");
    assert_eq!(stage.done().len(), 2 * lines.len(), "two tasks a run");
    let state = schedule(&stage).unwrap();
    let past = state["past"].as_array().unwrap();
    assert!(past.iter().filter(|run| run.to_string().contains("done")).count() >= 2, "{state:#}");

    // By hand, without anybody who keeps time.
    let output = run(&mut conveyor(&stage, &["schedule", "run-now", "nightly"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(text(&stage, "outcomes").lines().count(), lines.len() + 1);
}

#[test]
fn a_schedule_of_a_run_that_is_nowhere_is_refused() {
    let stage = Stage::new(Server::conveyor(&[]), 0);
    let config = config("127.0.0.1:1", "{ id = 1 }", "[schedule.s]\ncron = \"@daily\"\nrun = \"nightli\"\n");
    let output = run_with(&stage, &config, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let wanted = "schedule.s.run: conveyor.toml has no table [client.nightli]: did you mean nightly?";
    assert!(said(&output).contains(wanted), "{}", said(&output));
}

/// The client `nightly` with a log and a mail sink, of which `attention` chooses.
fn attentive(stage: &Stage, attention: &str, on: &str, body: &str) -> Output {
    fs::write(stage.path("sendmail.sh"), "#!/bin/sh\ncat >> mails\n").unwrap();
    fs::set_permissions(stage.path("sendmail.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let sendmail = stage.path("sendmail.sh");
    let config = format!(
        "[client.nightly]\nservers = [\"{}\"]\nfunction = \"work\"\nattempts = 1\nattention = \"{attention}\"\n\
         tasks = [{{ id = 1, body = \"{body}\" }}]\n\
         [[client.nightly.notify]]\nsink = \"log\"\non = \"{on}\"\nfile = \"log\"\n\
         [[client.nightly.notify]]\nsink = \"mail\"\non = \"{on}\"\nto = [\"ops@example.org\"]\nvia = \"sendmail:{}\"\n",
        stage.server.address,
        sendmail.display()
    );
    run_with(stage, &config, &[])
}

/// Mails and lines about runs since the last look.
fn heard(stage: &Stage) -> (usize, usize) {
    let count = |name: &str, what: &str| {
        let count = text(stage, name).matches(what).count();
        let _ = fs::remove_file(stage.path(name));
        count
    };
    (count("mails", "\nSubject: "), count("log", "nightly: "))
}

fn concept_12_attention_of_a_run_by_log_mail_or_both(server: Server) {
    let stage = Stage::new(server, 1);
    for (attention, mails, logged) in [("LOG", 0, true), ("MAIL", 1, false), ("BOTH", 1, true)] {
        let output = attentive(&stage, attention, "failure", "error");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let (sent, lines) = heard(&stage);
        assert_eq!((sent, lines > 0), (mails, logged), "{attention}");
        let output = attentive(&stage, attention, "failure", "fine");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(heard(&stage), (0, 0), "{attention}: a success is no reason");
    }
    // A notice of success is for those who want it.
    let output = attentive(&stage, "both", "always", "fine");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let (sent, lines) = heard(&stage);
    assert!(sent == 1 && lines > 0, "{sent} mails, {lines} lines");
}

on_both!(concept_12_attention_of_a_run_by_log_mail_or_both);

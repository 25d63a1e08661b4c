//! One run of a name at a time, or as many as are started.

use crate::rig::{Stage, names, on_both, printed, said, start};
use crate::support::{Process, Server, bound, run, wait_for};
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

on_both!(concept_09_consistent_one_client_per_name, concept_10_parallel_runs_have_their_own_ids);

fn concept_09_consistent_one_client_per_name(server: Server) {
    let stage = Stage::new(server, 1);
    let tasks = stage.tasks(&["gate"]);
    let mut first = stage.start(&["--tasks", &tasks]);
    stage.wait_for_done(1);
    let start = Instant::now();
    let second = stage.run(&["--tasks", &tasks]);
    assert_eq!(second.status.code(), Some(75), "{}", said(&second));
    assert!(start.elapsed() < Duration::from_secs(2), "at once");
    let told = said(&second);
    // The client is a child of what binds it to the test, or has taken its place.
    assert!(told.contains("nightly is running already (pid ") && told.contains(", since 20"), "{told}");
    let dry = stage.run(&["--tasks", &tasks, "--dry-run"]);
    assert!(printed(&dry).contains("lock      held (pid "), "{}", printed(&dry));
    first.child.kill().unwrap();
    first.exit_code();
    stage.open_gate();

    // Neither who looks at its lock nor who is called alike keeps it.
    let lock = stage.state().join("locks/client-nightly.lock");
    let mut tail = bound("tail");
    let _tail = Process::spawn(tail.arg("-f").arg(&lock).stdout(Stdio::null()));
    let mut namesake = bound("sh");
    let _namesake = Process::spawn(
        namesake.args(["-c", "read never", "conveyor client run nightly"]).stdin(Stdio::piped()),
    );
    let third = stage.run(&["--tasks", &tasks]);
    assert_eq!(third.status.code(), Some(0), "{}", said(&third));
}

fn concept_10_parallel_runs_have_their_own_ids(server: Server) {
    let stage = Stage::new(server, 2);
    let tasks = stage.tasks(&["gate", "go"]);
    let parallel = ["--tasks", &tasks, "--mode", "PARALLEL"];
    let mut clients = [stage.start(&parallel), stage.start(&parallel)];
    stage.wait_for_done(2);
    let runs = || names(&stage.state().join("runs/nightly"));
    wait_for("two journals", || (runs().len() == 2).then_some(()));
    // An id is that of one run all the same.
    let alive = names(&stage.state().join("run"));
    let same = stage.run(&[&parallel[..], &["--run-id", &alive[0]]].concat());
    assert_eq!(same.status.code(), Some(75), "{}", said(&same));
    stage.open_gate();
    for client in &mut clients {
        assert_eq!(client.exit_code(), Some(0));
    }
    // Equal tasks of two runs are two jobs.
    assert_eq!(stage.done().len(), 4, "{:#?}", stage.done());
    let of_runs: BTreeSet<String> = stage
        .done()
        .iter()
        .map(|task| serde_json::from_str::<serde_json::Value>(task).unwrap()["run"].to_string())
        .collect();
    assert_eq!(of_runs.len(), 2, "{of_runs:?}");
}

#[test]
fn children_do_not_inherit_the_lock() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    // It lets go of the output, and goes on.
    let command =
        "sh -c 'echo $$ > child; exec sleep 1000' > /dev/null 2>&1 < /dev/null & echo '{\"body\":\"gate\"}'";
    let mut first = stage.start(&["--tasks-command", command]);
    stage.wait_for_done(1);
    first.child.kill().unwrap();
    first.exit_code();
    let child = wait_for("the child", || {
        fs::read_to_string(stage.path("child")).ok().filter(|pid| pid.ends_with('\n'))
    });
    stage.open_gate();
    let second = stage.run(&["--tasks", &stage.tasks(&["go"])]);
    let ended = run(std::process::Command::new("kill").arg(child.trim()));
    assert!(ended.status.success(), "it was alive");
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let stage = Stage::new(Server::conveyor(&[]), 1);
    let tasks = stage.tasks(&["gate", "go"]);
    let mut command = stage.client(&["--tasks", &tasks]);
    let mut client = start(&mut command);
    stage.wait_for_done(1);
    let runs = stage.state().join("runs/nightly");
    let journal = runs.join(&names(&runs)[0]);
    let told = |what: &str, times: usize| {
        wait_for(what, || {
            (fs::read_to_string(&journal).unwrap().matches(what).count() >= times).then_some(())
        });
    };
    // Nobody answers to what is cancelled.
    told("\"created\"", 2);
    stage.server.process.signal("STOP");
    client.signal("TERM");
    told("\"aborted\"", 1);
    client.signal("INT");
    let start = Instant::now();
    let code = client.exit_code();
    stage.server.process.signal("CONT");
    assert_eq!(code, Some(130));
    assert!(start.elapsed() < Duration::from_secs(1), "at once");
    assert_eq!(names(&stage.state().join("run")), Vec::<String>::new(), "nothing is left");
}

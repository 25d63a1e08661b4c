//! One run of a name at a time among hosts: here two state directories.

use crate::rig::{Stage, on_both, said, start};
use crate::support::{Process, Server, lasting_port, run, wait_for};
use std::io::Read;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

on_both!(
    a_cluster_lock_is_held_by_one_host_and_free_when_it_dies,
    hosts_that_start_at_the_same_time_do_not_both_get_the_lock,
);

const FUNCTION: &str = "conveyor-lock-nightly";

/// A run on another host, to its end.
fn on_host(stage: &Stage, host: &str, args: &[&str]) -> Output {
    run(&mut stage.client_of(&stage.path(host), &cluster(args)))
}

fn start_on_host(stage: &Stage, host: &str, args: &[&str]) -> Process {
    start(&mut stage.client_of(&stage.path(host), &cluster(args)))
}

fn cluster<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--scope", "cluster"]].concat()
}

/// Whether somebody works at the job of the lock.
fn is_held(stage: &Stage) -> bool {
    stage.server.status().iter().any(|row| row.0 == FUNCTION && row.2 == 1)
}

fn a_cluster_lock_is_held_by_one_host_and_free_when_it_dies(server: Server) {
    let stage = Stage::new(server, 2);
    let tasks = stage.tasks(&["gate"]);
    let mut first = start_on_host(&stage, "a", &["--tasks", &tasks]);
    stage.wait_for_done(1);
    assert!(is_held(&stage));
    for _ in 0..3 {
        let start = Instant::now();
        let second = on_host(&stage, "b", &["--tasks", &tasks]);
        assert_eq!(second.status.code(), Some(75), "{}", said(&second));
        assert!(
            said(&second).contains("running already on another host (function conveyor-lock-nightly"),
            "{}",
            said(&second)
        );
        assert!(start.elapsed() < Duration::from_secs(2), "at once");
    }
    assert!(is_held(&stage), "who asked has not taken it away");
    first.child.kill().unwrap();
    first.exit_code();
    let before = stage.done().len();
    let mut third = start_on_host(&stage, "b", &["--tasks", &tasks]);
    stage.wait_for_done(before + 1);
    let fourth = on_host(&stage, "c", &["--tasks", &tasks]);
    assert_eq!(fourth.status.code(), Some(75), "{}", said(&fourth));
    stage.open_gate();
    assert_eq!(third.exit_code(), Some(0));
    let row = stage.server.status().into_iter().find(|row| row.0 == FUNCTION);
    assert!(row.is_none_or(|row| (row.1, row.2, row.3) == (0, 0, 0)), "nothing of it is left");
    let fifth = on_host(&stage, "a", &["--tasks", &tasks]);
    assert_eq!(fifth.status.code(), Some(0), "{}", said(&fifth));
}

fn hosts_that_start_at_the_same_time_do_not_both_get_the_lock(server: Server) {
    const HOSTS: usize = 8;
    let stage = Stage::new(server, HOSTS);
    let tasks = stage.tasks(&["gate"]);
    for round in 1..=4 {
        let before = stage.done().len();
        let hosts: Vec<String> = (0..HOSTS).map(|host| format!("host-{host}")).collect();
        let mut clients: Vec<Process> =
            hosts.iter().map(|host| start_on_host(&stage, host, &["--tasks", &tasks])).collect();
        let mut codes = Vec::new();
        wait_for("all but one to give up", || {
            clients.retain_mut(|client| match client.child.try_wait().unwrap() {
                Some(status) => {
                    codes.push(status.code());
                    false
                }
                None => true,
            });
            (clients.len() <= 1).then_some(())
        });
        assert!(codes.iter().all(|code| *code == Some(75)), "round {round}: {codes:?}");
        assert_eq!(clients.len(), 1, "round {round}: one has it");
        stage.wait_for_done(before + 1);
        assert_eq!(stage.done().len(), before + 1, "round {round}");
        // Sometimes it ends in order, sometimes it does not.
        if round % 2 == 0 {
            clients[0].child.kill().unwrap();
            clients[0].exit_code();
        }
        stage.open_gate();
        if round % 2 == 1 {
            assert_eq!(clients[0].exit_code(), Some(0));
        }
        std::fs::remove_file(stage.path("go")).unwrap();
    }
}

#[test]
fn a_lock_is_had_again_after_a_restart_of_the_server() {
    for gearmand in [false, true] {
        let port = lasting_port();
        let server = if gearmand { Server::gearmand_at(port, &[]) } else { Server::conveyor_at(port, &[]) };
        let mut stage = Stage::new(server, 1);
        let tasks = stage.tasks(&["gate"]);
        let mut command =
            stage.client_of(&stage.path("a"), &cluster(&["--tasks", &tasks, "--attempts", "9"]));
        let mut client = start(&mut command);
        stage.wait_for_done(1);
        stage.server.kill();
        stage.server.start_again();
        wait_for("the lock", || is_held(&stage).then_some(()));
        let second = on_host(&stage, "b", &["--tasks", &tasks]);
        assert_eq!(second.status.code(), Some(75), "{}", said(&second));
        stage.open_gate();
        assert_eq!(client.exit_code(), Some(0), "gearmand: {gearmand}");
    }
}

#[test]
fn a_run_whose_lock_is_taken_over_ends_early() {
    let mut stage = Stage::new(Server::conveyor_at(lasting_port(), &[]), 2);
    let tasks = stage.tasks(&["gate"]);
    let mut command = stage.client_of(&stage.path("a"), &cluster(&["--tasks", &tasks]));
    let mut first = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    stage.wait_for_done(1);
    // It does not see the server go and come back, and another host does.
    first.signal("STOP");
    stage.server.kill();
    stage.server.start_again();
    let before = stage.done().len();
    let mut second = start_on_host(&stage, "b", &["--tasks", &tasks]);
    stage.wait_for_done(before + 1);
    first.signal("CONT");
    let mut told = String::new();
    first.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(first.exit_code(), Some(75), "{told}");
    assert!(
        told.contains("ended early") && told.contains("another client has taken the lock over"),
        "{told}"
    );
    assert!(is_held(&stage));
    stage.open_gate();
    assert_eq!(second.exit_code(), Some(0));
}

//! Performers that know nothing of the channel end with their manager, killed or not.

use crate::rig::runtime;
use crate::support::{Process, wait_for};
use conveyor_worker::supervise::{Guard, Start};
use std::process::Command;

/// Where the manager below writes the number of its performer.
const FILE: &str = "CONVEYOR_TEST_GUARD_FILE";

/// A manager when another test has started it as a process, and nothing otherwise.
#[test]
fn the_manager_of_other_tests() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut program = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    let mut guard = Guard::start(program.args(["guard", "--grace-ms", "300"])).unwrap();
    // One that ignores TERM, and has a child.
    let command = crate::rig::command(["sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"]);
    let start = Start { command: &command, control: None, stdin: None, output_bytes: 100 };
    let mut performer = start.start().unwrap();
    guard.watch(performer.pid()).unwrap();
    let mut short =
        Start { command: &crate::rig::command(["true"]), control: None, stdin: None, output_bytes: 1 };
    short.stdin = Some("x".into());
    let mut ended = short.start().unwrap();
    guard.watch(ended.pid()).unwrap();
    assert!(runtime.block_on(ended.ended()).unwrap().success());
    guard.forget(ended.pid()).unwrap();
    std::fs::write(&file, format!("{}\n", performer.pid())).unwrap();
    // It is killed before this ends.
    runtime.block_on(performer.ended()).unwrap();
}

#[test]
fn performers_of_a_manager_that_was_killed_are_ended_by_its_guard() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "guard::the_manager_of_other_tests", "--nocapture"]).env(FILE, &file);
    let manager = Process::spawn(&mut command);
    let pid: u32 = wait_for("a performer", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok()
    });
    let members = || conveyor_worker::supervise::legacy::processes(pid).len();
    wait_for("its child", || (members() > 1).then_some(()));
    manager.signal("KILL");
    let gone = || {
        !std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists()
            || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty())
    };
    wait_for("all of it is gone", || (gone() && members() == 1).then_some(()));
}

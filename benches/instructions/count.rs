//! Counting the instructions of a process: this program again, under valgrind.

use std::process::{Command, Output};

/// Tells the process that is counted what to run: a workload and a number of rounds.
pub(crate) const RUN: &str = "--run";

/// What cachegrind says before the number. Without caches to simulate it is the quickest of valgrind's tools that
/// count exactly.
const LABEL: &str = "refs:";

/// Whether there is a valgrind.
///
/// # Errors
/// There is none; says what to do.
pub(crate) fn check_tool() -> Result<(), String> {
    let found = Command::new("valgrind").arg("--version").output();
    found.map(|_| ()).map_err(|error| {
        format!("valgrind does not start ({error}): install it, scripts/test-deps.sh does so on Debian")
    })
}

/// Instructions that `rounds` rounds of a workload take, with the start of the process.
///
/// # Errors
/// The process failed, or valgrind did not say what is expected of it.
pub(crate) fn instructions(workload: &str, rounds: usize) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args([RUN, workload, &rounds.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match count_in(&said) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(complaint(workload, &output)),
    }
}

/// The number in a line like `==4711== I   refs:      1,234,567`.
fn count_in(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains(" I ") && line.contains(LABEL))?;
    let (_, number) = line.split_once(LABEL)?;
    number.trim().replace(',', "").parse().ok()
}

fn complaint(workload: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("no count of {workload} ({}); valgrind said:\n{said}", output.status)
}

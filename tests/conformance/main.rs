//! The conformance rules hold for this server in both of its modes, and find in gearmand 1.1 exactly what is
//! known to be wrong with it.

use std::io;
use std::path::Path;
use std::process::Command;

const GEARMAND: &str = "/usr/sbin/gearmand";

/// Runs all rules against servers started by this command, and requires success.
fn conforms(spawn: &str, compat: &str, more: &[&str]) -> io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_conveyor"))
        .args(["conformance", "--compat", compat, "--spawn", spawn])
        .args(more)
        .output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed: Vec<&str> = stdout.lines().filter(|line| !line.starts_with("pass ")).collect();
    assert!(output.status.success(), "{}\n{}\n{stderr}", output.status, failed.join("\n"));
    Ok(())
}

fn conveyor_conforms(compat: &str) -> io::Result<()> {
    let conveyor = env!("CARGO_BIN_EXE_conveyor");
    let directory = tempfile::tempdir()?;
    let spawn = format!(
        "'{conveyor}' server --data-dir '{}/{{port}}' --listen 127.0.0.1 --port {{port}} --compat {compat} {{options}}",
        directory.path().display()
    );
    conforms(&spawn, compat, &[])
}

#[test]
fn conveyor_conforms_as_gearmand_1_1() -> io::Result<()> {
    conveyor_conforms("1.1")
}

#[test]
fn conveyor_conforms_as_gearmand_2_0() -> io::Result<()> {
    conveyor_conforms("2.0")
}

#[test]
fn gearmand_1_1_fails_exactly_its_known_bugs() -> io::Result<()> {
    assert!(Path::new(GEARMAND).exists(), "{GEARMAND} is missing: run scripts/test-deps.sh");
    // A pid file of its own: gearmand removes whatever is at that path, devices included.
    let directory = tempfile::tempdir()?;
    let pid_file = directory.path().join("{port}.pid");
    let spawn = format!(
        "{GEARMAND} --listen=127.0.0.1 --port={{port}} --log-file=none --pid-file='{}' {{options}}",
        pid_file.display()
    );
    conforms(&spawn, "1.1", &["--expect-bugs"])
}

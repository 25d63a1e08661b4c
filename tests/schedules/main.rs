//! Schedules in whole processes: fired once by several, across kills and restarts, with every overlap policy, by hand,
//! against Conveyor and gearmand. Client runs are stood for by a script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod fired_once;
mod looks;
mod overlap;

use crate::support::{PATIENCE, Process, Server, bound, free_port, require, run, wait_for};
use serde_json::Value;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A run that writes down that it starts, goes on until the file `go` is there, and writes down how it ends. It also ends
/// when its directory is gone with the test.
const STAND_IN: &str = r#"#!/bin/sh
dir=$(dirname "$0")
echo "start $5" >> "$dir/log"
trap 'echo "term $5" >> "$dir/log"; exit 143' TERM
while [ ! -e "$dir/go" ] && [ -d "$dir" ]; do sleep 0.02; done
echo "end $5" >> "$dir/log"
exit $(cat "$dir/code" 2> /dev/null || echo 0)
"#;

/// A directory with a configuration, what is known about its schedules, and the stand-in of client runs.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The runs that schedules start; a script stands in for all of them.
        let clients = "[client.r]\n[client.x]\n[client.resize]\n";
        fs::write(directory.path().join("conveyor.toml"), format!("{config}{clients}")).unwrap();
        let stand_in = directory.path().join("stand-in");
        fs::write(&stand_in, STAND_IN).unwrap();
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn touch(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// A command of this binary, here, with its words.
    fn prepared(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(words).current_dir(self.directory.path());
        command.env("CONVEYOR_TEST_RUN", self.path("stand-in")).env("TZ", "Europe/Berlin");
        command
    }

    /// A server process that runs the schedules.
    fn keeper(&self) -> Keeper {
        let port = free_port();
        let words = [
            "server",
            "--config",
            "conveyor.toml",
            "--state-dir",
            "state",
            "--queue-type",
            "builtin",
            "--listen",
        ];
        let mut command = self.prepared(bound(env!("CARGO_BIN_EXE_conveyor")), &words);
        command.args(["127.0.0.1", "--port", &port.to_string()]).stderr(Stdio::null());
        let process = Process::spawn(&mut command);
        wait_for("the server accepts", || TcpStream::connect(("127.0.0.1", port)).ok());
        Keeper { process }
    }

    /// Runs `conveyor schedule`: exit code, what it printed, what it complained.
    fn schedule(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = self.prepared(Command::new(env!("CARGO_BIN_EXE_conveyor")), &["schedule"]);
        let output = run(command.args(words).args(["--state-dir", "state"]));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// What is stored about a schedule.
    fn state(&self, name: &str) -> Option<Value> {
        let text = fs::read(self.path(&format!("state/schedules/{name}.json"))).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// Waits until what is stored fulfils a condition.
    fn wait_for_state<T>(&self, what: &str, name: &str, condition: impl Fn(&Value) -> Option<T>) -> T {
        wait_for(what, || condition(&self.state(name)?))
    }

    /// What the stand-in wrote down, as words and uniques.
    fn log(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        // A line without its end is still being written.
        let whole = text.rsplit_once('\n').map(|(whole, _)| whole.to_owned()).unwrap_or_default();
        let words = whole.lines().filter_map(|line| line.split_once(' '));
        words.map(|(word, unique)| (word.to_owned(), unique.to_owned())).collect()
    }

    /// Uniques in lines that begin with `word`.
    fn uniques(&self, word: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.0 == word).map(|line| line.1).collect()
    }

    /// Waits until that many lines begin with `word`.
    fn wait_for_log(&self, word: &str, lines: usize) {
        wait_for(&format!("{lines} lines of {word}"), || (self.uniques(word).len() >= lines).then_some(()));
    }
}

/// A server process with schedules.
struct Keeper {
    process: Process,
}

impl Keeper {
    /// Tells it to stop, and waits for its end.
    fn stop(&mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.exit_code(), Some(0));
    }

    /// Kills it, as a crash would.
    fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }
}

/// Milliseconds since 1970-01-01 UTC.
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Waits until the clock has passed a moment.
fn wait_until(moment: i64) {
    assert!(moment < now() + i64::try_from(PATIENCE.as_millis()).unwrap(), "too far");
    wait_for("time passes", || (now() > moment).then_some(()));
}

/// A cron expression that is due once a year, next in about so many seconds; and when.
fn once(seconds: u64) -> (String, i64) {
    let due = SystemTime::now() + Duration::from_secs(seconds);
    let due = jiff::Timestamp::try_from(due).unwrap();
    let due = jiff::ZonedDateTime::new(due, jiff::tz::TimeZone::UTC);
    let expression =
        format!("{} {} {} {} {} *", due.second(), due.minute(), due.hour(), due.day(), due.month());
    (expression, due.timestamp().as_second() * 1000)
}

/// A stock worker that writes a line into a file for every job.
fn counting_worker(server: &Server, function: &str, file: &Path) -> Process {
    require("gearman");
    let port = server.port().to_string();
    let shell = format!("cat >> '{0}'; echo >> '{0}'", file.display());
    let mut command = bound("gearman");
    command.args(["-h", "127.0.0.1", "-p", &port, "-w", "-f", function, "--", "sh", "-c", &shell]);
    let worker = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    server.wait_for_workers(function, 1);
    worker
}

/// Uniques of the unfinished jobs of a server.
fn queued(server: &Server) -> Vec<String> {
    server.connect().table("show unique jobs")
}

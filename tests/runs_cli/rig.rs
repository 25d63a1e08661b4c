//! A server, stock performers, and clients that run.

use crate::support::{Process, Server, bound, require, run, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// What a performer does: it writes down what it was given, and answers as the body says.
const PERFORMER: &str = r#"
task=$(cat)
printf '%s\n' "$task" >> done
case $task in
*'"body":"error"'*) printf '{"error_exists":true,"error_message":"no luck"}' ;;
*'"body":"critical"'*) printf '{"error_exists":true,"critical_error":true,"error_message":"the disk is full"}' ;;
*'"body":"junk"'*) printf 'no JSON' ;;
*'"body":"gate"'*) while [ ! -e go ] && [ -e performer.sh ]; do sleep 0.05; done; printf '{"error_exists":false}' ;;
*) printf '{"error_exists":false,"execution_message":"well done"}' ;;
esac
"#;

/// What a manager does: it writes down what it was asked for.
const MANAGER: &str = r#"cat >> managers; echo >> managers; printf '{"error_exists":false}'"#;

/// A server with performers.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) directory: TempDir,
    workers: Vec<Process>,
}

impl Stage {
    /// With so many performers of `work`, stock ones.
    pub(crate) fn new(server: Server, performers: usize) -> Self {
        require("gearman");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("performer.sh"), PERFORMER).unwrap();
        fs::write(directory.path().join("manager.sh"), MANAGER).unwrap();
        let mut stage = Self { server, directory, workers: Vec::new() };
        for number in 1..=performers {
            stage.hire("work", "performer.sh");
            stage.server.wait_for_workers("work", number as u64);
        }
        stage
    }

    /// One more worker, which runs a script for each job.
    pub(crate) fn hire(&mut self, function: &str, script: &str) {
        let mut command = bound("gearman");
        command.args(["-h", "127.0.0.1", "-p", &self.server.port().to_string(), "-w", "-f", function]);
        command.args(["--", "sh", script]).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.workers.push(Process::spawn(&mut command));
        self.server.wait_for_workers(function, 1);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// A file of tasks with these bodies, called by their numbers from 1.
    pub(crate) fn tasks(&self, bodies: &[&str]) -> String {
        let line = |(id, body): (usize, &&str)| format!("{{\"id\":{id},\"body\":\"{body}\"}}\n");
        let lines: String = (1..).zip(bodies).map(line).collect();
        let path = self.path(&format!("tasks-{}.jsonl", bodies.len()));
        fs::write(&path, lines).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// `conveyor client run nightly` in the directory of the stage.
    pub(crate) fn client(&self, args: &[&str]) -> Command {
        self.client_of(&self.state(), args)
    }

    /// The same, for another host, as it were.
    pub(crate) fn client_of(&self, state: &Path, args: &[&str]) -> Command {
        let mut command = bound(env!("CARGO_BIN_EXE_conveyor"));
        let server = self.server.address.to_string();
        command.args(["client", "run", "nightly", "--server", &server, "-f", "work", "--delay", "50ms"]);
        command.args(args).arg("--state-dir").arg(state);
        command.current_dir(self.directory.path()).env_remove("CONVEYOR_CONFIG").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        run(&mut self.client(args))
    }

    /// Starts it.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        start(&mut self.client(args))
    }

    /// `conveyor inspect`.
    pub(crate) fn inspect(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.arg("inspect").args(args).arg("--state-dir").arg(self.state());
        run(command.current_dir(self.directory.path()))
    }

    /// What performers were given so far, a line a job.
    pub(crate) fn done(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("done")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until performers were given so many.
    pub(crate) fn wait_for_done(&self, jobs: usize) {
        wait_for(&format!("{jobs} jobs"), || (self.done().len() >= jobs).then_some(()));
    }

    /// Lets jobs end that wait at the gate.
    pub(crate) fn open_gate(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

/// Starts a client whose output is thrown away.
pub(crate) fn start(command: &mut Command) -> Process {
    Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Names in a directory, without those that begin with a dot; none when it is not there.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Makes a test of each function, on Conveyor and on gearmand.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod conveyor {
            $(#[test]
            fn $name() {
                super::$name(crate::support::Server::conveyor(&[]));
            })+
        }
        mod gearmand {
            $(#[test]
            fn $name() {
                super::$name(crate::support::Server::gearmand(&[]));
            })+
        }
    };
}
pub(crate) use on_both;

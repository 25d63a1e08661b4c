//! A server that is to be killed.

use crate::pass;
use crate::support::{Peer, Process, lasting_port, wait_for};
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A server with a data directory that outlives it.
#[derive(Debug)]
pub(crate) struct Victim {
    process: Option<Process>,
    pub(crate) address: SocketAddr,
    pub(crate) directory: PathBuf,
    options: Vec<String>,
    variables: Vec<(&'static str, OsString)>,
    log: PathBuf,
    /// Where what it says in this life begins.
    born_at: usize,
}

/// The command of a server, which ends with the thread that starts it, however that ends.
pub(crate) fn command(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_conveyor"), "server", "--listen", "127.0.0.1"]);
    command.args(["--verbose", "INFO", "--port", &port.to_string()]).arg("--data-dir").arg(directory);
    command.stdin(Stdio::null());
    command
}

impl Victim {
    /// One that stores its jobs in `queue` below this directory, and logs beside it. It is not started.
    pub(crate) fn new(below: &Path, options: &[&str]) -> Self {
        Self {
            process: None,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, lasting_port())),
            directory: below.join("queue"),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            variables: Vec::new(),
            log: below.join("server.log"),
            born_at: 0,
        }
    }

    /// Adds to its environment.
    pub(crate) fn variable(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.variables.push((name, value.into()));
    }

    pub(crate) fn without_variables(&mut self) {
        self.variables.clear();
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        self.born_at = usize::try_from(log.metadata().unwrap().len()).unwrap();
        let mut command = command(self.address.port(), &self.directory);
        command.args(&self.options).envs(self.variables.clone()).stderr(log);
        self.process = Some(Process::spawn(&mut command));
    }

    /// Starts it and waits until it accepts.
    pub(crate) fn start(&mut self) {
        self.spawn();
        let process = self.process.as_mut().unwrap();
        let (address, log) = (self.address, &self.log);
        wait_for("the server accepts", || {
            let ended = process.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", std::fs::read_to_string(log).unwrap());
            TcpStream::connect(address).ok()
        });
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        assert_eq!(process.child.try_wait().unwrap(), None, "it ended by itself:\n{}", self.log());
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// SIGTERM, and SIGKILL so much later; it may have ended by then.
    pub(crate) fn stop_and_kill(&mut self, later: Duration) {
        let mut process = self.process.take().unwrap();
        process.signal("TERM");
        pass(later);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// SIGTERM, and a good end.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal("TERM");
        assert_eq!(process.exit_code(), Some(0), "{}", self.log());
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.take().unwrap().exit_code()
    }

    /// What it has said in this life.
    pub(crate) fn log(&self) -> String {
        let all = std::fs::read(&self.log).unwrap();
        String::from_utf8_lossy(&all[self.born_at..]).into_owned()
    }

    /// Waits until its log says this.
    pub(crate) fn wait_to_say(&self, words: &str) {
        wait_for(&format!("{words:?} in the log"), || self.log().contains(words).then_some(()));
    }

    /// The sum of a column of `status`.
    fn sum(&self, column: usize) -> u64 {
        let rows = Peer::connect(self.address).table("status");
        rows.iter().map(|row| row.split('\t').nth(column).unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Unfinished jobs of all functions.
    pub(crate) fn total(&self) -> u64 {
        self.sum(1)
    }

    /// Jobs that workers have, of all functions.
    pub(crate) fn running(&self) -> u64 {
        self.sum(2)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }
}

//! Servers of stores, each on a free port and in a directory of its own; they end with their owner, and with the test
//! process however that ends.

use crate::support::{Process, free_port, require, run, wait_for};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};

/// A running server.
pub(crate) struct Backend {
    process: Process,
    pub(crate) port: u16,
    command: Command,
    directory: tempfile::TempDir,
    is_ready: fn(&Self) -> bool,
}

/// A command that ends with the thread that started it.
fn bound(program: &str) -> Command {
    require("setpriv");
    require(program);
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Backend {
    fn start(
        mut command: Command,
        port: u16,
        directory: tempfile::TempDir,
        is_ready: fn(&Self) -> bool,
    ) -> Self {
        let process = Process::spawn(&mut command);
        let backend = Self { process, port, command, directory, is_ready };
        backend.wait();
        backend
    }

    fn wait(&self) {
        wait_for("the server of the store", || (self.is_ready)(self).then_some(()));
    }

    pub(crate) fn redis() -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = bound("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        // What was answered survives a kill.
        command.arg(directory.path()).args(["--appendonly", "yes", "--appendfsync", "always"]);
        Self::start(command, port, directory, |backend| backend.says(b"PING\r\n", b"+PONG"))
    }

    pub(crate) fn memcached() -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = bound("memcached");
        command.args(["-p", &port.to_string(), "-l", "127.0.0.1", "-I", "8m"]);
        // It refuses to be root; nobody is there everywhere.
        command.args(["-u", "nobody"]);
        Self::start(command, port, directory, |backend| backend.says(b"version\r\n", b"VERSION"))
    }

    /// Whether it answers so.
    fn says(&self, question: &[u8], answer: &[u8]) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        let mut buffer = vec![0; answer.len()];
        stream.write_all(question).is_ok() && stream.read_exact(&mut buffer).is_ok() && buffer == answer
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.process = Process::spawn(&mut self.command);
        self.wait();
    }

    /// Runs a command of redis.
    pub(crate) fn redis_cli(&self, words: &[&str]) -> String {
        require("redis-cli");
        let output = run(Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words));
        assert!(output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[expect(dead_code, reason = "for servers with a socket in it")]
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

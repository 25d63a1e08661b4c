//! Servers of stores, each on a free port and in a directory of its own; they end with their owner, and with the test
//! process however that ends.

use crate::support::{Process, free_port, require, run, wait_for};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// A running server.
pub(crate) struct Backend {
    process: Process,
    pub(crate) port: u16,
    command: Command,
    directory: tempfile::TempDir,
    is_ready: fn(&Self) -> bool,
    /// It is ended by a signal, not killed.
    quits: bool,
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
        let backend = Self { process, port, command, directory, is_ready, quits: false };
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

    pub(crate) fn postgres() -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let programs = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let versions =
            programs.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
        let bin = versions.max().expect("PostgreSQL is missing: run scripts/test-deps.sh");
        // It refuses to be root.
        let root = std::fs::metadata(directory.path()).unwrap().uid() == 0;
        if root {
            assert!(run(Command::new("chown").arg("postgres").arg(directory.path())).status.success());
        }
        let user: &[&str] =
            if root { &["--reuid=postgres", "--regid=postgres", "--clear-groups"] } else { &[] };
        let data = directory.path().join("data");
        let mut initdb = Command::new("setpriv");
        initdb.args(user).arg(bin.join("initdb")).args(["-D"]).arg(&data);
        initdb.args(["-U", "gearman", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        let output = run(initdb.current_dir(directory.path()));
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut command = Command::new("setpriv");
        command.args(user).args(["--pdeathsig", "KILL"]).arg(bin.join("postgres")).arg("-D").arg(data);
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(directory.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir(directory.path());
        let backend = Self::start(command, port, directory, |backend| !backend.psql("SELECT 1").is_empty());
        Self { quits: true, ..backend }
    }

    /// What the shell of PostgreSQL answers; nothing when it cannot.
    pub(crate) fn psql(&self, statement: &str) -> String {
        require("psql");
        let port = self.port.to_string();
        let mut command = Command::new("psql");
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "gearman", "-At", "-c", statement, "postgres"]);
        String::from_utf8_lossy(&run(&mut command).stdout).trim().to_owned()
    }

    pub(crate) fn mariadb() -> Self {
        require("/usr/sbin/mariadbd");
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let data = directory.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        let user = std::fs::metadata(directory.path()).unwrap().uid() == 0;
        let user: &[&str] = if user { &["--user=root"] } else { &[] };
        let output = run(install.args(user).arg(format!("--datadir={}", data.display())));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut command = bound("/usr/sbin/mariadbd");
        // Nobody is asked who they are.
        command.args(["--no-defaults", "--skip-grant-tables", "--bind-address=127.0.0.1"]).args(user);
        command.args(["--port", &port.to_string()]).arg("--datadir").arg(&data);
        command.arg("--socket").arg(directory.path().join("socket"));
        Self::start(command, port, directory, |backend| backend.mariadb_cli("SELECT 1") == "1")
    }

    /// What the shell of MariaDB answers; nothing when it cannot.
    pub(crate) fn mariadb_cli(&self, statement: &str) -> String {
        require("mariadb");
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-h", "127.0.0.1", "-P", &self.port.to_string(), "-u", "root"]);
        let output = run(command.args(["-N", "-B", "-e", statement, "mysql"]));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
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

    /// Ends it without a warning to anybody.
    pub(crate) fn kill(&mut self) {
        if self.quits {
            // Its children would be left, and keep it from starting.
            self.process.signal("QUIT");
            self.process.exit_code();
        } else {
            self.process.child.kill().unwrap();
            self.process.child.wait().unwrap();
        }
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

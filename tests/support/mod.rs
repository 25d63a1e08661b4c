//! What the tests of whole processes share: servers on free ports, waiting for a condition, ending what was
//! started. Nothing here sleeps for a fixed time: every wait looks for a condition and has a deadline.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod terminal;
pub(crate) mod tunnel;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Where Debian puts the real one.
pub(crate) const GEARMAND: &str = "/usr/sbin/gearmand";

/// How long a process may take to do what it is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` gives something.
///
/// # Panics
/// It does not within [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "gave up waiting: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Ports that were given to somebody: two tests of a process must not get the same one.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// A port that nobody listens on and that the system gives to no connection: a server that ends and starts again finds
/// it free. From the system's range, a client that tries it meanwhile may get it for itself.
pub(crate) fn lasting_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    // Processes begin at different places.
    let begin = u16::try_from(std::process::id() * 31 % u32::from(PORTS.end - PORTS.start)).unwrap();
    let mut ports = PORTS.skip(begin.into()).chain(PORTS);
    let free = |port: &u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok() && GIVEN.lock().unwrap().insert(*port)
    };
    ports.find(free).expect("a port is free")
}

/// Makes sure a program of another package is there.
pub(crate) fn require(program: &str) {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|directory| directory.join(program).exists());
    assert!(
        found || std::path::Path::new(program).exists(),
        "{program} is missing: run scripts/test-deps.sh"
    );
}

/// A program in `examples/`. `cargo test` builds those too, `cargo test --test NAME` does not: cargo is asked once a test
/// binary, so that none is missing or old.
pub(crate) fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let built = exe.parent().and_then(Path::parent).expect("tests are in target/PROFILE/deps");
        let profile = match built.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "test",
            Some(other) => other,
            None => panic!("{} names no profile", built.display()),
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--locked", "--examples", "--profile", profile, "--target-dir"]);
        command.arg(built.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = run(&mut command);
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        built.join("examples")
    });
    folder.join(name)
}

/// A command whose process ends with the thread that starts it, even when that is killed: a stock `gearman -w` without
/// its server would spin for ever.
pub(crate) fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.spawn();
        Self { child: child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.unwrap().success(), "cannot send {name}");
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait_for("the end of a process", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be wrong.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server under test.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// What starts it.
    command: Command,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Conveyor on a free port of 127.0.0.1.
    pub(crate) fn conveyor(options: &[&str]) -> Self {
        Self::conveyor_at(free_port(), options)
    }

    /// Conveyor on this port of 127.0.0.1.
    pub(crate) fn conveyor_at(port: u16, options: &[&str]) -> Self {
        // Not bound: a server may be started by one thread and outlive it.
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command.args(["server", "--listen", "127.0.0.1", "--port", &port.to_string()]).args(options);
        Self::start(command, port)
    }

    /// Debian's gearmand on a free port of 127.0.0.1.
    pub(crate) fn gearmand(options: &[&str]) -> Self {
        Self::gearmand_at(free_port(), options)
    }

    /// Debian's gearmand on this port of 127.0.0.1.
    pub(crate) fn gearmand_at(port: u16, options: &[&str]) -> Self {
        require(GEARMAND);
        let mut command = Command::new(GEARMAND);
        command.args(["--listen=127.0.0.1", &format!("--port={port}"), "--log-file=none"]).args(options);
        Self::start(command, port)
    }

    fn start(mut command: Command, port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        command.arg("--pid-file").arg(directory.path().join("server.pid"));
        command.env("CONVEYOR_DATA_DIR", directory.path().join("queue"));
        let process = Process::spawn(&mut command);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Self { process, address, command, _directory: directory };
        wait_for("the server accepts", || TcpStream::connect(address).ok());
        server
    }

    /// Kills it: whatever it knows is lost.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Starts it again, with the same options on the same port.
    pub(crate) fn start_again(&mut self) {
        self.process = Process::spawn(&mut self.command);
        wait_for("the server accepts again", || TcpStream::connect(self.address).ok());
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Resident memory of the server, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// CPU time the server has used so far.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let columns: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        columns[11].parse::<u64>().unwrap() + columns[12].parse::<u64>().unwrap()
    }

    /// The rows of `status`: function, total, running, workers.
    pub(crate) fn status(&self) -> Vec<(String, u64, u64, u64)> {
        let table = self.connect().table("status");
        let row = |line: &String| {
            let mut columns = line.rsplitn(4, '\t');
            let mut number = || columns.next().unwrap().parse::<u64>().unwrap();
            let (workers, running, total) = (number(), number(), number());
            (columns.next().unwrap().to_owned(), total, running, workers)
        };
        table.iter().map(row).collect()
    }

    /// Waits until `workers` registrations of `function` are there.
    pub(crate) fn wait_for_workers(&self, function: &str, workers: u64) {
        wait_for(&format!("{workers} workers of {function}"), || {
            self.status().iter().any(|row| row.0 == function && row.3 >= workers).then_some(())
        });
    }
}

/// A connection that speaks bytes and lines.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request packet: every argument but the last ends with NUL.
    pub(crate) fn send(&mut self, opcode: u32, args: &[&[u8]]) {
        self.write(&packet(opcode, args));
    }

    /// The next response packet: its type and body.
    pub(crate) fn receive(&mut self) -> (u32, Vec<u8>) {
        let mut header = [0_u8; 12];
        self.stream.read_exact(&mut header).unwrap();
        assert_eq!(&header[..4], b"\0RES", "a response");
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let mut body = vec![0; number(8) as usize];
        self.stream.read_exact(&mut body).unwrap();
        (number(4), body)
    }

    /// The rows of a table.
    pub(crate) fn table(&mut self, command: &str) -> Vec<String> {
        self.write(format!("{command}\n").as_bytes());
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "closed in the middle of a table");
            if line == ".\n" {
                return rows;
            }
            rows.push(line.trim_end_matches('\n').to_owned());
        }
    }

    /// One line.
    pub(crate) fn line(&mut self, command: &str) -> String {
        self.write(format!("{command}\n").as_bytes());
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line
    }

    /// Whether the server has closed: reads until then or until [`PATIENCE`] is over.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request packet.
pub(crate) fn packet(opcode: u32, args: &[&[u8]]) -> Vec<u8> {
    let body = args.join(&b"\0"[..]);
    let length = u32::try_from(body.len()).unwrap();
    [&b"\0REQ"[..], &opcode.to_be_bytes(), &length.to_be_bytes(), &body].concat()
}

/// Runs a program to its end and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut stdout = process.child.stdout.take().unwrap();
    let mut stderr = process.child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut printed = Vec::new();
    stdout.read_to_end(&mut printed).unwrap();
    let status = process.child.wait().unwrap();
    Output { status, stdout: printed, stderr: reader.join().unwrap().unwrap() }
}

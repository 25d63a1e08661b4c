//! What is tried with a pair of programs.

use crate::Kind;
use crate::library::{FUNCTIONS, Library};
use crate::support::{Process, Server, run, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

/// Something a client and a worker do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Priorities,
    Unique,
    Foreground,
    Empty,
    Background,
    Binary,
    Mebibyte,
    Status,
    Data,
    Warning,
    Fail,
    Exception,
    Many,
    Large,
    Epoch,
    WorkerKilled,
}

/// How it went.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Passed,
    /// A library cannot do it, and why.
    Cannot(&'static str),
    Failed(String),
}

/// Bytes of the large payload.
const LARGE: usize = 64 << 20;

impl Item {
    /// Everything but the large payload, those that need a server without workers first.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Priorities,
        Self::Unique,
        Self::Foreground,
        Self::Empty,
        Self::Background,
        Self::Binary,
        Self::Mebibyte,
        Self::Status,
        Self::Data,
        Self::Warning,
        Self::Fail,
        Self::Exception,
        Self::Many,
        Self::Epoch,
        Self::WorkerKilled,
    ];

    /// What our client is tried on with every worker, and our workers with every client.
    pub(crate) const OURS: &'static [Self] = &[
        Self::Priorities,
        Self::Unique,
        Self::Foreground,
        Self::Empty,
        Self::Background,
        Self::Binary,
        Self::Mebibyte,
        Self::Status,
        Self::Data,
        Self::Warning,
        Self::Fail,
        Self::Exception,
    ];

    /// What every other client is tried on with every other worker.
    pub(crate) const CROSS: &'static [Self] = &[
        Self::Unique,
        Self::Foreground,
        Self::Background,
        Self::Binary,
        Self::Status,
        Self::Data,
        Self::Fail,
    ];
}

/// A client and a worker library on a server of their own.
pub(crate) struct Pair {
    kind: Kind,
    client: Library,
    worker: Library,
    server: Server,
    workers: Vec<Process>,
    directory: tempfile::TempDir,
}

type Checked = Result<(), String>;

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(message()) }
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Pair {
    pub(crate) fn new(kind: Kind, client: Library, worker: Library) -> Self {
        let server = match kind {
            Kind::Conveyor => Server::conveyor(&[]),
            Kind::Gearmand => Server::gearmand(&[]),
        };
        Self { kind, client, worker, server, workers: Vec::new(), directory: tempfile::tempdir().unwrap() }
    }

    /// Tries one item, when both libraries can do it.
    pub(crate) fn run(&mut self, item: Item) -> Outcome {
        let lacks = self.client.client_lacks(item).or_else(|| self.worker.worker_lacks(item));
        if let Some(why) = lacks {
            return Outcome::Cannot(why);
        }
        let outcome = match item {
            Item::Priorities => self.priorities(),
            Item::Unique => self.unique(),
            Item::Foreground => self.result("reverse", b"hello", b"olleh"),
            Item::Empty => self.empty(),
            Item::Background => self.background(),
            Item::Binary => self.binary(),
            Item::Mebibyte => self.large(1 << 20),
            Item::Status => self.event("status", "STATUS 3/3"),
            Item::Data => self.data(),
            Item::Warning => self.event("warn", "WARNING careful"),
            Item::Fail => self.fail(),
            Item::Exception => self.exception(),
            Item::Many => self.many(),
            Item::Large => self.large(LARGE),
            Item::Epoch => self.epoch(),
            Item::WorkerKilled => self.worker_killed(),
        };
        outcome.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the worker when it is not there yet.
    fn with_worker(&mut self) {
        if self.workers.is_empty() {
            self.workers = self.worker.start_worker(self.server.port());
            FUNCTIONS.iter().for_each(|function| self.server.wait_for_workers(function, 1));
        }
    }

    fn client_command(
        &self,
        operation: &str,
        function: &str,
        payload: &[u8],
        extra: &str,
    ) -> std::process::Command {
        let input = self.path("input");
        fs::write(&input, payload).unwrap();
        let _ = fs::remove_file(self.path("output"));
        self.client.client(self.server.port(), operation, function, &input, &self.path("output"), extra)
    }

    fn submit(&self, operation: &str, function: &str, payload: &[u8], extra: &str) -> Output {
        let mut command = self.client_command(operation, function, payload, extra);
        if !self.client.is_command() {
            return run(&mut command);
        }
        // The tool prints results and progress to one place, and reads its payload from there too.
        let output = command.output().unwrap();
        fs::write(self.path("output"), &output.stdout).unwrap();
        output
    }

    fn background_line(&self, operation: &str, line: &str) -> Checked {
        let payload = format!("{}\n{line}", self.path("log").display());
        let output = self.submit(operation, "log", payload.as_bytes(), "");
        ensure(output.status.success(), || printed(&output))
    }

    /// The lines in the log, as soon as there are `count`.
    fn log_lines(&self, count: usize) -> Vec<String> {
        let path = self.path("log");
        let lines = wait_for(&format!("{count} lines in the log"), || {
            let text = fs::read_to_string(&path).ok()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        });
        fs::remove_file(path).unwrap();
        lines
    }

    fn priorities(&mut self) -> Checked {
        for (operation, line) in [("low_bg", "low"), ("bg", "normal"), ("high_bg", "high")] {
            self.background_line(operation, line)?;
        }
        self.with_worker();
        let lines = self.log_lines(3);
        ensure(lines == ["high", "normal", "low"], || format!("done in the order {lines:?}"))?;
        for operation in ["high", "low"] {
            let output = self.submit(operation, "reverse", b"abc", "");
            let result = fs::read(self.path("output")).unwrap_or_default();
            ensure(result == b"cba", || format!("{operation}: {}", printed(&output)))?;
        }
        Ok(())
    }

    /// Two submissions with one unique are one job, and both are answered.
    fn unique(&mut self) -> Checked {
        // They must meet in the queue: no worker may be there yet.
        self.workers.clear();
        wait_for("no worker is left", || self.server.status().iter().all(|row| row.3 == 0).then_some(()));
        let payload = format!("{}\nonce", self.path("log").display());
        let mut command = self.client_command("unique", "log", payload.as_bytes(), "same");
        let client = std::thread::spawn(move || run(&mut command));
        wait_for("both submissions are there", || {
            let mut peer = self.server.connect();
            peer.send(41, &[b"same"]);
            let (_, body) = peer.receive();
            body.ends_with(b"\x002").then_some(())
        });
        self.with_worker();
        let output = client.join().unwrap();
        let text = printed(&output);
        let completed = text.lines().filter(|line| *line == "COMPLETE").count();
        ensure(completed == 2, || format!("{completed} of 2 submissions were answered: {text}"))?;
        let lines = self.log_lines(1);
        ensure(lines.len() == 1, || format!("the job was done {} times", lines.len()))
    }

    fn result(&mut self, function: &str, payload: &[u8], expected: &[u8]) -> Checked {
        self.with_worker();
        let output = self.submit("normal", function, payload, "");
        let result = fs::read(self.path("output")).unwrap_or_default();
        ensure(result == expected, || {
            format!(
                "{} bytes came back, not the {} expected: {}",
                result.len(),
                expected.len(),
                printed(&output)
            )
        })
    }

    /// Nothing comes back: but the job completes.
    fn empty(&mut self) -> Checked {
        self.with_worker();
        let output = self.submit("normal", "empty", b"x", "");
        let completed = match self.client.is_command() {
            true => output.status.success(),
            false => printed(&output).lines().any(|line| line == "COMPLETE"),
        };
        let result = fs::read(self.path("output")).unwrap_or_default();
        ensure(completed && result.is_empty(), || format!("{} bytes: {}", result.len(), printed(&output)))
    }

    fn background(&mut self) -> Checked {
        self.with_worker();
        self.background_line("bg", "in the background")?;
        let lines = self.log_lines(1);
        ensure(lines == ["in the background"], || format!("{lines:?}"))
    }

    fn binary(&mut self) -> Checked {
        let every: Vec<u8> = (0..=255_u8).chain(*b"\r\n\0\0").chain((0..=255).rev()).collect();
        let reversed: Vec<u8> = every.iter().rev().copied().collect();
        self.result("echo", &every, &every)?;
        self.result("reverse", &every, &reversed)
    }

    /// The function completes after having been heard of.
    fn event(&mut self, function: &str, event: &str) -> Checked {
        self.with_worker();
        let output = self.submit("normal", function, b"x", "");
        let text = printed(&output);
        let event = if self.client.is_command() && function == "status" {
            "100% Complete"
        } else if self.client.is_command() {
            event.trim_start_matches("WARNING ")
        } else {
            event
        };
        ensure(text.contains(event) && text.contains(self.completed()), || format!("no '{event}' in: {text}"))
    }

    fn completed(&self) -> &'static str {
        if self.client.is_command() { "done" } else { "COMPLETE" }
    }

    fn data(&mut self) -> Checked {
        self.with_worker();
        let output = self.submit("normal", "data", b"x", "");
        let text = printed(&output);
        let (first, second) = (text.find("part1"), text.find("part2"));
        let in_order = first.is_some() && first < second && second < text.find(self.completed());
        ensure(in_order, || format!("not in order: {text}"))
    }

    fn fail(&mut self) -> Checked {
        self.with_worker();
        let output = self.submit("normal", "fail", b"x", "");
        let failed = if self.client.is_command() {
            !output.status.success()
        } else {
            printed(&output).lines().any(|line| line == "FAIL")
        };
        ensure(failed, || printed(&output))
    }

    fn exception(&mut self) -> Checked {
        self.with_worker();
        let output = self.submit("normal", "exception", b"x", "");
        // `conveyor worker` says how the command ended, and then what it said.
        let message = if self.worker == Library::Conveyor { "exit code 1\nboom" } else { "boom" };
        let event = if self.client == Library::Conveyor { "Job failed:" } else { "EXCEPTION" };
        ensure(printed(&output).contains(&format!("{event} {message}")), || printed(&output))
    }

    fn many(&mut self) -> Checked {
        self.with_worker();
        let output = self.submit("many", "reverse", b"task", "");
        ensure(printed(&output).contains("MANY 200"), || printed(&output))
    }

    fn large(&mut self, bytes: usize) -> Checked {
        let payload: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251).to_le_bytes()[0]).collect();
        self.result("echo", &payload, &payload)
    }

    fn epoch(&mut self) -> Checked {
        self.with_worker();
        let when = unix_seconds() + 2;
        let payload = format!("{}\nlater", self.path("log").display());
        let output = self.submit("epoch", "log", payload.as_bytes(), &when.to_string());
        ensure(output.status.success(), || printed(&output))?;
        if self.kind == Kind::Gearmand {
            // gearmand 1.1 wakes nobody when the time has come: another job must.
            wait_for("the time comes", || (unix_seconds() > when).then_some(()));
            self.background_line("bg", "wake up")?;
            let lines = self.log_lines(2);
            return ensure(lines.contains(&"later".to_owned()), || format!("{lines:?}"));
        }
        let lines = self.log_lines(1);
        ensure(lines == ["later"] && unix_seconds() >= when, || format!("{lines:?} at {}", unix_seconds()))
    }

    fn worker_killed(&mut self) -> Checked {
        self.with_worker();
        let mark = self.path("mark");
        let mut command = self.client_command("normal", "hang", mark.display().to_string().as_bytes(), "");
        let client =
            std::thread::spawn(move || command.stderr(std::process::Stdio::null()).output().unwrap());
        wait_for("the job runs", || Path::new(&mark).exists().then_some(()));
        let others = self.worker.start_worker(self.server.port());
        FUNCTIONS.iter().for_each(|function| self.server.wait_for_workers(function, 2));
        self.workers = others;
        let output = client.join().unwrap();
        let result = match self.client {
            client if client.is_command() => output.stdout,
            _ => fs::read(self.path("output")).unwrap_or_default(),
        };
        ensure(result == b"second", || format!("{:?}", String::from_utf8_lossy(&result)))
    }
}

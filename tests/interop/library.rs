//! Where the programs are, how they are started, and what their libraries cannot do.

use crate::items::Item;
use crate::support::{Process, require};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A client and worker library of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    C,
    Php,
    Perl,
    Gear,
    Pygearman,
    Node,
    CommandLine,
}

/// Functions of every worker.
pub(crate) const FUNCTIONS: [&str; 9] =
    ["reverse", "echo", "status", "data", "warn", "fail", "exception", "hang", "log"];

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

fn dependencies() -> PathBuf {
    let given = std::env::var_os("CONVEYOR_INTEROP_DEPS").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop-deps"))
}

/// The C programs, compiled once a run.
fn compiled(program: &str) -> PathBuf {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        require("cc");
        let directory = tempfile::tempdir().unwrap();
        for name in ["client", "worker"] {
            let source = programs().join(format!("c/{name}.c"));
            let status = Command::new("cc")
                .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
                .arg(directory.path().join(name))
                .arg(source)
                .arg("-lgearman")
                .status();
            assert!(status.unwrap().success(), "cannot compile {name}.c: run scripts/test-deps.sh");
        }
        directory
    });
    directory.path().join(program)
}

impl Library {
    pub(crate) const ALL: [Self; 7] =
        [Self::C, Self::Php, Self::Perl, Self::Gear, Self::Pygearman, Self::Node, Self::CommandLine];

    /// How tables call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::C => "C, libgearman",
            Self::Php => "PHP, ext-gearman",
            Self::Perl => "Perl, Gearman::Client",
            Self::Gear => "Python, gear",
            Self::Pygearman => "Python, pygearman",
            Self::Node => "Node, gearman",
            Self::CommandLine => "`gearman`",
        }
    }

    /// Why it cannot do something as a client, when it cannot.
    pub(crate) const fn client_lacks(self, item: Item) -> Option<&'static str> {
        match (self, item) {
            (Self::C, Item::Epoch) => None,
            (_, Item::Epoch) => Some("the client has no start time"),
            (Self::Gear, Item::Large) => Some("the library copies all it has read for every 4 KiB: minutes"),
            (Self::Gear, Item::Unique) => Some("the client keeps one job a handle"),
            (Self::Pygearman, Item::Unique) => Some("the client keeps one request a handle"),
            (Self::Pygearman, Item::Exception) => {
                Some("the client never asks for exceptions and trips over what it gets instead, `handle NUL`")
            }
            (Self::CommandLine, Item::Many) => Some("one job a process"),
            (Self::CommandLine, Item::Exception) => Some("the client does not print exceptions apart"),
            (Self::CommandLine, Item::Large) => {
                Some("the tool copies all it has read for every block: minutes")
            }
            (Self::CommandLine, Item::Unique) => Some("one job a process"),
            (Self::Node, Item::Large) => Some("the library copies all it has read for every chunk: minutes"),
            _ => None,
        }
    }

    /// Why it cannot do something as a worker, when it cannot.
    pub(crate) const fn worker_lacks(self, item: Item) -> Option<&'static str> {
        match (self, item) {
            (Self::CommandLine, Item::Status | Item::Data | Item::Warning | Item::Exception) => {
                Some("the worker runs a command and reports its end only")
            }
            _ => None,
        }
    }

    fn script(interpreter: impl Into<OsString>, path: &str) -> Command {
        let interpreter = interpreter.into();
        if Path::new(&interpreter).is_absolute() {
            assert!(Path::new(&interpreter).exists(), "{interpreter:?} is missing: run scripts/test-deps.sh");
        } else {
            require(&interpreter.to_string_lossy());
        }
        let mut command = Command::new(interpreter);
        command.arg(programs().join(path));
        command.env("NODE_PATH", dependencies().join("node_modules"));
        command
    }

    fn program(self, role: &str) -> Command {
        let python = dependencies().join("venv/bin/python");
        match self {
            Self::C => Command::new(compiled(role)),
            Self::Php => Self::script("php", &format!("php/{role}.php")),
            Self::Perl => Self::script("perl", &format!("perl/{role}.pl")),
            Self::Gear => Self::script(python, &format!("python/gear_{role}.py")),
            Self::Pygearman => Self::script(python, &format!("python/pygearman_{role}.py")),
            Self::Node => Self::script("node", &format!("node/{role}.js")),
            Self::CommandLine => {
                require("gearman");
                Command::new("gearman")
            }
        }
    }

    /// The command of a client; see `README.md` beside the programs.
    pub(crate) fn client(
        self,
        port: u16,
        operation: &str,
        function: &str,
        input: &Path,
        output: &Path,
        extra: &str,
    ) -> Command {
        let port = port.to_string();
        let mut command = self.program("client");
        if self != Self::CommandLine {
            command.args(["127.0.0.1", &port, operation, function]).arg(input).arg(output).arg(extra);
            return command;
        }
        let option: &[&str] = match operation {
            "normal" => &[],
            "high" => &["-I"],
            "low" => &["-L"],
            "bg" => &["-b"],
            "high_bg" => &["-b", "-I"],
            "low_bg" => &["-b", "-L"],
            other => panic!("`gearman` knows no {other}"),
        };
        command.args(["-h", "127.0.0.1", "-p", &port, "-f", function]).args(option);
        command.stdin(std::fs::File::open(input).unwrap());
        command
    }

    /// Starts a worker for every function.
    pub(crate) fn start_worker(self, port: u16) -> Vec<Process> {
        let port = port.to_string();
        let quiet =
            |command: &mut Command| Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        if self != Self::CommandLine {
            return vec![quiet(self.program("worker").args(["127.0.0.1", &port]))];
        }
        // One process a function; those that it cannot do are there and fail.
        let commands = FUNCTIONS.map(|function| {
            let shell = match function {
                "reverse" => "exec perl -0777 -ne 'print scalar reverse $_'",
                "echo" => "exec cat",
                "hang" => "read -r path; [ -e \"$path\" ] && { printf second; exit; }; touch \"$path\"; exec sleep 60",
                "log" => "read -r path; read -r line; echo \"$line\" >> \"$path\"; printf done",
                _ => "exit 1",
            };
            (function, shell)
        });
        commands
            .into_iter()
            .map(|(function, shell)| {
                let mut command = self.program("worker");
                command.args(["-h", "127.0.0.1", "-p", &port, "-w", "-f", function, "--", "sh", "-c", shell]);
                quiet(&mut command)
            })
            .collect()
    }
}

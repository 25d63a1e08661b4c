//! Where the programs are, how they are started, and what their libraries cannot do.

use crate::items::Item;
use crate::support::{Process, bound, example, require};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A client and worker library, or command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    C,
    Php,
    Perl,
    Gear,
    Pygearman,
    Node,
    CommandLine,
    /// The crates conveyor-client and conveyor-worker.
    Rust,
    /// `conveyor client submit` and `conveyor worker`.
    Conveyor,
}

/// Functions of every worker.
pub(crate) const FUNCTIONS: [&str; 10] =
    ["reverse", "echo", "empty", "status", "data", "warn", "fail", "exception", "hang", "log"];

/// Does every function under `conveyor worker`.
const PERFORMER: &str = r#"
case "$CONVEYOR_FUNCTION" in
reverse) exec perl -0777 -ne 'print scalar reverse $_' ;;
echo) exec cat ;;
empty) ;;
status) printf 'progress 1 3\nprogress 2 3\nprogress 3 3\n' >&3; printf done ;;
data) printf 'data part1\ndata part2\n' >&3; printf done ;;
warn) printf 'warning careful\n' >&3; printf done ;;
hang) read -r path; [ -e "$path" ] && { printf second; exit; }; touch "$path"; exec sleep 60 ;;
log) read -r path; read -r line; echo "$line" >> "$path"; printf done ;;
*) echo boom >&2; exit 1 ;;
esac
"#;

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
    /// Other people's.
    pub(crate) const THEIRS: [Self; 7] =
        [Self::C, Self::Php, Self::Perl, Self::Gear, Self::Pygearman, Self::Node, Self::CommandLine];

    pub(crate) const ALL: [Self; 9] = [
        Self::C,
        Self::Php,
        Self::Perl,
        Self::Gear,
        Self::Pygearman,
        Self::Node,
        Self::CommandLine,
        Self::Rust,
        Self::Conveyor,
    ];

    /// Whether its client is a command that prints results, and nothing of ours that prints events.
    pub(crate) const fn is_command(self) -> bool {
        matches!(self, Self::CommandLine | Self::Conveyor)
    }

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
            Self::Rust => "Rust, conveyor-client and -worker",
            Self::Conveyor => "`conveyor client`, `conveyor worker`",
        }
    }

    /// Why it cannot do something as a client, when it cannot.
    pub(crate) const fn client_lacks(self, item: Item) -> Option<&'static str> {
        match (self, item) {
            (Self::C | Self::Rust, Item::Epoch) => None,
            (_, Item::Epoch) => Some("the client has no start time"),
            (Self::Gear, Item::Large) => Some("the library copies all it has read for every 4 KiB: minutes"),
            (Self::Gear, Item::Unique) => Some("the client keeps one job a handle"),
            (Self::Pygearman, Item::Unique) => Some("the client keeps one request a handle"),
            (Self::Pygearman, Item::Exception) => {
                Some("the client never asks for exceptions and trips over what it gets instead, `handle NUL`")
            }
            (Self::CommandLine | Self::Conveyor, Item::Many | Item::Unique) => {
                Some("this test has a job a process")
            }
            (Self::CommandLine, Item::Exception) => Some("the client does not print exceptions apart"),
            (Self::CommandLine, Item::Large) => {
                Some("the tool copies all it has read for every block: minutes")
            }
            (Self::Node, Item::Large) => Some("the library copies all it has read for every chunk: minutes"),
            _ => None,
        }
    }

    /// Why it cannot do something as a worker, when it cannot.
    pub(crate) const fn worker_lacks(self, item: Item) -> Option<&'static str> {
        match (self, item) {
            (Self::Perl, Item::Empty) => {
                Some("the worker leaves out the NUL before an empty result: both servers close (R024)")
            }
            (Self::CommandLine, Item::Status | Item::Data | Item::Warning | Item::Exception) => {
                Some("the worker runs a command and reports its end only")
            }
            (Self::CommandLine, Item::Mebibyte | Item::Large) => {
                Some("the worker writes all of a payload before it reads: `cat` and it wait for each other")
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
        let mut command = bound(interpreter);
        command.arg(programs().join(path));
        command.env("NODE_PATH", dependencies().join("node_modules"));
        command
    }

    fn program(self, role: &str) -> Command {
        let python = dependencies().join("venv/bin/python");
        match self {
            Self::C => bound(compiled(role)),
            Self::Php => Self::script("php", &format!("php/{role}.php")),
            Self::Perl => Self::script("perl", &format!("perl/{role}.pl")),
            Self::Gear => Self::script(python, &format!("python/gear_{role}.py")),
            Self::Pygearman => Self::script(python, &format!("python/pygearman_{role}.py")),
            Self::Node => Self::script("node", &format!("node/{role}.js")),
            Self::CommandLine => {
                require("gearman");
                // It has no limit of its own that holds in every state.
                if role == "worker" {
                    return bound("gearman");
                }
                let mut command = bound("timeout");
                command.args(["90", "setpriv", "--pdeathsig", "KILL", "--", "gearman"]);
                command
            }
            Self::Rust => bound(example(&format!("interop_{role}"))),
            Self::Conveyor => {
                let mut command = bound(env!("CARGO_BIN_EXE_conveyor"));
                command.args(if role == "client" { &["client", "submit"][..] } else { &["worker"] });
                command
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
        if !self.is_command() {
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
            other => panic!("{} knows no {other}", self.title()),
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
        if !self.is_command() {
            return vec![quiet(self.program("worker").args(["127.0.0.1", &port]))];
        }
        if self == Self::Conveyor {
            // Exceptions or failures: a worker decides for all of its functions.
            return [true, false]
                .map(|exceptions| {
                    let mut command = self.program("worker");
                    command.args(["-h", "127.0.0.1", "-p", &port]);
                    command.args(exceptions.then_some("--exceptions"));
                    let functions = FUNCTIONS.iter().filter(|name| exceptions == (**name == "exception"));
                    functions.for_each(|name| {
                        command.args(["-f", name]);
                    });
                    quiet(command.args(["--", "sh", "-c", PERFORMER]))
                })
                .into();
        }
        // One process a function; those that it cannot do are there and fail.
        let commands = FUNCTIONS.map(|function| {
            let shell = match function {
                "reverse" => "exec perl -0777 -ne 'print scalar reverse $_'",
                "echo" => "exec cat",
                // Its worker dies of a command that does not read.
                "empty" => "exec cat > /dev/null",
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

//! One process for one job.

use super::capture::{Cut, Overflow, Tail, Whole, feed, read_some};
use super::group::Group;
use super::hold::Hold;
use super::reports::{Report, Reports};
use super::{Ending, Failure, Reason};
use bytes::{Bytes, BytesMut};
use command_fds::{CommandFdExt, FdMapping};
use conveyor_common::control::FD_VARIABLE;
use rustix::process::Signal;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// The descriptor that a command reports on.
const REPORTS_FD: i32 = 3;

/// How long what a command left behind may keep its standard output open.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// A program with its arguments and surroundings. No shell is involved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program, looked for in `PATH` unless it has a slash.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables set on top of those of this process.
    pub variables: Vec<(OsString, OsString)>,
    /// Where it runs; this process's own directory when not given.
    pub directory: Option<PathBuf>,
    /// What becomes of its standard output.
    pub output: Output,
}

/// What becomes of a command's standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// All of it is the result.
    #[default]
    Result,
    /// Each line is reported as data as soon as it is there; the result is empty.
    Lines {
        /// Without the line ends.
        stripped: bool,
    },
}

/// How much a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest run. Then the command and all that it started get TERM.
    pub timeout: Option<Duration>,
    /// How long after TERM they get KILL.
    pub grace: Duration,
    /// Most bytes of a result.
    pub output_bytes: usize,
    /// How much of the end of standard error is kept, in bytes.
    pub stderr_bytes: usize,
    /// Address space of the command in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU time of the command in seconds.
    pub cpu_seconds: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: None,
            grace: Duration::from_secs(10),
            output_bytes: 64 << 20,
            stderr_bytes: 4096,
            memory_bytes: None,
            cpu_seconds: None,
        }
    }
}

/// The job a command works on; it finds them as `CONVEYOR_HANDLE`, `CONVEYOR_FUNCTION` and `CONVEYOR_UNIQUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The server's name for the job.
    pub handle: Bytes,
    /// Its function.
    pub function: Bytes,
    /// Its unique.
    pub unique: Bytes,
}

impl Command {
    /// Runs the command for one job. What it reports on the way goes to `reports`; while nobody takes it, the
    /// command waits. Dropping the future ends the command and all that it started.
    pub async fn perform(
        &self,
        limits: &Limits,
        context: &Context,
        payload: Bytes,
        reports: mpsc::Sender<Report>,
    ) -> Ending {
        self.perform_held(limits, context, payload, reports, &Hold::default()).await
    }

    /// [`Command::perform`] of a command that may be held meanwhile, which does not count for [`Limits::timeout`].
    pub async fn perform_held(
        &self,
        limits: &Limits,
        context: &Context,
        payload: Bytes,
        reports: mpsc::Sender<Report>,
        hold: &Hold,
    ) -> Ending {
        let started = self.start(context).and_then(|(child, pipe)| {
            let group = Group::of(&child);
            group.apply(limits)?;
            Ok((child, group, pipe))
        });
        let (mut child, group, pipe) = match started {
            Ok(started) => started,
            Err(error) => return failed(Reason::NotStarted(error.to_string()), Tail::new(0)),
        };
        let (mut output, mut errors) = (Whole::new(limits.output_bytes), Tail::new(limits.stderr_bytes));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (cut, is_cut) = watch::channel(false);
        let streams = async {
            let reading = async {
                let errors = errors.read(stderr, is_cut.clone());
                tokio::join!(errors, relay(pipe, reports.clone(), is_cut.clone()), feed(stdin, payload))
            };
            let writing = async {
                match self.output {
                    Output::Result => output.read(stdout, is_cut.clone()).await,
                    Output::Lines { stripped } => {
                        lines(stdout, stripped, limits.output_bytes, &reports, is_cut.clone()).await
                    }
                }
            };
            let (written, _) = tokio::join!(writing, reading);
            written
        };
        let deadline = hold.limit(&group, limits.timeout);
        let ended = wait(&mut child, &group, streams, deadline, &cut).await;
        let reason = match ended {
            Ended::By(status) => reason(status),
            Ended::Unknown(error) => Some(Reason::Lost(error.to_string())),
            Ended::TooMuch => Some(Reason::TooMuchOutput),
            Ended::TooLong => Some(Reason::TimedOut),
        };
        if matches!(reason, Some(Reason::TooMuchOutput | Reason::TimedOut)) {
            group.signal(Signal::TERM);
            // Whoever does not go in time is killed with the group.
            let _ = timeout(limits.grace, child.wait()).await;
        }
        match reason {
            None => Ending::Complete(output.into_bytes()),
            Some(reason) => failed(reason, errors),
        }
    }

    fn start(&self, context: &Context) -> io::Result<(Child, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.prepared();
        command.envs(context.variables()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mapping = FdMapping { parent_fd: writer.into(), child_fd: REPORTS_FD };
        command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
    }
}

impl Command {
    /// What both ways of running it have in common: all but descriptors.
    pub(crate) fn prepared(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            // A performer's channel to its manager is not its commands'.
            .env_remove(FD_VARIABLE)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

impl Context {
    fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        use std::os::unix::ffi::OsStringExt;
        let named = [
            ("CONVEYOR_HANDLE", &self.handle),
            ("CONVEYOR_FUNCTION", &self.function),
            ("CONVEYOR_UNIQUE", &self.unique),
        ];
        // A variable cannot hold a NUL.
        named
            .map(|(name, value)| (name, value.iter().copied().take_while(|byte| *byte != 0).collect()))
            .map(|(name, value): (_, Vec<u8>)| (name, OsString::from_vec(value)))
            .into_iter()
    }
}

/// How the wait for a command ended.
enum Ended {
    By(ExitStatus),
    Unknown(io::Error),
    TooMuch,
    TooLong,
}

/// Waits for the end of the command and of its streams.
async fn wait(
    child: &mut Child,
    group: &Group,
    streams: impl Future<Output = Result<(), Overflow>>,
    deadline: impl Future<Output = ()>,
    cut: &watch::Sender<bool>,
) -> Ended {
    let mut streams = std::pin::pin!(streams);
    let mut deadline = std::pin::pin!(deadline);
    let mut open = true;
    let status = loop {
        tokio::select! {
            written = &mut streams, if open => match written {
                Ok(()) => open = false,
                Err(Overflow) => return Ended::TooMuch,
            },
            status = child.wait() => break status,
            () = &mut deadline => return Ended::TooLong,
        }
    };
    if open {
        // The last of what it wrote may still be on its way, and so may reports that nobody has taken yet. What it
        // left running goes; what has left its group is not listened to for long.
        group.signal(Signal::KILL);
        let cutting = async {
            sleep(LEFTOVERS).await;
            cut.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            written = &mut streams => if written.is_err() {
                return Ended::TooMuch;
            },
            () = cutting => {}
        }
    }
    status.map_or_else(Ended::Unknown, Ended::By)
}

/// Why a command with this status has failed, if it has.
pub(super) fn reason(status: ExitStatus) -> Option<Reason> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(Reason::Code(code)),
        (None, signal) => Some(Reason::Signal(signal.unwrap_or(0))),
    }
}

fn failed(reason: Reason, stderr: Tail) -> Ending {
    Ending::Failed(Failure { reason, stderr: stderr.into_bytes() })
}

/// Reports each line of the output. A last one without its end counts.
async fn lines(
    from: Option<impl AsyncRead + Unpin>,
    stripped: bool,
    limit: usize,
    to: &mpsc::Sender<Report>,
    mut cut: Cut,
) -> Result<(), Overflow> {
    let Some(mut from) = from else { return Ok(()) };
    let (mut input, mut scanned) = (BytesMut::new(), 0);
    while read_some(&mut from, &mut input, &mut cut).await.is_some() {
        while let Some(at) =
            input.get(scanned..).and_then(|fresh| fresh.iter().position(|byte| *byte == b'\n'))
        {
            let mut line = input.split_to(scanned + at + 1).freeze();
            scanned = 0;
            if stripped {
                line.truncate(line.len() - 1);
            }
            if to.send(Report::Data(line)).await.is_err() {
                return Ok(());
            }
        }
        scanned = input.len();
        if input.len() > limit {
            return Err(Overflow);
        }
    }
    if !input.is_empty() {
        // Nobody listens any more.
        let _ = to.send(Report::Data(input.freeze())).await;
    }
    Ok(())
}

/// Hands on what the command reports.
async fn relay(mut pipe: pipe::Receiver, to: mpsc::Sender<Report>, mut cut: Cut) {
    let mut reports = Reports::default();
    while read_some(&mut pipe, reports.input(), &mut cut).await.is_some() {
        while let Some(report) = reports.take() {
            if to.send(report).await.is_err() {
                return;
            }
        }
    }
    if let Some(report) = reports.finish() {
        // Nobody listens any more.
        let _ = to.send(report).await;
    }
}

//! A client run is a process of its own: `conveyor client run NAME`, with its own lock and exit code.

use super::store::RunLock;
use command_fds::{CommandFdExt, FdMapping};
use conveyor_client::schedule::How;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Exit code of a run that goes on already elsewhere.
const ALREADY_RUNNING: i32 = 75;

/// The descriptor by which a run holds its lock.
const LOCK_FD: i32 = 3;

/// Starts it in a process group of its own; it inherits the lock, so that it counts as alive without whoever started it.
pub(super) fn spawn(command: &mut Command, lock: &RunLock, foreground: bool) -> io::Result<Child> {
    let mapping = FdMapping { parent_fd: lock.0.try_clone()?.into(), child_fd: LOCK_FD };
    command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
    command.stdin(Stdio::null()).process_group(0);
    if !foreground {
        // What a server prints is not for its runs.
        command.stdout(Stdio::null());
    }
    command.spawn()
}

/// Lets a program that a run starts not inherit the lock of the run: it would hold it for as long as it lives.
pub(crate) fn without_lock(command: &mut Command) -> io::Result<()> {
    let nothing = FdMapping { parent_fd: File::open("/dev/null")?.into(), child_fd: LOCK_FD };
    command.fd_mappings(vec![nothing]).map(drop).map_err(io::Error::other)
}

/// Sends a signal to a run and all it has started.
pub(super) fn signal(process: u32, signal: Signal) {
    let Some(group) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return };
    if let Err(error) = kill_process_group(group, signal) {
        tracing::debug!(process, %error, "cannot send a signal");
    }
}

/// How a process ended.
pub(super) fn outcome(status: ExitStatus) -> (How, String) {
    match (status.code(), status.signal()) {
        (Some(0), _) => (How::Done, String::new()),
        (Some(ALREADY_RUNNING), _) => (How::AlreadyRunning, String::new()),
        (Some(code), _) => (How::Failed, format!("exit code {code}")),
        (None, Some(signal)) => (How::Failed, format!("ended by signal {signal}")),
        (None, None) => (How::Failed, status.to_string()),
    }
}

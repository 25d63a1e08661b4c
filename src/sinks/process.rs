//! Runs a program with input and a deadline.

use super::left;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// How much of what a program complains is passed on, in bytes.
const COMPLAINT_BYTES: u64 = 1000;

/// How long to wait for the rest of a complaint: another process may hold the pipe.
const PATIENCE: Duration = Duration::from_millis(200);

/// Runs `command` to its end with `input`; at `deadline` all of its process group is killed.
///
/// # Errors
/// It cannot be started, did not end with status 0, or ran out of time. What it wrote to standard error is in the message.
pub(super) fn run(mut command: Command, input: Vec<u8>, deadline: Instant) -> Result<(), String> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    crate::schedules::without_lock(&mut command).map_err(|error| error.to_string())?;
    let program = command.get_program().display().to_string();
    let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // It need not read all of it, or any: how it ends is what counts.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let complaint = child.stderr.take().map(listen);
    let ended = wait(&mut child, deadline);
    if ended.is_err() {
        end(&mut child);
    }
    let said = complaint.and_then(|complaint| complaint.recv_timeout(PATIENCE).ok()).unwrap_or_default();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(match (status.code(), status.signal()) {
            (Some(code), _) => format!("{program} ended with status {code}{said}"),
            (None, Some(signal)) => format!("{program} was killed by signal {signal}{said}"),
            (None, None) => format!("{program} ended with {status}{said}"),
        }),
        Err(why) => Err(format!("{program} was killed: {why}{said}")),
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, String> {
    let cannot = |error: std::io::Error| format!("cannot wait for it: {error}");
    let pid = Pid::from_child(child);
    let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| cannot(error.into()))?;
    loop {
        if let Some(status) = child.try_wait().map_err(cannot)? {
            return Ok(status);
        }
        let limit = Timespec::try_from(left(deadline)?).map_err(|error| error.to_string())?;
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(cannot(error.into())),
        }
    }
}

/// Kills the process and what it has started.
fn end(child: &mut Child) {
    // It may have ended by itself meanwhile; nothing else can be wrong.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

/// The first line or so of what comes, when all of it has come.
fn listen(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let mut stderr = stderr;
        // What could not be read is not told; how the program ended is.
        let _ = (&mut stderr).take(COMPLAINT_BYTES).read_to_end(&mut said);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        let text = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let _ = sender.send(lines.join("; "));
    });
    receiver
}

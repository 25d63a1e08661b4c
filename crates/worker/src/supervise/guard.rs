//! Ends performers whose manager is gone: those that do not know the control channel would not notice.
//!
//! A guard is a small process of its own, told by its standard input which groups there are. The end of that is the end of
//! the manager, by whatever: then the groups get TERM, and KILL after a grace.

use super::identity::{Identity, Signal};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at whether groups have gone.
const LOOK: Duration = Duration::from_millis(20);

/// A guard at work. Dropping it is the end of what it watches.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    /// None while it is dropped.
    to: Option<ChildStdin>,
}

impl Guard {
    /// Starts `command`, a program that calls [`guard`] with its standard input, such as `conveyor guard`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        // A group of its own: what is typed at the manager's terminal is not for it.
        let started = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = started?;
        let to = child.stdin.take();
        Ok(Self { child, to })
    }

    /// Watches the group that the process leads.
    ///
    /// # Errors
    /// The guard is gone: start another one, and have all groups watched again.
    pub fn watch(&mut self, pid: u32) -> io::Result<()> {
        self.tell('+', pid)
    }

    /// Forgets it: it has ended.
    ///
    /// # Errors
    /// As [`Guard::watch`].
    pub fn forget(&mut self, pid: u32) -> io::Result<()> {
        self.tell('-', pid)
    }

    fn tell(&mut self, sign: char, pid: u32) -> io::Result<()> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        // One write, so that a line is never half there.
        to.write_all(format!("{sign}{pid}\n").as_bytes())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.wait();
    }
}

/// Does the work of a guard until `input` ends.
pub fn guard(input: impl BufRead, grace: Duration) {
    let mut groups: BTreeMap<u32, Identity> = BTreeMap::new();
    for line in input.lines() {
        let Ok(line) = line else { break };
        let Some((sign, pid)) = line.split_at_checked(1) else { continue };
        let Ok(pid) = pid.parse() else { continue };
        match (sign, Identity::of(pid)) {
            ("+", Ok(identity)) => drop(groups.insert(pid, identity)),
            ("-", _) => drop(groups.remove(&pid)),
            _ => {}
        }
    }
    for identity in groups.values() {
        identity.signal(Signal::Term);
    }
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline && groups.values().any(Identity::lives) {
        std::thread::sleep(LOOK);
    }
    for identity in groups.values() {
        identity.signal(Signal::Kill);
    }
}

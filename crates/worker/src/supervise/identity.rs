//! Which process is meant: a number may be given to another process, a pidfd may not.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;

/// What a process group is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, and SIGCONT so that a stopped one hears it.
    Term,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

impl Signal {
    const fn all(self) -> &'static [rustix::process::Signal] {
        use rustix::process::Signal as S;
        match self {
            Self::Term => &[S::TERM, S::CONT],
            Self::Kill => &[S::KILL],
            Self::Stop => &[S::STOP],
            Self::Continue => &[S::CONT],
        }
    }
}

/// A process that leads a group of its own.
#[derive(Debug)]
pub struct Identity {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Identity {
    /// The process that has this number now.
    ///
    /// # Errors
    /// There is none, or the system has no pidfds (Linux before 5.3).
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Self { pid, descriptor: pidfd_open(pid, PidfdFlags::NONBLOCK)? })
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut waited = [PollFd::new(&self.descriptor, PollFlags::IN)];
        matches!(poll(&mut waited, Some(&now)), Ok(0))
    }

    /// Signals the group that it leads, unless it has ended: then the number may be another's.
    pub fn signal(&self, signal: Signal) {
        if self.lives() {
            self.signal_leaderless(signal);
        }
    }

    /// Signals the group whose leader lives, or has ended and was not waited for, so that the number is still its own.
    pub(super) fn signal_leaderless(&self, signal: Signal) {
        for signal in signal.all() {
            // That nobody is left is no failure.
            let _ = kill_process_group(self.pid, *signal);
        }
    }
}

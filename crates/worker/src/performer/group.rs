//! A command and everything it started: signalled together, gone together.

use super::process::Limits;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use std::io;
use tokio::process::Child;

/// Everything that a command started, ended when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// The group that `child` leads; it has just started.
    pub(crate) fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self { leader: pid.and_then(Pid::from_raw) }
    }

    /// Signals all of it. That nobody is left is no failure.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, signal);
            if signal == Signal::TERM {
                // One that was stopped would not hear it.
                let _ = kill_process_group(leader, Signal::CONT);
            }
        }
    }

    /// Stops all of it, or lets it go on.
    pub(crate) fn hold(&self, held: bool) {
        self.signal(if held { Signal::STOP } else { Signal::CONT });
    }

    /// Sets the limits of a command that has just started and still waits for its work.
    pub(crate) fn apply(&self, limits: &Limits) -> io::Result<()> {
        let limit = |resource, value: Option<u64>| match value {
            Some(value) => {
                let both = Rlimit { current: Some(value), maximum: Some(value) };
                prlimit(self.leader, resource, both).map(drop)
            }
            None => Ok(()),
        };
        limit(Resource::As, limits.memory_bytes)?;
        limit(Resource::Cpu, limits.cpu_seconds)?;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

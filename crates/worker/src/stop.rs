//! Telling a worker to pause or to stop, and why it did.

use tokio::sync::watch;

/// Why [`Worker::run`](crate::Worker::run) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// [`Stop::drain`] was called.
    Drained,
    /// No job came for as long as the worker was to wait.
    Idle,
    /// The worker did as many jobs as it was to do.
    MaxJobs,
    /// [`Stop::now`] was called.
    Stopped,
    /// [`Stop::terminate`] was called, or the manager said so.
    Terminated,
}

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Work,
    /// Work, but not now.
    Pause,
    Drain(Ended),
    Now,
}

impl Command {
    /// Neither drained nor stopped.
    pub(crate) const fn goes_on(self) -> bool {
        matches!(self, Self::Work | Self::Pause)
    }
}

/// Pauses and stops a worker, from anywhere and as often as wanted.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<Command>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Command::Work))
    }

    /// Takes no further job; the worker ends when those that run have ended and are reported. Functions without a
    /// running job are taken back from the servers at once (CANT_DO), so that they wake others; one with a running job
    /// has to stay until that ends, as servers would give the job to another worker. gearmand with `--worker-wakeup 1`
    /// may waste a wake-up on it until then.
    pub fn drain(&self) {
        self.drain_because(Ended::Drained);
    }

    /// Gives running jobs back to their servers by closing the connections, and tells them by
    /// [`Job::checkpoint`](crate::Job::checkpoint). They have a few seconds to give up.
    pub fn now(&self) {
        self.0.send_replace(Command::Now);
    }

    /// As [`Stop::drain`], and running jobs are asked to end at their next
    /// [`checkpoint`](crate::Job::checkpoint), while what they answer still counts.
    pub fn terminate(&self) {
        self.0.send_if_modified(|command| {
            let draining = !matches!(*command, Command::Now | Command::Drain(Ended::Terminated));
            if draining {
                *command = Command::Drain(Ended::Terminated);
            }
            draining
        });
    }

    /// Whether [`Stop::terminate`] was called, here or by a manager.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.command() == Command::Drain(Ended::Terminated)
    }

    /// Takes no jobs until [`Stop::resume`], and lets running ones wait at their next
    /// [`checkpoint`](crate::Job::checkpoint). Functions without a running job are taken back from the servers
    /// (CANT_DO), so that their jobs go to others at once. The end of the worker, by whatever, ends the pause.
    pub fn pause(&self) {
        self.change(Command::Work, Command::Pause);
    }

    /// Goes on after [`Stop::pause`].
    pub fn resume(&self) {
        self.change(Command::Pause, Command::Work);
    }

    fn change(&self, from: Command, to: Command) {
        self.0.send_if_modified(|command| {
            let changes = *command == from;
            if changes {
                *command = to;
            }
            changes
        });
    }

    pub(crate) fn drain_because(&self, reason: Ended) {
        self.0.send_if_modified(|command| {
            let working = command.goes_on();
            if working {
                *command = Command::Drain(reason);
            }
            working
        });
    }

    pub(crate) fn command(&self) -> Command {
        *self.0.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Command> {
        self.0.subscribe()
    }
}

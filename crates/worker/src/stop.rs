//! Telling a worker to stop, and why it did.

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
}

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Work,
    Drain(Ended),
    Now,
}

/// Stops a worker, from anywhere and as often as wanted.
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

    pub(crate) fn drain_because(&self, reason: Ended) {
        self.0.send_if_modified(|command| {
            let working = *command == Command::Work;
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

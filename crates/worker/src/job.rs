//! A job in the hands of a worker.

use crate::error::Cancelled;
use crate::stop::{Command, Ended, Stop};
use crate::worker::{Activity, Slot};
use bytes::Bytes;
use conveyor_common::protocol::Request;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this result.
    Complete(Bytes),
    /// It failed, and there is nothing to say about it.
    Fail,
    /// It failed with this message; clients that did not ask for exceptions see a failure. One of them is not up
    /// to it: the `gearman` command of libgearman 1.1 waits for ever, with every server. For it, [`Outcome::Fail`].
    Exception(Bytes),
    /// It was not done and goes back to the server, which gives it to another worker or to this one again, as often as
    /// the server allows (`--job-retries`). The protocol knows one way: the connection that the job came by is closed,
    /// once what was reported before has been sent, and opened again after `pause`. Other jobs of that connection go
    /// back with it ([`Cancelled::Returned`]); with [`Worker::connection_per_job`](crate::Worker::connection_per_job)
    /// there are none. Clients of foreground jobs wait on.
    Return {
        /// How long this worker stays away from the server on that connection.
        pause: Duration,
    },
}

impl Outcome {
    /// The one packet that ends a job, or the pause when it goes back. WORK_EXCEPTION is as terminal as the others: the server makes
    /// WORK_FAIL of it for clients that take no exceptions, and refuses a WORK_FAIL behind it.
    pub(crate) fn report(self, handle: Bytes) -> Result<Request, Duration> {
        Ok(match self {
            Self::Complete(payload) => Request::WorkComplete { handle, payload },
            Self::Fail => Request::WorkFail { handle },
            Self::Exception(payload) => Request::WorkException { handle, payload },
            Self::Return { pause } => return Err(pause),
        })
    }
}

/// What the server said about a job when it handed it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) handle: Bytes,
    pub(crate) function: Bytes,
    pub(crate) unique: Bytes,
    pub(crate) reducer: Bytes,
    pub(crate) payload: Bytes,
}

/// A job in the hands of a worker. Clones are the same job.
#[derive(Clone, Debug)]
pub struct Job {
    assignment: Assignment,
    reports: mpsc::Sender<Request>,
    cancelled: watch::Sender<Option<Cancelled>>,
    /// Not owned: clones that are kept somewhere keep no slot.
    slot: Weak<Slot>,
    orders: Orders,
    /// How many parts of the job wait for the end of a pause.
    waiting: watch::Sender<u32>,
}

/// What the worker of a job was told, and where the job says that it waits.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) stop: Stop,
    pub(crate) activity: watch::Sender<Activity>,
}

/// A part of a job that waits for the end of a pause.
struct Waiting<'a>(&'a Job);

impl<'a> Waiting<'a> {
    fn new(job: &'a Job) -> Self {
        job.waiting.send_modify(|parts| {
            *parts += 1;
            if *parts == 1 {
                job.orders.activity.send_modify(|activity| activity.waiting += 1);
            }
        });
        Self(job)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|parts| {
            *parts = parts.saturating_sub(1);
            if *parts == 0 {
                let activity = &self.0.orders.activity;
                activity.send_modify(|activity| activity.waiting = activity.waiting.saturating_sub(1));
            }
        });
    }
}

impl Job {
    pub(crate) fn new(
        assignment: Assignment,
        reports: mpsc::Sender<Request>,
        slot: Weak<Slot>,
        orders: Orders,
    ) -> Self {
        let (cancelled, waiting) = (watch::Sender::new(None), watch::Sender::new(0));
        Self { assignment, reports, cancelled, slot, orders, waiting }
    }

    /// The slot of the job, for something that may go on when the job has been reported.
    pub(crate) fn slot(&self) -> Option<Arc<Slot>> {
        self.slot.upgrade()
    }

    /// The server's name for the job.
    #[must_use]
    pub const fn handle(&self) -> &Bytes {
        &self.assignment.handle
    }

    /// The function it was submitted to.
    #[must_use]
    pub const fn function(&self) -> &Bytes {
        &self.assignment.function
    }

    /// The key that tells it from others of its function; may be empty.
    #[must_use]
    pub const fn unique(&self) -> &Bytes {
        &self.assignment.unique
    }

    /// The function that is to reduce its results; empty where there is none.
    #[must_use]
    pub const fn reducer(&self) -> &Bytes {
        &self.assignment.reducer
    }

    /// What to work on.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.assignment.payload
    }

    /// Reports progress: `numerator` of `denominator` parts are done.
    pub async fn progress(&self, numerator: u64, denominator: u64) {
        self.report(self.status(numerator, denominator)).await;
    }

    /// Sends a part of the result.
    pub async fn data(&self, payload: impl Into<Bytes>) {
        self.report(Request::WorkData { handle: self.handle().clone(), payload: payload.into() }).await;
    }

    /// Sends a warning.
    pub async fn warning(&self, payload: impl Into<Bytes>) {
        self.report(Request::WorkWarning { handle: self.handle().clone(), payload: payload.into() }).await;
    }

    /// [`Job::progress`] for blocking functions.
    pub fn blocking_progress(&self, numerator: u64, denominator: u64) {
        self.blocking_report(self.status(numerator, denominator));
    }

    /// [`Job::data`] for blocking functions.
    pub fn blocking_data(&self, payload: impl Into<Bytes>) {
        self.blocking_report(Request::WorkData { handle: self.handle().clone(), payload: payload.into() });
    }

    /// [`Job::warning`] for blocking functions.
    pub fn blocking_warning(&self, payload: impl Into<Bytes>) {
        self.blocking_report(Request::WorkWarning { handle: self.handle().clone(), payload: payload.into() });
    }

    /// Lets other jobs run, waits as long as the worker is paused, and says whether to go on: a long function calls it
    /// between its steps. What the job has in memory stays. Time spent in a pause does not count for
    /// [`Timeout`](crate::Timeout).
    ///
    /// # Errors
    /// Why nobody will take the result of the job, or [`Cancelled::Terminated`].
    pub async fn checkpoint(&self) -> Result<(), Cancelled> {
        tokio::task::yield_now().await;
        self.while_paused().await;
        if self.orders.stop.command() == Command::Drain(Ended::Terminated) {
            return Err(self.is_cancelled().unwrap_or(Cancelled::Terminated));
        }
        self.is_cancelled().map_or(Ok(()), Err)
    }

    /// [`Job::checkpoint`] for blocking functions.
    ///
    /// # Errors
    /// As [`Job::checkpoint`].
    pub fn blocking_checkpoint(&self) -> Result<(), Cancelled> {
        tokio::runtime::Handle::current().block_on(self.checkpoint())
    }

    /// Waits for the end of a pause, if there is one, or until nobody will take the result any more.
    pub(crate) async fn while_paused(&self) {
        let mut command = self.orders.stop.subscribe();
        if *command.borrow() == Command::Pause {
            let _waiting = Waiting::new(self);
            tokio::select! {
                _ = command.wait_for(|command| *command != Command::Pause) => {}
                _ = self.cancelled() => {}
            }
        }
    }

    /// Tells `hold` whenever the worker is paused (true) and goes on (false), for work that goes on elsewhere, such as in
    /// a process. From the one to the other the job counts as waiting. Never ends: run it beside the work.
    pub async fn hold(&self, mut hold: impl FnMut(bool)) -> std::convert::Infallible {
        let mut command = self.orders.stop.subscribe();
        loop {
            if command.wait_for(|command| *command == Command::Pause).await.is_err() {
                std::future::pending::<()>().await;
            }
            hold(true);
            self.while_paused().await;
            hold(false);
            if self.is_cancelled().is_some() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells how many parts of the job wait for the end of a pause.
    pub(crate) fn waiting(&self) -> watch::Receiver<u32> {
        self.waiting.subscribe()
    }

    /// Why nobody will take the result of the job, if so. Does not wait: for blocking functions.
    #[must_use]
    pub fn is_cancelled(&self) -> Option<Cancelled> {
        *self.cancelled.borrow()
    }

    /// Waits until nobody will take the result of the job any more.
    pub async fn cancelled(&self) -> Cancelled {
        let mut cancelled = self.cancelled.subscribe();
        // The sender is part of this job, so that waiting cannot fail.
        let reason = cancelled.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        reason.unwrap_or(Cancelled::Ended)
    }

    /// Tells every clone of the job to give up; the first reason stays.
    pub(crate) fn cancel(&self, reason: Cancelled) {
        self.cancelled.send_if_modified(|cancelled| {
            let first = cancelled.is_none();
            cancelled.get_or_insert(reason);
            first
        });
    }

    fn status(&self, numerator: u64, denominator: u64) -> Request {
        let number = |number: u64| Bytes::from(number.to_string());
        let (numerator, denominator) = (number(numerator), number(denominator));
        Request::WorkStatus { handle: self.handle().clone(), numerator, denominator }
    }

    async fn report(&self, report: Request) {
        if self.is_cancelled().is_none() {
            // Nobody receives when the connection is lost: then the job is somebody else's already.
            let _ = self.reports.send(report).await;
        }
    }

    fn blocking_report(&self, report: Request) {
        if self.is_cancelled().is_none() {
            let _ = self.reports.blocking_send(report);
        }
    }
}

#[cfg(test)]
impl Job {
    /// A job that nobody listens to.
    pub(crate) fn unheard() -> Self {
        let name = Bytes::from_static(b"x");
        let assignment = Assignment {
            handle: name.clone(),
            function: name.clone(),
            unique: name.clone(),
            reducer: Bytes::new(),
            payload: name,
        };
        let orders = Orders { stop: Stop::new(), activity: watch::Sender::default() };
        Self::new(assignment, mpsc::channel(1).0, Weak::new(), orders)
    }

    /// What pauses its worker.
    pub(crate) fn stop(&self) -> Stop {
        self.orders.stop.clone()
    }
}

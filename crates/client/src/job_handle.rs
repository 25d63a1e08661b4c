//! A job that was submitted, from the side of whoever waits for it.

use crate::error::{Error, ErrorKind, MayHaveRun};
use crate::inflight::{End, InFlight, JobKey};
use bytes::Bytes;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

/// What a job tells on its way, in the order in which server and worker said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A server has it and calls it this. Once more after every resubmission.
    Created(Bytes),
    /// Progress.
    Status {
        /// Parts done.
        numerator: u64,
        /// Parts in all.
        denominator: u64,
    },
    /// A part of the result.
    Data(Bytes),
    /// A warning.
    Warning(Bytes),
    /// It failed with this message; also the outcome.
    Exception(Bytes),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this result; parts sent as [`Update::Data`] are not in it.
    Complete(Bytes),
    /// The worker failed, and there is nothing to say about it.
    Failed,
    /// The worker failed with this message.
    Exception(Bytes),
    /// A background job: the server has it and calls it this.
    Accepted(Bytes),
}

/// A submitted job: a stream of [`Update`]s, and then the [`Outcome`].
///
/// Dropping it forgets the job: its room is given to another one and nothing of it is reported any more. A job that has
/// not left yet never does. A server that has the job already goes on with it, since the protocol cannot take a job back
/// (closing the connection would give up all foreground jobs of this client).
pub struct JobHandle {
    key: JobKey,
    in_flight: Arc<InFlight>,
    updates: mpsc::Receiver<Update>,
    outcome: oneshot::Receiver<End>,
    /// Keeps the tasks running as long as somebody waits for an outcome.
    _tasks: Arc<dyn Send + Sync>,
}

impl JobHandle {
    pub(crate) fn new(
        key: JobKey,
        in_flight: Arc<InFlight>,
        updates: mpsc::Receiver<Update>,
        outcome: oneshot::Receiver<End>,
        tasks: Arc<dyn Send + Sync>,
    ) -> Self {
        Self { key, in_flight, updates, outcome, _tasks: tasks }
    }

    /// The next update; none when the outcome is there. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// Waits for the end. Updates not taken by then are thrown away.
    ///
    /// # Errors
    /// There is no outcome. The error says which server, which job, and whether it may have run.
    pub async fn outcome(self) -> Result<Outcome, Error> {
        self.end().await.0
    }

    /// The same, and the server that had the job.
    pub(crate) async fn end(mut self) -> End {
        while self.next().await.is_some() {}
        let closed = Error { may_have_run: MayHaveRun::Perhaps, ..Error::new(ErrorKind::Closed) };
        (&mut self.outcome).await.unwrap_or((Err(closed), None))
    }
}

impl Stream for JobHandle {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        self.updates.poll_recv(context)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.in_flight.forget(self.key);
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("key", &self.key).finish_non_exhaustive()
    }
}

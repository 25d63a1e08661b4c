//! A job in the hands of a worker.

use bytes::Bytes;
use conveyor_common::protocol::Request;
use tokio::sync::mpsc;

/// Reports that may wait while the connection is busy.
const REPORTS: usize = 16;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this result.
    Complete(Bytes),
    /// It failed, and there is nothing to say about it.
    Fail,
    /// It failed with this message; clients that did not ask for exceptions see a failure.
    Exception(Bytes),
}

/// A job in the hands of a worker.
#[derive(Debug)]
pub struct Job {
    handle: Bytes,
    function: Bytes,
    unique: Bytes,
    payload: Bytes,
    sender: mpsc::Sender<Request>,
    receiver: Option<mpsc::Receiver<Request>>,
}

impl Job {
    pub(crate) fn new(handle: Bytes, function: Bytes, unique: Bytes, payload: Bytes) -> Self {
        let (sender, receiver) = mpsc::channel(REPORTS);
        Self { handle, function, unique, payload, sender, receiver: Some(receiver) }
    }

    /// What the job reports on its way. Once.
    pub(crate) fn reports(&mut self) -> mpsc::Receiver<Request> {
        self.receiver.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// The server's name for the job.
    #[must_use]
    pub const fn handle(&self) -> &Bytes {
        &self.handle
    }

    /// The function it was submitted to.
    #[must_use]
    pub const fn function(&self) -> &Bytes {
        &self.function
    }

    /// The key that tells it from others of its function; may be empty.
    #[must_use]
    pub const fn unique(&self) -> &Bytes {
        &self.unique
    }

    /// What to work on.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Reports progress: `numerator` of `denominator` parts are done.
    pub async fn progress(&self, numerator: u64, denominator: u64) {
        let number = |number: u64| Bytes::from(number.to_string());
        let (numerator, denominator) = (number(numerator), number(denominator));
        self.report(Request::WorkStatus { handle: self.handle.clone(), numerator, denominator }).await;
    }

    /// Sends a part of the result.
    pub async fn data(&self, payload: Bytes) {
        self.report(Request::WorkData { handle: self.handle.clone(), payload }).await;
    }

    /// Sends a warning.
    pub async fn warning(&self, payload: Bytes) {
        self.report(Request::WorkWarning { handle: self.handle.clone(), payload }).await;
    }

    async fn report(&self, report: Request) {
        // Nobody receives when the connection is lost: then the job is somebody else's already.
        let _ = self.sender.send(report).await;
    }
}

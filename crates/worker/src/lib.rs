//! A Gearman worker: registers functions with a server and runs them, one job at a time.
//!
//! ```no_run
//! use conveyor_worker::{Outcome, Worker};
//!
//! # async fn run() {
//! let worker = Worker::new("127.0.0.1:4730")
//!     .id("upper-1")
//!     .function("upper", |job| async move { Outcome::Complete(job.payload().to_ascii_uppercase().into()) });
//! worker.run().await;
//! # }
//! ```

mod connection;
mod job;
pub mod performer;

pub use job::{Job, Outcome};

use bytes::Bytes;
use connection::Connection;
use conveyor_common::protocol::{GrabForm, Request, Response};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::Duration;

/// Pause before the first new try to connect; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Function = Box<dyn Fn(Job) -> Running + Send + Sync>;

/// A worker of one server.
pub struct Worker {
    address: String,
    id: Option<Bytes>,
    functions: BTreeMap<Bytes, Function>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("address", &self.address)
            .field("id", &self.id)
            .field("functions", &self.functions.keys())
            .finish()
    }
}

impl Worker {
    /// A worker of the server at `address`, as `host:port`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), id: None, functions: BTreeMap::new() }
    }

    /// Names the worker in the server's `workers` list.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(Bytes::from(id.into()));
        self
    }

    /// Runs `function` for every job of that name.
    #[must_use]
    pub fn function<F, R>(mut self, name: &str, function: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let function: Function = Box::new(move |job| Box::pin(function(job)));
        self.functions.insert(Bytes::copy_from_slice(name.as_bytes()), function);
        self
    }

    /// Works until dropped; a lost server is looked for again.
    pub async fn run(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.work(&mut pause).await {
                Ok(()) => tracing::debug!(server = %self.address, "the server closed the connection"),
                Err(error) => tracing::debug!(server = %self.address, %error, "lost the server"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Works until the connection ends.
    async fn work(&self, pause: &mut Duration) -> io::Result<()> {
        let mut server = Connection::open(&self.address).await?;
        *pause = FIRST_PAUSE;
        if let Some(id) = &self.id {
            server.queue(&Request::SetClientId { id: id.clone() });
        }
        for name in self.functions.keys() {
            server.queue(&Request::CanDo { function: name.clone() });
        }
        server.queue(&Request::Grab(GrabForm::All));
        while let Some(response) = server.receive().await? {
            match response {
                Response::Noop => server.queue(&Request::Grab(GrabForm::All)),
                Response::NoJob => server.queue(&Request::PreSleep),
                Response::JobAssign { handle, function, payload } => {
                    self.perform(&mut server, Job::new(handle, function, Bytes::new(), payload)).await?;
                }
                Response::JobAssignUniq { handle, function, unique, payload }
                | Response::JobAssignAll { handle, function, unique, payload, .. } => {
                    self.perform(&mut server, Job::new(handle, function, unique, payload)).await?;
                }
                Response::Error { code, text } => {
                    tracing::debug!(?code, ?text, "the server refused a report");
                }
                other => tracing::debug!(packet = ?other.opcode(), "not for a worker"),
            }
        }
        Ok(())
    }

    /// Runs one job and reports; what it says on the way is sent at once.
    async fn perform(&self, server: &mut Connection, mut job: Job) -> io::Result<()> {
        let handle = job.handle().clone();
        let outcome = match self.functions.get(job.function()) {
            None => Outcome::Fail,
            Some(function) => {
                let mut reports = job.reports();
                let mut running = function(job);
                loop {
                    tokio::select! {
                        biased;
                        Some(report) = reports.recv() => {
                            server.queue(&report);
                            server.flush().await?;
                        }
                        outcome = &mut running => {
                            while let Ok(report) = reports.try_recv() {
                                server.queue(&report);
                            }
                            break outcome;
                        }
                    }
                }
            }
        };
        server.queue(&match outcome {
            Outcome::Complete(payload) => Request::WorkComplete { handle, payload },
            Outcome::Fail => Request::WorkFail { handle },
            Outcome::Exception(payload) => Request::WorkException { handle, payload },
        });
        server.queue(&Request::Grab(GrabForm::All));
        Ok(())
    }
}

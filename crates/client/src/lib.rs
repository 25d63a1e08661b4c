//! Talking to Gearman servers from outside: jobs ([`Client`], async) and the text admin protocol ([`admin`], blocking).
//!
//! A [`Client`] is a handle; one task a server owns the socket. What is submitted before a task runs again leaves in one
//! write, so [`Client::submit_all`] is the quick way for many jobs. A [`JobHandle`] gives typed [`Update`]s and then the
//! [`Outcome`]; an [`Error`] says which server, which job, and whether the job [may have run](MayHaveRun).
//!
//! # When a server is lost
//! - A job that has not left goes to another server, or waits until one can be reached ([`Options::give_up`]).
//! - A job that has left is submitted again if it has a [`Unique`] and [may be](Job::retries): the same server, if it
//!   still has the job, knows it by that. So it may run twice, where another server takes over.
//! - Every other job ends with an error that says that it may have run.
//! - A background job that the server has acknowledged is done with.
//!
//! # TLS
//! [`Options::tls`] with a [`Tls`]: servers prove who they are by a CA or by a pinned certificate, clients by a certificate
//! of their own where it is asked for. [`Stream`] is the connection itself, which workers use, too.
//!
//! # Runs
//! [`run`]: many tasks with one account of them, retries of what is left, a journal from which a killed client goes on, and a
//! report; `examples/run.rs`.
//!
//! # Limits
//! Jobs in flight, updates waiting for each, commands waiting for a server, the time for connecting, answering, and for
//! a consumer that does not take its updates: all in [`Options`].
//!
//! ```no_run
//! use conveyor_client::{Client, Job, Options, Unique};
//! use std::time::Duration;
//!
//! # async fn run() -> Result<(), conveyor_client::Error> {
//! let client = Client::connect(Options::new(["10.0.0.1:4730", "10.0.0.2:4730"]).in_flight(100)).await?;
//! let run = client.run(Duration::from_secs(60));
//! let jobs = (0..10_000).map(|n| Job::new("square", n.to_string()).unique(Unique::OfPayload));
//! for job in run.submit_all(jobs).await {
//!     match job?.outcome().await {
//!         Ok(outcome) => println!("{outcome:?}"),
//!         Err(error) => println!("{error}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod client;
mod connection;
mod error;
mod farm;
mod inflight;
mod job;
mod job_handle;
mod options;
mod pool;
pub mod run;
mod stream;
mod task;
mod tls;
mod typed;

pub use client::Client;
pub use connection::Status;
pub use conveyor_common::{Millis, Priority, UnixSeconds, payload};
pub use error::{Error, ErrorKind, JobName, MayHaveRun};
pub use job::{Job, Unique};
pub use job_handle::{JobHandle, Outcome, Update};
pub use options::Options;
pub use stream::Stream;
pub use tls::{Tls, TlsBuilder, TlsError};
pub use typed::{TaskHandle, TaskOutcome};

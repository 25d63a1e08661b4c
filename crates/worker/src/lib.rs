//! A Gearman worker: registers functions with one or several servers and runs them, some jobs at a time.
//!
//! ```no_run
//! use conveyor_worker::{Cancelled, Function, Job, Outcome, Worker};
//! use std::time::Duration;
//!
//! /// Sends a letter to everybody, as long as somebody wants it.
//! async fn mail(job: Job) -> Result<(), Cancelled> {
//!     for (number, _name) in (1..).zip(job.payload().split(|byte| *byte == b'\n')) {
//!         job.checkpoint().await?;
//!         job.progress(number, 1000).await;
//!     }
//!     Ok(())
//! }
//!
//! # async fn run() {
//! let limited = Function::blocking(|job| Outcome::Complete(job.payload().to_ascii_uppercase().into()))
//!     .timeout(Duration::from_secs(10));
//! let worker = Worker::new("127.0.0.1:4730")
//!     .server("127.0.0.1:4731")
//!     .jobs(8)
//!     .register("upper", limited)
//!     .function("mail", |job| async {
//!         match mail(job).await {
//!             Ok(()) => Outcome::Complete("sent".into()),
//!             Err(reason) => Outcome::Exception(reason.to_string().into()),
//!         }
//!     });
//! let stop = worker.stop_handle();
//! // Elsewhere, on a signal: stop.drain();
//! # drop(stop);
//! let why = worker.run().await;
//! println!("ended: {why:?}");
//! # }
//! ```

mod control;
mod error;
mod job;
mod layer;
mod link;
pub mod manager;
pub mod performer;
pub mod probe;
mod session;
mod stop;
pub mod supervise;
mod typed;
mod worker;

pub use control::{Control, WhenLost};
pub use conveyor_client::{Tls, TlsBuilder, TlsError};
pub use conveyor_common::payload;
pub use error::Cancelled;
pub use job::{Job, Outcome};
pub use layer::{Concurrency, Function, Handler, Layer, Retry, Running, Timeout, Trace};
pub use stop::{Ended, Stop};
pub use worker::Worker;

//! The client library against real servers: every behaviour beside Conveyor and Debian's gearmand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod failover;
mod jobs;
mod limits;
mod questions;
mod tls;

use conveyor_client::{Client, Job, Options, Outcome, Update};
use conveyor_worker::{Outcome as Work, Worker};
use std::future::Future;
use std::time::Duration;
use support::{PATIENCE, Server};
use tokio::task::AbortHandle;

/// Options for one server.
pub(crate) fn options(server: &Server) -> Options {
    Options::new([server.address.to_string()])
}

pub(crate) async fn connect(server: &Server) -> Client {
    Client::connect(options(server)).await.unwrap()
}

/// A worker that ends with its owner.
pub(crate) struct Hired(AbortHandle);

impl Drop for Hired {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a worker with every function of these tests.
pub(crate) fn hire(address: impl ToString) -> Hired {
    let worker = Worker::new(address.to_string())
        .function("echo", |job| async move { Work::Complete(job.payload().clone()) })
        .function("fail", |_| async { Work::Fail })
        .function("complain", |job| async move { Work::Exception(job.payload().clone()) })
        .function("talk", |job| async move {
            job.progress(1, 2).await;
            job.data("part").await;
            job.warning("careful").await;
            job.data("rest").await;
            Work::Complete("end".into())
        })
        .function("chatter", |job| async move {
            for number in 0..1000_u32 {
                job.data(number.to_string()).await;
            }
            Work::Complete("end".into())
        });
    Hired(tokio::spawn(async move { worker.run().await }).abort_handle())
}

/// Waits for `future`, not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("gave up waiting: {what}"))
}

/// Waits until `condition` holds, without blocking the tasks of the client.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let looking = async {
        while !condition() {
            looks.tick().await;
        }
    };
    soon(what, looking).await;
}

/// Submits a job and returns its outcome.
pub(crate) async fn outcome(client: &Client, job: Job) -> Result<Outcome, conveyor_client::Error> {
    soon("an outcome", async { client.submit(job).await?.outcome().await }).await
}

/// Submits a job and returns its updates but the first, which must be its handle, and its outcome.
pub(crate) async fn told(client: &Client, job: Job) -> (Vec<Update>, Outcome) {
    let mut job = client.submit(job).await.unwrap();
    let first = soon("the handle", job.next()).await;
    assert!(matches!(first, Some(Update::Created(_))), "{first:?}");
    let mut updates = Vec::new();
    while let Some(update) = soon("an update", job.next()).await {
        updates.push(update);
    }
    (updates, soon("the outcome", job.outcome()).await.unwrap())
}

/// Makes a test of each function, against Conveyor and against gearmand.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod conveyor {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Server::conveyor(&[])).await;
            })+
        }
        mod gearmand {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Server::gearmand(&[])).await;
            })+
        }
    };
}
pub(crate) use on_both;

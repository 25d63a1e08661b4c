//! Plain jobs: giving them to a server, asking after them, taking them back.

use super::config::PlainJob;
use conveyor_client::admin::Admin;
use conveyor_client::schedule::How;
use conveyor_client::{Client, Error, Job, MayHaveRun, Options, Outcome, Unique};
use conveyor_common::protocol::text::Command;
use std::time::Duration;

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a job was not submitted.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: String,
    /// It may have been accepted nevertheless.
    pub(super) perhaps: bool,
}

/// A connection to the first server that can be reached, and its name.
///
/// # Errors
/// What the last one said.
pub(super) async fn connect(servers: &[String]) -> Result<(Client, String), String> {
    let mut why = "no server is named".to_owned();
    for server in servers {
        let options =
            Options::new([server.as_str()]).connect_timeout(ANSWER).answer_timeout(ANSWER).give_up(ANSWER);
        match Client::connect(options).await {
            Ok(client) => return Ok((client, server.clone())),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Submits the job; the server's name for it.
pub(super) async fn submit(client: &Client, job: &PlainJob, unique: &str) -> Result<String, Refused> {
    let job = Job::new(job.function.clone(), job.body.clone())
        .background()
        .priority(job.priority)
        .unique(Unique::Given(unique.to_owned().into()))
        .deadline(ANSWER)
        .retries(0);
    let refused =
        |error: Error| Refused { why: error.to_string(), perhaps: error.may_have_run != MayHaveRun::No };
    match client.submit(job).await.map_err(refused)?.outcome().await.map_err(refused)? {
        Outcome::Accepted(handle) => Ok(String::from_utf8_lossy(&handle).into_owned()),
        other => {
            Err(Refused { why: format!("the server answered a background job by {other:?}"), perhaps: true })
        }
    }
}

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This server has it, queued or running.
    At(String),
    /// No server has it.
    Nowhere,
    /// Not all could be asked.
    Unsure,
}

/// Asks the servers for the job with this unique.
pub(super) async fn find(servers: &[String], unique: &str) -> Found {
    let mut otherwise = Found::Nowhere;
    for server in servers {
        let asked = match connect(std::slice::from_ref(server)).await {
            Ok((client, _)) => {
                client.status_unique(unique.as_bytes()).await.map_err(|error| error.to_string())
            }
            Err(why) => Err(why),
        };
        match asked {
            Ok(status) if status.known => return Found::At(server.clone()),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%server, %error, unique, "cannot ask after a job");
                otherwise = Found::Unsure;
            }
        }
    }
    otherwise
}

/// Takes the job back, if it is still queued.
pub(super) async fn cancel(server: &str, handle: &str, unique: &str) -> (How, String) {
    let left = |why: String| (How::LeftRunning, why);
    let servers = [server.to_owned()];
    let status = match connect(&servers).await {
        Ok((client, _)) => client.status_unique(unique.as_bytes()).await,
        Err(why) => return left(format!("{server} cannot be asked to take it back: {why}")),
    };
    match status {
        Ok(status) if !status.known => return (How::Done, String::new()),
        Ok(status) if status.running => {
            return left("a worker has it: a job that runs cannot be taken back".to_owned());
        }
        Ok(_) => {}
        Err(error) => return left(format!("{server} cannot be asked to take it back: {error}")),
    }
    let (server, command) = (server.to_owned(), Command::CancelJob(handle.to_owned().into()));
    let cancelled = tokio::task::spawn_blocking(move || {
        Admin::connect(&server, ANSWER).and_then(|mut admin| admin.line(&command))
    });
    match cancelled.await {
        Ok(Ok(_)) => (How::Stopped, "taken back from the queue".to_owned()),
        Ok(Err(error)) => left(format!("it cannot be taken back: {error}")),
        Err(error) => left(format!("it cannot be taken back: {error}")),
    }
}

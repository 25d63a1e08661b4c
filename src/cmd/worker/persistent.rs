//! `conveyor worker --persistent`: processes that are kept, and fed one job after another.

use super::{Verdict, context, relay};
use bytes::Bytes;
use clap::ValueEnum;
use conveyor_worker::performer::{Command, Hold, Keeping, Limits, Persistent, Reply};
use conveyor_worker::{Cancelled, Job, Outcome};
use std::time::Duration;
use tokio::sync::mpsc;

/// Options that have a meaning with `--persistent` only.
#[derive(Debug, clap::Args)]
pub(super) struct PersistentArgs {
    /// Keep the processes and feed each one job after another; the command speaks the protocol of docs/performer.md
    #[arg(long, requires = "command", conflicts_with_all = ["lines", "stripped_lines"])]
    pub(super) persistent: bool,

    /// What becomes of the job when its process crashes: back to the server, for another worker or the next process,
    /// or failed
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnCrash::Return, requires = "persistent")]
    on_crash: OnCrash,

    /// Replace a process after so many jobs
    #[arg(long, value_name = "N", requires = "persistent", value_parser = clap::value_parser!(u32).range(1..))]
    max_jobs_per_process: Option<u32>,

    /// Milliseconds a new process may take to say that it is ready
    #[arg(long, value_name = "MS", default_value_t = 10_000, requires = "persistent")]
    handshake_ms: u64,
}

/// What becomes of a job whose process crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnCrash {
    Return,
    Fail,
}

/// The processes, and what all jobs have in common.
pub(super) struct Performer {
    processes: Persistent,
    on_crash: OnCrash,
    exceptions: bool,
}

impl Performer {
    pub(super) fn new(args: &super::Args, command: Command, limits: Limits) -> Self {
        let own = &args.persistent;
        let keeping = Keeping {
            processes: args.jobs as usize,
            handshake: Duration::from_millis(own.handshake_ms),
            jobs_per_process: own.max_jobs_per_process,
        };
        let processes = Persistent::new(command, limits, keeping);
        Self { processes, on_crash: own.on_crash, exceptions: args.exceptions }
    }

    /// Gives a process one job, and hands on what it reports.
    pub(super) async fn perform(&self, job: Job) -> Outcome {
        let (sender, reports) = mpsc::channel(16);
        // Whoever stops at once does not wait for it to finish; what was lost may end by itself.
        let given_up = async {
            job.cancelled().await;
        };
        let context = context(&job);
        let hold = Hold::default();
        let payload = job.payload().clone();
        let performing = self.processes.perform_held(&context, payload, sender, given_up, &hold);
        let reply = tokio::select! {
            (reply, ()) = async { tokio::join!(performing, relay(&job, reports)) } => reply,
            never = job.hold(|held| hold.set(held)) => match never {},
            () = stopped(&job) => Reply::GivenUp,
        };
        let verdict = Verdict { job: &job, exceptions: self.exceptions };
        match reply {
            Reply::Complete(result) => Outcome::Complete(result),
            Reply::Fail(text) => {
                if !text.is_empty() {
                    job.warning(text).await;
                }
                Outcome::Fail
            }
            Reply::Exception(message) => verdict.failed(message).await,
            Reply::Stopped(failure) => {
                verdict.log(&failure);
                verdict.failed(Bytes::from(failure.to_string())).await
            }
            Reply::Crashed { failure, pause } => {
                // Without a client to tell, the log is where the operator sees it.
                tracing::error!(job = %verdict.name(), %failure, "a process crashed");
                match self.on_crash {
                    OnCrash::Return => Outcome::Return { pause },
                    OnCrash::Fail => verdict.failed(Bytes::from(failure.to_string())).await,
                }
            }
            Reply::GivenUp => Outcome::Fail,
        }
    }

    /// Lets the processes end.
    pub(super) async fn close(&self) {
        self.processes.close().await;
    }
}

/// Ends when the worker was told to stop at once.
async fn stopped(job: &Job) {
    if job.cancelled().await != Cancelled::Stopped {
        std::future::pending::<()>().await;
    }
}

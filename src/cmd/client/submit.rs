//! Submits jobs and writes what comes of them, in the order of the jobs.

use super::args::Submit;
use super::input::Payloads;
use super::output::{Ending, Text, Writer};
use bytes::Bytes;
use conveyor_client::{Client, Error, Job, JobHandle, Options, Unique};
use conveyor_common::Priority;
use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;

/// Exit code when a job has no outcome.
const NO_OUTCOME: u8 = 3;

/// How long a job's updates may wait while this process writes those of others.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Updates of a job that may wait.
const UPDATES: usize = 64;

/// Payloads read before they can be submitted.
const READ_AHEAD: usize = 16;

/// How many jobs ended how.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    done: u64,
    failed: u64,
    unknown: u64,
}

impl Counts {
    const fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Done => self.done += 1,
            Ending::Failed => self.failed += 1,
            Ending::Unknown => self.unknown += 1,
        }
    }

    fn code(self) -> ExitCode {
        match (self.unknown, self.failed) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::FAILURE,
            _ => ExitCode::from(NO_OUTCOME),
        }
    }
}

/// Runs `conveyor client submit`.
pub(super) fn run(args: &Submit) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    match runtime.block_on(submit_all(args)) {
        Ok(counts) => {
            if args.verbose {
                let Counts { done, failed, unknown } = counts;
                eprintln!(
                    "{} jobs: {done} done, {failed} failed, {unknown} without outcome",
                    done + failed + unknown
                );
            }
            counts.code()
        }
        Err(Stop::Message(message)) => complain(&message),
        Err(Stop::Usage(message)) => {
            complain(&message);
            ExitCode::from(2)
        }
        // Whoever reads has seen enough.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(Stop::Output(error)) => complain(&format!("cannot write: {error}")),
    }
}

fn complain(message: &str) -> ExitCode {
    eprintln!("conveyor client submit: {message}");
    ExitCode::from(NO_OUTCOME)
}

/// Why it ends early.
enum Stop {
    /// Options that are of no use.
    Usage(String),
    Message(String),
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What comes of one job, piece by piece, its ending last.
type Pieces = mpsc::Receiver<Piece>;

enum Piece {
    Text(Text),
    End(Ending),
}

async fn submit_all(args: &Submit) -> Result<Counts, Stop> {
    let mut options =
        Options::new(args.servers.addresses()).in_flight(args.in_flight as usize).updates(UPDATES, PATIENCE);
    if let Some(tls) = args.servers.tls().map_err(Stop::Usage)? {
        options = options.tls(tls);
    }
    let client = Client::connect(options).await.map_err(|error| {
        Stop::Message(format!("{error}\nIs a job server running there? `conveyor server` starts one."))
    })?;
    let payloads = read(Payloads::open(args).map_err(Stop::Message)?);
    let (submitted, jobs) = mpsc::channel(args.in_flight as usize);
    let mut submitting = std::pin::pin!(submit(args, &client, payloads, submitted));
    let mut writing = std::pin::pin!(write(jobs));
    let submitted = tokio::select! {
        submitted = &mut submitting => submitted,
        // Before the last job it ends by an error only.
        written = &mut writing => return written,
    };
    let counts = writing.await?;
    submitted.map_err(Stop::Message)?;
    Ok(counts)
}

/// Reads payloads on a thread of its own: standard input may keep it waiting.
fn read(mut payloads: Payloads) -> mpsc::Receiver<Result<Bytes, String>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    // It ends with its input, or with the process: nobody need wait for what will not be submitted.
    std::thread::spawn(move || {
        while let Some(payload) = payloads.next().transpose() {
            let last = payload.is_err();
            if sender.blocking_send(payload).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// Submits every payload to every function, as many at a time as may be in flight.
async fn submit(
    args: &Submit,
    client: &Client,
    mut payloads: mpsc::Receiver<Result<Bytes, String>>,
    submitted: mpsc::Sender<Pieces>,
) -> Result<(), String> {
    let mut number = 0;
    while let Some(payload) = payloads.recv().await {
        let payload = payload?;
        for function in &args.functions {
            number += 1;
            let writer = Writer {
                number,
                function: function.clone(),
                json: args.json,
                prefix: args.prefix,
                verbose: args.verbose,
            };
            let handle = client.submit(job(args, function, payload.clone())).await;
            let (sender, pieces) = mpsc::channel(1);
            tokio::spawn(relay(writer, handle, sender));
            if submitted.send(pieces).await.is_err() {
                // Writing has failed, and says why.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Hands on what a job says. While another job is written it is kept here: the connection, which all share, must not
/// wait.
async fn relay(writer: Writer, handle: Result<JobHandle, Error>, to: mpsc::Sender<Piece>) {
    let outcome = match handle {
        Err(error) => Err(error),
        Ok(mut handle) => {
            let mut kept = VecDeque::new();
            let mut running = true;
            while running || !kept.is_empty() {
                tokio::select! {
                    update = handle.next(), if running => match update {
                        Some(update) => kept.extend(writer.update(&update)),
                        None => running = false,
                    },
                    permit = to.reserve(), if !kept.is_empty() => match (permit, kept.pop_front()) {
                        (Ok(permit), Some(text)) => permit.send(Piece::Text(text)),
                        _ => return,
                    },
                }
            }
            handle.outcome().await
        }
    };
    let (ending, text) = writer.outcome(&outcome);
    for piece in text.map(Piece::Text).into_iter().chain([Piece::End(ending)]) {
        if to.send(piece).await.is_err() {
            return;
        }
    }
}

/// Writes one job after the other.
async fn write(mut jobs: mpsc::Receiver<Pieces>) -> Result<Counts, Stop> {
    let mut counts = Counts::default();
    while let Some(mut pieces) = jobs.recv().await {
        let mut ending = Ending::Unknown;
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Text(text) => text.write()?,
                Piece::End(end) => ending = end,
            }
        }
        counts.count(ending);
    }
    Ok(counts)
}

fn job(args: &Submit, function: &str, payload: Bytes) -> Job {
    let priority = match (args.high, args.low) {
        (true, _) => Priority::High,
        (_, true) => Priority::Low,
        _ => args.priority.unwrap_or(Priority::Normal),
    };
    let mut job = Job::new(Bytes::copy_from_slice(function.as_bytes()), payload).priority(priority);
    if args.background {
        job = job.background();
    }
    if let Some(at) = args.at {
        job = job.at(at.seconds());
    }
    if let Some(limit) = args.timeout_ms {
        job = job.deadline(Duration::from_millis(limit));
    }
    match &args.unique {
        Some(unique) => job.unique(Unique::Given(Bytes::copy_from_slice(unique.as_bytes()))),
        None if args.unique_by_payload => job.unique(Unique::OfPayload),
        None => job,
    }
}

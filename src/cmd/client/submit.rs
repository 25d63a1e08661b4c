//! Submits jobs and writes what comes of them, in the order of the jobs.

use super::args::Submit;
use super::input::Payloads;
use super::live::Live;
use super::output::Writer;
use super::relay::{self, Piece, Relay, To};
use super::summary::{NO_OUTCOME, Summary};
use crate::cmd::pid_file::PidFile;
use bytes::Bytes;
use conveyor_client::{Client, Job, Options, Unique};
use conveyor_common::Priority;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// How long a job's updates may wait while this process writes those of others.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Updates of a job that may wait.
const UPDATES: usize = 64;

/// A run that is over before leaves no trace of a view.
const SHOWN_AFTER: Duration = Duration::from_millis(400);

/// Payloads read before they can be submitted.
const READ_AHEAD: usize = 16;

/// Runs `conveyor client submit`.
pub(super) fn run(args: &Submit) -> ExitCode {
    let _pid_file = match args.pid_file.as_deref().map(PidFile::write).transpose() {
        Ok(file) => file,
        Err(message) => return complain(&message),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    let start = Instant::now();
    let live = Arc::new(Live::new(args));
    let submitted = runtime.block_on(submit_all(args, &live));
    live.finish();
    match submitted {
        Ok(summary) => {
            if args.verbose || (live.is_wanted() && summary.jobs() > 1) {
                eprintln!("{}", summary.line(start.elapsed()));
            }
            if args.wait && (args.background || args.at.is_some()) && !args.quiet && !args.json {
                eprintln!(
                    "Background jobs leave no outcome with the server: only their workers know how they ended."
                );
            }
            summary.code()
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

async fn submit_all(args: &Submit, live: &Arc<Live>) -> Result<Summary, Stop> {
    let mut options =
        Options::new(args.servers.addresses()).in_flight(args.in_flight as usize).updates(UPDATES, PATIENCE);
    if let Some(tls) = args.servers.tls().map_err(Stop::Usage)? {
        options = options.tls(tls);
    }
    let client = Client::connect(options).await.map_err(|error| {
        Stop::Message(format!("{error}\nIs a job server running there? `conveyor server` starts one."))
    })?;
    let payloads = Payloads::open(args).map_err(Stop::Message)?;
    if let Some(total) = payloads.count(args.functions.len()) {
        live.total(total);
    } else if live.is_wanted() {
        count_lines(args, live);
    }
    let relay = Arc::new(Relay {
        client,
        live: Arc::clone(live),
        wait: args.wait,
        limit: args.timeout_ms.map(Duration::from_millis),
    });
    let (submitted, jobs) = mpsc::channel(args.in_flight as usize);
    let mut submitting = std::pin::pin!(submit(args, &relay, read(payloads), submitted));
    let mut writing = std::pin::pin!(write(jobs, live));
    let mut until_shown = std::pin::pin!(tokio::time::sleep(SHOWN_AFTER));
    let (mut shown, mut all_submitted) = (false, None);
    loop {
        tokio::select! {
            submitted = &mut submitting, if all_submitted.is_none() => all_submitted = Some(submitted),
            written = &mut writing => {
                // Before the last job is submitted it ends by an error only.
                let summary = written?;
                all_submitted.unwrap_or(Ok(())).map_err(Stop::Message)?;
                return Ok(summary);
            }
            () = &mut until_shown, if !shown => {
                live.show();
                shown = true;
            }
        }
    }
}

/// Counts the lines of a plain file for the view. What cannot be counted has no total.
fn count_lines(args: &Submit, live: &Arc<Live>) {
    let Some(path) = args.file.clone().filter(|path| path.is_file()) else { return };
    let (functions, live) = (args.functions.len(), Arc::clone(live));
    // It ends with the file, or with the process.
    std::thread::spawn(move || {
        if let Ok(lines) = super::input::lines(&path) {
            live.total(lines.saturating_mul(functions as u64));
        }
    });
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

/// Submits every payload to every function, as many at a time as may be under way.
async fn submit(
    args: &Submit,
    relay: &Arc<Relay>,
    mut payloads: mpsc::Receiver<Result<Bytes, String>>,
    submitted: mpsc::Sender<relay::Job>,
) -> Result<(), String> {
    let all_room = Arc::new(Semaphore::new(args.in_flight as usize));
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
                quiet: args.quiet,
            };
            // Nobody closes the semaphore.
            let Ok(room) = Arc::clone(&all_room).acquire_owned().await else { return Ok(()) };
            relay.live.submitted();
            let handle = relay.client.submit(job(args, function, payload.clone())).await;
            let to = if args.unordered {
                To::Ended(submitted.clone(), room)
            } else {
                let (sender, pieces) = mpsc::channel(1);
                if submitted.send(relay::Job { pieces, _room: room }).await.is_err() {
                    // Writing has failed, and says why.
                    return Ok(());
                }
                To::Pieces(sender)
            };
            tokio::spawn(Arc::clone(relay).run(writer, handle, to));
        }
    }
    Ok(())
}

/// Writes one job after the other.
async fn write(mut jobs: mpsc::Receiver<relay::Job>, live: &Live) -> Result<Summary, Stop> {
    let mut summary = Summary::default();
    while let Some(mut job) = jobs.recv().await {
        while let Some(piece) = job.pieces.recv().await {
            match piece {
                Piece::Text(text) => live.write(text)?,
                Piece::End { number, ending, took } => summary.count(number, ending, took),
            }
        }
    }
    Ok(summary)
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

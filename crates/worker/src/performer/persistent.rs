//! Processes that are kept, and fed one job after another.
//!
//! Each has a seat; there are as many seats as jobs at a time. A process starts when a job needs it, and stays. What
//! it may say, and how, is in [`frames`](super::frames) and docs/performer.md. A seat whose processes crash waits
//! before it starts the next one.

use super::hold::Hold;
use super::kept::{Answer, Kept, Trouble};
use super::process::{Command, Context, Limits};
use super::reports::Report;
use super::{Failure, Reason};
use bytes::Bytes;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Pause after the first crash; doubled with each up to [`LONGEST_PAUSE`], until a job was answered.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause after a crash.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How processes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Most processes, and so most jobs at a time; at least one.
    pub processes: usize,
    /// How long a new process may take to say that it is ready.
    pub handshake: Duration,
    /// Jobs after which a process is replaced.
    pub jobs_per_process: Option<u32>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { processes: 1, handshake: Duration::from_secs(10), jobs_per_process: None }
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done, with this result.
    Complete(Bytes),
    /// It has failed; what the command says about it may be empty.
    Fail(Bytes),
    /// It has failed by an exception with this message.
    Exception(Bytes),
    /// It took too long or its answer was too large, and the process was stopped: the job has failed.
    Stopped(Failure),
    /// The process has crashed, has broken the protocol or could not be started: the job is not done.
    Crashed {
        /// Why, and the last words of the process.
        failure: Failure,
        /// How long no process starts in its place.
        pause: Duration,
    },
    /// Nobody waits for it any more.
    GivenUp,
}

/// A command with the processes that run it. Dropping it kills them; [`Persistent::close`] lets them end.
#[derive(Debug)]
pub struct Persistent {
    command: Command,
    limits: Limits,
    keeping: Keeping,
    /// Those in use are with their jobs; `free` says how many are not.
    seats: Mutex<Vec<Seat>>,
    free: Semaphore,
}

/// The place of one process.
#[derive(Debug, Default)]
struct Seat {
    process: Option<Kept>,
    /// The one before, while it ends.
    ending: JoinSet<()>,
    /// Crashes since the last answer.
    crashes: u32,
    /// When the next process may start.
    not_before: Option<Instant>,
}

/// A seat in use, put back when dropped.
struct Taken<'a> {
    seat: Seat,
    persistent: &'a Persistent,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.persistent.locked().push(std::mem::take(&mut self.seat));
    }
}

impl Persistent {
    /// Starts nothing yet. [`Limits::timeout`] and [`Limits::output_bytes`] hold for each job and message,
    /// [`Limits::memory_bytes`] and [`Limits::cpu_seconds`] for the life of a process. [`Command::output`] has no meaning
    /// here.
    #[must_use]
    pub fn new(command: Command, limits: Limits, keeping: Keeping) -> Self {
        let processes = keeping.processes.clamp(1, Semaphore::MAX_PERMITS);
        let seats = Mutex::new(std::iter::repeat_with(Seat::default).take(processes).collect());
        Self { command, limits, keeping, seats, free: Semaphore::new(processes) }
    }

    /// Has a job done. What the command reports on the way goes to `reports`; while nobody takes it, the command
    /// waits. When `given_up` ends, the process has [`Limits::grace`] to finish for nobody, and is stopped then.
    /// Dropping the future kills the process and all that it started.
    pub async fn perform(
        &self,
        context: &Context,
        payload: Bytes,
        reports: mpsc::Sender<Report>,
        given_up: impl Future<Output = ()>,
    ) -> Reply {
        self.perform_held(context, payload, reports, given_up, &Hold::default()).await
    }

    /// [`Persistent::perform`] with a process that may be held meanwhile, which does not count for [`Limits::timeout`].
    pub async fn perform_held(
        &self,
        context: &Context,
        payload: Bytes,
        reports: mpsc::Sender<Report>,
        given_up: impl Future<Output = ()>,
        hold: &Hold,
    ) -> Reply {
        let mut given_up = pin!(given_up);
        let mut taken = tokio::select! {
            taken = self.seat() => taken,
            () = &mut given_up => return Reply::GivenUp,
        };
        loop {
            let started = tokio::select! {
                started = self.process(&mut taken.seat) => started,
                () = &mut given_up => return Reply::GivenUp,
            };
            let mut process = match started {
                Ok(process) => process,
                Err(failure) => return taken.seat.crashed(failure),
            };
            let is_new = process.jobs == 0;
            let group = process.group();
            let patience = async {
                let limit = hold.limit(&group, self.limits.timeout);
                let grace = async {
                    given_up.as_mut().await;
                    sleep(self.limits.grace).await;
                };
                tokio::select! {
                    () = limit => Reason::TimedOut,
                    () = grace => Reason::TimedOut,
                }
            };
            let answered = tokio::select! {
                answered = process.perform(context, payload.clone(), &reports) => answered,
                reason = patience => {
                    return Reply::Stopped(process.stop(reason, self.limits.grace).await);
                }
            };
            return match answered {
                Ok(answer) => {
                    self.put_back(&mut taken.seat, process);
                    match answer {
                        Answer::Complete(result) => Reply::Complete(result),
                        Answer::Fail(text) => Reply::Fail(text),
                        Answer::Exception(text) => Reply::Exception(text),
                    }
                }
                // It ended by itself between two jobs.
                Err(Trouble { untouched: true, .. }) if !is_new => continue,
                Err(Trouble { reason: Reason::TooMuchOutput, .. }) => {
                    Reply::Stopped(process.kill(Reason::TooMuchOutput).await)
                }
                Err(Trouble { reason, .. }) => taken.seat.crashed(process.kill(reason).await),
            };
        }
    }

    /// Lets every process end that waits for a job: each is told, gets TERM after [`Limits::grace`], and KILL after
    /// another. For when the jobs have ended.
    pub async fn close(&self) {
        let seats: Vec<Seat> = self.locked().iter_mut().map(std::mem::take).collect();
        let mut all = JoinSet::new();
        let grace = self.limits.grace;
        for mut seat in seats {
            all.spawn(async move {
                if let Some(process) = seat.process.take() {
                    process.end(grace).await;
                }
                while seat.ending.join_next().await.is_some() {}
            });
        }
        while all.join_next().await.is_some() {}
    }

    /// A free seat: one with a process, else the one that may start one first.
    async fn seat(&self) -> Taken<'_> {
        // Nobody closes the semaphore.
        let permit = self.free.acquire().await.ok();
        let mut seats = self.locked();
        let with_process = seats.iter().rposition(|seat| seat.process.is_some());
        let chosen = with_process.or_else(|| {
            let by_time = seats.iter().enumerate().min_by_key(|(_, seat)| seat.not_before);
            by_time.map(|(at, _)| at)
        });
        let seat = chosen.map(|at| seats.swap_remove(at)).unwrap_or_default();
        drop(seats);
        Taken { seat, persistent: self, _permit: permit }
    }

    /// The process of the seat, or a new one.
    async fn process(&self, seat: &mut Seat) -> Result<Kept, Failure> {
        if let Some(mut process) = seat.process.take() {
            if process.is_ready() {
                return Ok(process);
            }
            // Dropped, which kills what is left of it.
            tracing::debug!("a process has ended between two jobs, or spoken out of turn");
        }
        while seat.ending.join_next().await.is_some() {}
        if let Some(not_before) = seat.not_before {
            sleep_until(not_before).await;
        }
        Kept::start(&self.command, &self.limits, self.keeping.handshake).await
    }

    fn put_back(&self, seat: &mut Seat, process: Kept) {
        (seat.crashes, seat.not_before) = (0, None);
        if self.keeping.jobs_per_process.is_some_and(|most| process.jobs >= most) {
            seat.ending.spawn(process.end(self.limits.grace));
        } else {
            seat.process = Some(process);
        }
    }

    /// No holder can panic in between.
    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn crashed(&mut self, failure: Failure) -> Reply {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.crashes.min(10));
        let pause = doubled.min(LONGEST_PAUSE);
        self.crashes = self.crashes.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        Reply::Crashed { failure, pause }
    }
}

//! One persistent process: started once, fed job after job, ended.

use super::frames::{self, Frames, Malformed, Message};
use super::group::Group;
use super::noise::Noise;
use super::process::{Command, Context, Limits, reason};
use super::reports::Report;
use super::{Failure, Reason};
use bytes::{Buf, Bytes};
use command_fds::{CommandFdExt, FdMapping};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The descriptor a command writes its messages to.
const MESSAGES_FD: i32 = 3;

/// The descriptor a command reads its jobs from.
const JOBS_FD: i32 = 4;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// How long the last words of a process that has ended, or the end of one that has closed its descriptor, may take.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// How a command answered a job.
#[derive(Debug)]
pub(super) enum Answer {
    Complete(Bytes),
    Fail(Bytes),
    Exception(Bytes),
}

/// Why a job has no answer.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) reason: Reason,
    /// The process has not read a byte of the job: it had gone before, and another may have the job.
    pub(super) untouched: bool,
}

/// The side of a process that speaks.
#[derive(Debug)]
struct Voice {
    child: Child,
    from: pipe::Receiver,
    frames: Frames,
    ended: Option<ExitStatus>,
}

/// A process that waits for a job, or has one.
#[derive(Debug)]
pub(super) struct Kept {
    voice: Voice,
    group: Arc<Group>,
    to: pipe::Sender,
    noise: Noise,
    /// Jobs answered.
    pub(super) jobs: u32,
    /// Every job was read to its end.
    in_step: bool,
}

impl Kept {
    /// Starts a process and waits until it is ready.
    pub(super) async fn start(
        command: &Command,
        limits: &Limits,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let mut kept = Self::spawn(command, limits).map_err(|error| Failure {
            reason: Reason::NotStarted(error.to_string()),
            stderr: Bytes::new(),
        })?;
        let reason = match timeout(patience, kept.voice.message()).await {
            Ok(Ok(Message::Ready)) => return Ok(kept),
            Ok(Ok(other)) => Reason::Malformed(Malformed::OutOfPlace(word(&other))),
            Ok(Err(reason)) => reason,
            Err(_) => Reason::NotReady(patience),
        };
        Err(kept.kill(reason).await)
    }

    fn spawn(command: &Command, limits: &Limits) -> io::Result<Self> {
        let (messages, to_us) = io::pipe()?;
        let (from_us, jobs) = io::pipe()?;
        let mut prepared = command.prepared();
        prepared
            .env("CONVEYOR_PERSISTENT", frames::VERSION.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mappings = vec![
            FdMapping { parent_fd: to_us.into(), child_fd: MESSAGES_FD },
            FdMapping { parent_fd: from_us.into(), child_fd: JOBS_FD },
        ];
        prepared.fd_mappings(mappings).map_err(io::Error::other)?;
        let mut child = tokio::process::Command::from(prepared).kill_on_drop(true).spawn()?;
        let group = Arc::new(Group::of(&child));
        group.apply(limits)?;
        let noise = Noise::of(&mut child, limits.stderr_bytes);
        let from = pipe::Receiver::from_owned_fd(messages.into())?;
        let to = pipe::Sender::from_owned_fd(jobs.into())?;
        let voice = Voice { child, from, frames: Frames::new(limits.output_bytes), ended: None };
        Ok(Self { voice, group, to, noise, jobs: 0, in_step: true })
    }

    /// All that it started, to be held.
    pub(super) fn group(&self) -> Arc<Group> {
        self.group.clone()
    }

    /// Whether it can have a job: it runs, has read all of the last one, and said nothing since its answer.
    pub(super) fn is_ready(&mut self) -> bool {
        let quiet =
            self.voice.frames.is_empty() && ioctl_fionread(&self.voice.from).is_ok_and(|said| said == 0);
        self.in_step && quiet && matches!(self.voice.child.try_wait(), Ok(None))
    }

    /// Gives it a job and waits for the answer.
    pub(super) async fn perform(
        &mut self,
        context: &Context,
        payload: Bytes,
        reports: &mpsc::Sender<Report>,
    ) -> Result<Answer, Trouble> {
        self.noise.forget();
        let mut frame = frames::job(context, payload.len()).chain(payload);
        let (mut written, mut listens) = (0, true);
        let answer = loop {
            tokio::select! {
                message = self.voice.message() => match message {
                    Ok(Message::Progress { numerator, denominator }) => {
                        // Nobody listens any more.
                        let _ = reports.send(Report::Progress { numerator, denominator }).await;
                    }
                    Ok(Message::Data(data)) => drop(reports.send(Report::Data(data)).await),
                    Ok(Message::Warning(text)) => drop(reports.send(Report::Warning(text)).await),
                    Ok(Message::Complete(result)) => break Ok(Answer::Complete(result)),
                    Ok(Message::Fail(text)) => break Ok(Answer::Fail(text)),
                    Ok(Message::Exception(text)) => break Ok(Answer::Exception(text)),
                    Ok(Message::Ready) => break Err(Reason::Malformed(Malformed::OutOfPlace("ready"))),
                    Err(reason) => break Err(reason),
                },
                wrote = self.to.write_buf(&mut frame), if listens && frame.has_remaining() => match wrote {
                    Ok(bytes) => written += bytes as u64,
                    Err(_) => listens = false,
                },
            }
        };
        let unread = ioctl_fionread(&self.to).ok();
        // It would take the rest of this job for the next one.
        self.in_step = !frame.has_remaining() && unread == Some(0);
        self.jobs = self.jobs.saturating_add(u32::from(answer.is_ok()));
        let gone = self.voice.ended.is_some();
        answer.map_err(|reason| Trouble { reason, untouched: gone && unread == Some(written) })
    }

    /// Lets it end: it is told to stop, gets TERM after `grace`, and KILL after another.
    pub(super) async fn end(self, grace: Duration) {
        let Self { mut voice, group, mut to, noise: _noise, .. } = self;
        let told = async {
            // Who has gone already need not be told.
            let _ = to.write_all(frames::STOP).await;
            drop(to);
            voice.child.wait().await
        };
        if timeout(grace, told).await.is_err() {
            group.signal(Signal::TERM);
            let _ = timeout(grace, voice.child.wait()).await;
        }
    }

    /// Stops it with all it started: TERM, and KILL after `grace`.
    pub(super) async fn stop(mut self, reason: Reason, grace: Duration) -> Failure {
        self.group.signal(Signal::TERM);
        // Whoever does not go in time is killed.
        let _ = timeout(grace, self.voice.child.wait()).await;
        self.kill(reason).await
    }

    /// Ends it and all it started at once.
    pub(super) async fn kill(self, reason: Reason) -> Failure {
        let Self { mut voice, group, noise, .. } = self;
        group.signal(Signal::KILL);
        let _ = timeout(LEFTOVERS, voice.child.wait()).await;
        Failure { reason, stderr: noise.last(LEFTOVERS).await }
    }
}

impl Voice {
    /// The next message. Dropping the future loses nothing.
    async fn message(&mut self) -> Result<Message, Reason> {
        loop {
            match self.frames.take() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(Malformed::TooLarge { .. }) => return Err(Reason::TooMuchOutput),
                Err(malformed) => return Err(Reason::Malformed(malformed)),
            }
            let input = self.frames.input();
            input.reserve(READ_BYTES);
            if let Some(status) = self.ended {
                // What it said last may still be on its way.
                match timeout(LEFTOVERS, self.from.read_buf(input)).await {
                    Ok(Ok(1..)) => continue,
                    _ => return Err(reason(status).unwrap_or(Reason::Code(0))),
                }
            }
            tokio::select! {
                read = self.from.read_buf(input) => if !matches!(read, Ok(1..)) {
                    match timeout(LEFTOVERS, self.child.wait()).await {
                        Ok(status) => self.ended = Some(status.map_err(|error| Reason::Lost(error.to_string()))?),
                        Err(_) => return Err(Reason::Malformed(Malformed::Closed)),
                    }
                },
                status = self.child.wait() => {
                    self.ended = Some(status.map_err(|error| Reason::Lost(error.to_string()))?);
                }
            }
        }
    }
}

/// How a message begins.
const fn word(message: &Message) -> &'static str {
    match message {
        Message::Ready => "ready",
        Message::Progress { .. } => "progress",
        Message::Data(_) => "data",
        Message::Warning(_) => "warning",
        Message::Complete(_) => "complete",
        Message::Fail(_) => "fail",
        Message::Exception(_) => "exception",
    }
}

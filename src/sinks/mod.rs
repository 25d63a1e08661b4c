//! Who is told how a run went: files, mailboxes, web servers and commands, as the configuration has it.
//!
//! All sinks of a notice work at the same time, each in a thread of its own and for a limited time: one that fails or
//! hangs keeps no other from its work.

mod command;
mod config;
mod log;
mod mail;
mod process;
mod webhook;

pub(crate) use config::{Attention, Notify};

use config::When;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// What there is to tell about a run.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// The run.
    pub(crate) run: String,
    /// The client it is a run of, as in its configuration.
    pub(crate) name: String,
    /// One line.
    pub(crate) subject: String,
    /// Whether all went well.
    pub(crate) ok: bool,
    /// The report, for people.
    pub(crate) text: String,
    /// The report, for programs.
    pub(crate) json: serde_json::Value,
}

impl Notice {
    const fn outcome(&self) -> &'static str {
        if self.ok { "ok" } else { "failed" }
    }
}

/// What became of a notice at one sink.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Which sink, for people; nothing secret.
    pub(crate) sink: String,
    /// Why it did not get there.
    pub(crate) outcome: Result<(), String>,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(()) => write!(f, "{}: delivered", self.sink),
            Err(why) => write!(f, "{}: failed: {why}", self.sink),
        }
    }
}

/// The sinks of a client.
#[derive(Debug)]
pub(crate) struct Sinks {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    when: When,
    limit: Duration,
    sink: Arc<Sink>,
}

#[derive(Debug)]
enum Sink {
    Log(log::Log),
    Mail(mail::Mail),
    Webhook(webhook::Webhook),
    Command(command::Command),
}

impl Sinks {
    /// The sinks that `notify` lists, without those that `attention` leaves out.
    ///
    /// # Errors
    /// What is wrong, with the number of the entry.
    pub(crate) fn from_config(attention: Option<Attention>, notify: &[Notify]) -> Result<Self, String> {
        if let Some(attention) = attention {
            attention.check(notify)?;
        }
        let attention = attention.unwrap_or_default();
        let mut entries = Vec::new();
        for (number, notify) in (1..).zip(notify) {
            let sink = notify.sink().map_err(|why| format!("notify entry {number}: {why}"))?;
            // What is wrong with one that is left out is told all the same.
            if attention.admits(notify) {
                let (when, limit) = notify.terms();
                entries.push(Entry { when, limit, sink: Arc::new(sink) });
            }
        }
        Ok(Self { entries })
    }

    /// Tells all sinks that want to know how such a run went, and waits until they have done it or their time is up.
    pub(crate) fn deliver(&self, notice: &Notice) -> Vec<Delivery> {
        self.tell(notice, |when| when.wants(notice.ok))
    }

    /// As [`Sinks::deliver`], but to all of them, whatever they want to know.
    pub(crate) fn deliver_to_all(&self, notice: &Notice) -> Vec<Delivery> {
        self.tell(notice, |_| true)
    }

    fn tell(&self, notice: &Notice, wanted: impl Fn(When) -> bool) -> Vec<Delivery> {
        let notice = Arc::new(notice.clone());
        let begun: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| wanted(entry.when))
            .map(|entry| entry.begin(&notice))
            .collect();
        begun.into_iter().map(|waiting| waiting()).collect()
    }
}

/// Beyond its limit a sink gets this long to say for itself that it ran out of time.
const GRACE: Duration = Duration::from_secs(1);

impl Entry {
    /// Starts to deliver, and gives what waits for the end. A thread that is stuck stays behind: nobody can stop it.
    fn begin(&self, notice: &Arc<Notice>) -> impl FnOnce() -> Delivery + use<> {
        let (sink, notice, limit) = (Arc::clone(&self.sink), Arc::clone(notice), self.limit);
        let name = sink.to_string();
        let deadline = Instant::now() + limit;
        let (sender, outcome) = sync_channel(1);
        let told = Arc::clone(&sink);
        // Nobody may be waiting any more.
        let work = move || drop(sender.send(told.tell(&notice, deadline)));
        let thread = std::thread::Builder::new().name("notify".to_owned()).spawn(work);
        move || {
            let wait = deadline.saturating_duration_since(Instant::now()) + GRACE;
            let outcome = match (thread, outcome.recv_timeout(wait)) {
                (Err(error), _) => Err(format!("cannot start a thread: {error}")),
                (Ok(_), Ok(outcome)) => outcome,
                (Ok(_), Err(RecvTimeoutError::Timeout)) => Err(out_of_time(limit)),
                (Ok(_), Err(RecvTimeoutError::Disconnected)) => {
                    Err("it panicked, which is a bug of conveyor: the message is on standard error"
                        .to_owned())
                }
            };
            Delivery { sink: name, outcome }
        }
    }
}

fn out_of_time(limit: Duration) -> String {
    format!("not done within {} s (timeout_s)", limit.as_secs())
}

impl Sink {
    fn tell(&self, notice: &Notice, deadline: Instant) -> Result<(), String> {
        match self {
            Self::Log(log) => log.tell(notice),
            Self::Mail(mail) => mail.tell(notice, deadline),
            Self::Webhook(webhook) => webhook.tell(notice, deadline),
            Self::Command(command) => command.tell(notice, deadline),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Mail(mail) => mail.fmt(f),
            Self::Webhook(webhook) => webhook.fmt(f),
            Self::Command(command) => command.fmt(f),
        }
    }
}

/// Time until `deadline`.
///
/// # Errors
/// There is none.
fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("its time is up (timeout_s)".to_owned()) } else { Ok(left) }
}

//! What a rule is given: the way to the server, names of its own, and what went wrong as a value.

mod admin;
pub(crate) mod packet;
mod peer;
mod roles;

pub(crate) use packet::Bytes;
pub(crate) use peer::Peer;

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long to wait for something that must not come, where no round trip can prove its absence.
const SILENCE: Duration = Duration::from_millis(150);

/// The outcome of a check.
pub(crate) type Checked<T = ()> = Result<T, Failure>;

/// Why a rule failed, with the bytes that show it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) sent: Vec<u8>,
    pub(crate) expected: Vec<u8>,
    pub(crate) received: Vec<u8>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), sent: Vec::new(), expected: Vec::new(), received: Vec::new() }
    }
}

/// Fails with these words unless the condition holds.
pub(crate) fn check(condition: bool, what: impl Into<String>) -> Checked {
    if condition { Ok(()) } else { Err(Failure::new(what)) }
}

/// Fails unless both values are equal, and shows both.
pub(crate) fn check_eq<T: PartialEq + fmt::Debug>(what: &str, got: T, expected: T) -> Checked {
    if got == expected {
        return Ok(());
    }
    Err(Failure {
        what: format!("{what}: expected {expected:?}, got {got:?}"),
        sent: Vec::new(),
        expected: format!("{expected:?}").into_bytes(),
        received: format!("{got:?}").into_bytes(),
    })
}

/// The surroundings of one rule while it runs.
pub(crate) struct Ctx {
    pub(crate) address: SocketAddr,
    pub(crate) timeout: Duration,
    /// In every name that the rule uses, so that rules cannot disturb each other.
    pub(crate) tag: String,
}

impl Ctx {
    /// A new connection.
    pub(crate) fn peer(&self) -> Checked<Peer> {
        Peer::connect(self.address, self.timeout)
    }

    /// A new connection that can do these functions.
    pub(crate) fn worker(&self, functions: &[&str]) -> Checked<Peer> {
        let mut worker = self.peer()?;
        for function in functions {
            worker.can_do(function)?;
        }
        Ok(worker)
    }

    /// A name that no other rule and no earlier run uses.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.tag)
    }

    /// The server still serves new connections.
    pub(crate) fn alive(&self) -> Checked {
        self.peer().and_then(|mut peer| peer.sync()).map_err(|failure| Failure {
            what: format!("the server no longer serves: {}", failure.what),
            ..failure
        })
    }

    /// Waits for something that the server does on its own, such as noticing a closed connection.
    pub(crate) fn until(&self, what: &str, mut done: impl FnMut() -> Checked<bool>) -> Checked {
        let started = Instant::now();
        while !done()? {
            check(started.elapsed() < self.timeout, format!("waited in vain until {what}"))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until `status` of a function is this total, running and workers.
    pub(crate) fn until_status(&self, function: &str, expected: [u64; 3]) -> Checked {
        let mut admin = self.peer()?;
        let mut last = None;
        self.until("the status is as expected", || {
            last = admin.status_of(function)?;
            Ok(last == Some(expected))
        })
        .map_err(|failure| Failure {
            what: format!("status of {function}: expected {expected:?}, got {last:?}"),
            ..failure
        })
    }

    /// Waits until the row of a job in `show jobs` is these retries, ignored and persisted.
    pub(crate) fn until_job(&self, handle: &str, expected: [u64; 3]) -> Checked {
        let mut admin = self.peer()?;
        let mut last = None;
        self.until("the job is listed as expected", || {
            last = admin.job_row(handle)?;
            Ok(last == Some(expected))
        })
        .map_err(|failure| Failure {
            what: format!("show jobs, {handle}: expected {expected:?}, got {last:?}"),
            ..failure
        })
    }

    /// Waits long enough for something unwanted to show itself.
    pub(crate) fn silence(&self) {
        std::thread::sleep(SILENCE);
    }

    /// Waits for time itself to pass, in rules about time.
    pub(crate) fn pause_ms(&self, duration_ms: u64) {
        std::thread::sleep(Duration::from_millis(duration_ms));
    }
}

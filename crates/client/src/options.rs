//! What a client is told once: its servers and every limit.

use crate::tls::Tls;
use crate::typed::Codecs;
use bytes::Bytes;
use conveyor_common::payload::{Codec, Limits};
use std::time::Duration;

/// How a client behaves. Every limit has a default; only the servers have to be given.
///
/// ```
/// use conveyor_client::Options;
/// use std::time::Duration;
///
/// let options = Options::new(["10.0.0.1:4730", "10.0.0.2:4730"])
///     .in_flight(500)
///     .connect_timeout(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) servers: Vec<String>,
    pub(crate) in_flight: usize,
    pub(crate) updates: usize,
    pub(crate) patience: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) give_up: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) exceptions: bool,
    pub(crate) codecs: Codecs,
    pub(crate) tls: Option<Tls>,
}

impl Options {
    /// Talks to `servers`, each as `host:port`.
    pub fn new<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            in_flight: 1000,
            updates: 64,
            patience: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            give_up: Duration::from_secs(10),
            backoff: Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) },
            exceptions: true,
            codecs: Codecs::default(),
            tls: None,
        }
    }

    /// Jobs that may wait for their outcome at once (1000); submitting waits for room. At least one.
    #[must_use]
    pub fn in_flight(mut self, jobs: usize) -> Self {
        self.in_flight = jobs.clamp(1, 1 << 20);
        self
    }

    /// Updates of one job that may wait to be taken (64), and how long its connection waits in all for room
    /// when they are that many (1 s). Then the job ends with
    /// [`SlowConsumer`](crate::ErrorKind::SlowConsumer): that is how long it can hold up the other jobs of
    /// the connection.
    #[must_use]
    pub fn updates(mut self, updates: usize, patience: Duration) -> Self {
        self.updates = updates.clamp(1, 1 << 20);
        self.patience = patience;
        self
    }

    /// Talks TLS with every server (in the clear).
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long a try to connect may take, name lookup and handshake included (5 s).
    #[must_use]
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a server may take to answer a question: status, echo, option (10 s).
    #[must_use]
    pub const fn answer_timeout(mut self, limit: Duration) -> Self {
        self.answer_timeout = limit;
        self
    }

    /// How long jobs wait for a server when none can be reached (10 s); then they end with
    /// [`Unreachable`](crate::ErrorKind::Unreachable).
    #[must_use]
    pub const fn give_up(mut self, limit: Duration) -> Self {
        self.give_up = limit;
        self
    }

    /// Pauses between tries to connect: the first (50 ms), doubled up to the longest (5 s), each cut by
    /// chance by up to a half, so that many clients do not return to a server all at once.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// Whether servers are asked for the messages of exceptions (yes). Otherwise such a job just fails.
    #[must_use]
    pub const fn exceptions(mut self, wanted: bool) -> Self {
        self.exceptions = wanted;
        self
    }

    /// The codec of a function's tasks and results, for [`Client::task`](crate::Client::task) (JSON).
    #[must_use]
    pub fn codec(mut self, function: impl Into<Bytes>, codec: Codec) -> Self {
        self.codecs.of_function.insert(function.into(), codec);
        self
    }

    /// What the payload of a task or result may hold ([`Limits::default`]).
    #[must_use]
    pub const fn payload_limits(mut self, limits: Limits) -> Self {
        self.codecs.limits = limits;
        self
    }
}

/// Pauses between tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after `failures` failures in a row; `chance` is any number.
    pub(crate) fn pause(self, failures: u32, chance: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let whole = doubled.min(self.longest);
        let half = whole / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        whole - Duration::from_micros(chance % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_is_between_half_and_all_of_what_it_would_be_without_chance(
            failures in 1_u32..1000, chance: u64, first in 1_u64..1000, longest in 1_u64..100_000
        ) {
            let backoff =
                Backoff { first: Duration::from_millis(first), longest: Duration::from_millis(longest) };
            let whole = (first << (failures - 1).min(20)).min(longest);
            let pause = backoff.pause(failures, chance);
            prop_assert!(pause <= Duration::from_millis(whole));
            prop_assert!(pause >= Duration::from_millis(whole) / 2);
        }
    }
}

//! Settings: of a group of performers, and of the manager.

use super::load::{AdaptiveSettings, Legacy};
use super::{retry, scale};

/// A kind of performer: a command, how many there are to be, and how they are treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name, once in a manager.
    pub name: String,
    /// The program and its arguments. The manager compares it and does not look into it.
    pub command: Vec<String>,
    /// Functions it serves: whose queue counts for the group.
    pub functions: Vec<String>,
    /// Fewest performers (1).
    pub least: u32,
    /// Most performers (1). Between the two the queue decides.
    pub most: u32,
    /// Performers that are to remain while others are replaced without room for one more (1).
    pub least_ready: u32,
    /// How long to wait for the hello, in milliseconds (10 000; 21 000 as the original). None for programs that know
    /// nothing of it: they get signals only, and are ready after `starts_ms`.
    pub hello_ms: Option<u64>,
    /// A performer that ends sooner did not start, in milliseconds (1000).
    pub starts_ms: u64,
    /// How long an order may go unanswered, in milliseconds (1000).
    pub ack_ms: u64,
    /// Time to end in, before SIGKILL, in milliseconds (30 000).
    pub grace_ms: u64,
    /// How often a performer is asked whether it is still there, in milliseconds (never). Who does not answer until the next
    /// time is noted; nothing else follows, since a long job may be the reason.
    pub ping_ms: Option<u64>,
    /// How it is paused.
    pub pause: PauseBy,
    /// How long a performer is kept, in milliseconds (for ever). It ends between jobs, if it reports jobs.
    pub lifetime_ms: Option<u64>,
    /// Up to so much longer, differently for each, in milliseconds (0).
    pub splay_ms: u64,
    /// Jobs after which a performer is replaced, if it reports jobs (none).
    pub most_jobs: Option<u32>,
    /// What follows a crash.
    pub retry: retry::Settings,
    /// How the queue decides.
    pub scale: scale::Settings,
}

/// How performers are paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PauseBy {
    /// They are told, and frozen when they do not answer in time.
    #[default]
    Telling,
    /// They are frozen.
    Freezing,
}

impl Group {
    /// One performer with the default settings.
    #[must_use]
    pub fn new(name: impl Into<String>, command: Vec<String>) -> Self {
        Self {
            name: name.into(),
            command,
            functions: Vec::new(),
            least: 1,
            most: 1,
            least_ready: 1,
            hello_ms: Some(10_000),
            starts_ms: 1000,
            ack_ms: 1000,
            grace_ms: 30_000,
            ping_ms: None,
            pause: PauseBy::Telling,
            lifetime_ms: None,
            splay_ms: 0,
            most_jobs: None,
            retry: retry::Settings::default(),
            scale: scale::Settings::default(),
        }
    }

    /// The same with exactly `count` performers.
    #[must_use]
    pub fn count(mut self, count: u32) -> Self {
        (self.least, self.most) = (count, count);
        self
    }

    /// Whether running performers of `other` do for this group.
    pub(super) fn runs_like(&self, other: &Self) -> bool {
        self.command == other.command
            && self.functions == other.functions
            && self.hello_ms.is_some() == other.hello_ms.is_some()
    }
}

/// Who says how many performers the machine carries.
#[derive(Clone, Debug, Default)]
pub enum Policy {
    /// Nobody: as many as there are to be.
    #[default]
    Fixed,
    /// What was measured.
    Adaptive(AdaptiveSettings),
    /// What was measured, by the formulas of the original.
    Legacy(Box<Legacy>),
}

/// Settings of a manager.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who permits performers (`Fixed`).
    pub policy: Policy,
    /// Most performers of all groups (1000).
    pub most: u32,
    /// Time between two starts, in milliseconds (1000).
    pub start_every_ms: u64,
    /// Starts at once, after a pause (1).
    pub burst: u32,
    /// A measurement that is older, in milliseconds, counts for nothing (3000).
    pub stale_ms: u64,
    /// How long nothing may be measured before it is an error, in milliseconds (4000).
    pub blind_ms: u64,
    /// How long a replacement may find no room before an old performer is ended for it, in milliseconds (60 000).
    pub patience_ms: u64,
    /// Spreads lifetimes; any number.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::Fixed,
            most: 1000,
            start_every_ms: 1000,
            burst: 1,
            stale_ms: 3000,
            blind_ms: 4000,
            patience_ms: 60_000,
            seed: 0,
        }
    }
}

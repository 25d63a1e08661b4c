//! What follows a crash: a pause that doubles, a limit on starts, and giving up.
//!
//! Performers that end too soon after their start are a crash loop: the group waits longer each time and tries with one
//! performer until one has lived. A performer that crashes after a long life is replaced at once, but no more of them a minute
//! than in a crash loop.

use conveyor_common::Millis;
use std::collections::VecDeque;

/// A minute, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// How a group is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Pause after the first crash, in milliseconds (1000); doubled by each that follows.
    pub first_ms: u64,
    /// Longest pause, in milliseconds (60 000).
    pub most_ms: u64,
    /// A performer that has lived so long, in milliseconds, has started well (10 000).
    pub healthy_ms: u64,
    /// Crashed performers that are replaced in a minute (10).
    pub a_minute: u32,
    /// Crashes in a row within `window_ms` after which the group is given up (10).
    pub most: u32,
    /// Over which they are counted, in milliseconds (600 000).
    pub window_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            first_ms: 1000,
            most_ms: 60_000,
            healthy_ms: 10_000,
            a_minute: 10,
            most: 10,
            window_ms: 600_000,
        }
    }
}

/// What a group's performers have done to themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry {
    /// Crashes in a row, each of a performer that was started after the one before: when, and the manager's starts until then.
    row: VecDeque<(Millis, u64)>,
    /// Nothing is started before.
    until: Millis,
    /// Crashed performers that are not replaced yet.
    owed: u32,
    /// When the last of them were replaced.
    replaced: VecDeque<Millis>,
    /// Why the group is given up.
    given_up: Option<String>,
}

impl Retry {
    /// A performer has crashed, the `generation`th that was started of `all`. `early` says that it has not got through its start,
    /// or has not lived for long. Returns whether the group is given up now.
    pub(super) fn crashed(
        &mut self,
        now: Millis,
        (generation, all): (u64, u64),
        early: bool,
        settings: &Settings,
        how: &str,
    ) -> bool {
        self.owed = self.owed.saturating_add(1);
        // Those that crash together are one crash.
        let again = self.row.back().is_none_or(|(_, last)| generation > *last);
        if !early || !again || self.given_up.is_some() {
            return false;
        }
        self.row.push_back((now, all));
        while self.row.front().is_some_and(|(at, _)| now.since(*at) > settings.window_ms) {
            self.row.pop_front();
        }
        let doublings = u32::try_from(self.row.len().saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let pause = settings.first_ms.saturating_mul(1 << doublings).min(settings.most_ms);
        self.until = now.plus(pause);
        if self.row.len() > settings.most as usize {
            let times = self.row.len();
            self.given_up = Some(format!("it crashed {times} times in a row, at last with {how}"));
        }
        self.given_up.is_some()
    }

    /// The `generation`th performer has lived long enough, or has come to a good end.
    pub(super) fn lived(&mut self, generation: u64) {
        if self.row.back().is_none_or(|(_, last)| generation > *last) {
            self.row.clear();
            self.until = Millis::default();
        }
    }

    /// Begins anew.
    pub(super) fn forgive(&mut self) {
        let replaced = std::mem::take(&mut self.replaced);
        *self = Self { replaced, ..Self::default() };
    }

    /// How many of `missing` performers may be started now. `newest` is the generation of the youngest living one.
    pub(super) fn permits(&self, now: Millis, missing: u32, newest: Option<u64>, settings: &Settings) -> u32 {
        if self.given_up.is_some() || now < self.until || missing == 0 {
            return 0;
        }
        let replaced = self.replaced.iter().filter(|at| now.since(**at) < MINUTE_MS).count();
        let left = settings.a_minute.saturating_sub(u32::try_from(replaced).unwrap_or(u32::MAX));
        match self.row.back() {
            // One at a time, until it has lived.
            Some((_, last)) if newest.is_some_and(|newest| newest > *last) => 0,
            Some(_) => left.min(1),
            None => missing.saturating_sub(self.owed) + left.min(self.owed.min(missing)),
        }
    }

    /// One of `missing` performers was started.
    pub(super) fn started(&mut self, now: Millis, missing: u32, settings: &Settings) {
        self.owed = self.owed.min(missing);
        if self.row.is_empty() && missing > self.owed {
            return;
        }
        self.owed = self.owed.saturating_sub(1);
        self.replaced.push_back(now);
        while self.replaced.len() > settings.a_minute as usize {
            self.replaced.pop_front();
        }
    }

    /// When something may be started that may not now.
    pub(super) fn next(&self, now: Millis, settings: &Settings) -> Option<Millis> {
        if self.given_up.is_some() {
            return None;
        }
        let full = self.replaced.len() >= settings.a_minute as usize;
        let minute = self.replaced.front().filter(|_| full).map(|first| first.plus(MINUTE_MS));
        [Some(self.until), minute].into_iter().flatten().filter(|at| *at > now).max()
    }

    pub(super) const fn given_up(&self) -> Option<&String> {
        self.given_up.as_ref()
    }

    /// Crashes in a row.
    pub(super) fn crashes(&self) -> usize {
        self.row.len()
    }
}

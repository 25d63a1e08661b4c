//! Cron expressions in a time zone: which moments are due.
//!
//! croner finds the next time on a clock that never changes; what clock changes do to it is decided here, since its own
//! way skips the repeated hour for intervals and knows no lists. docs/schedules.md has the rules for users.

use super::unique::stamp;
use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use std::collections::VecDeque;
use std::fmt;

/// Seconds by which a clock change moves the clock at most; what is farther apart is not affected by it.
const CHANGE_SECONDS: i64 = 3 * 3600;

/// Seconds between two looks for a clock change: shorter than any time between two changes.
const LOOK_SECONDS: i64 = 12 * 3600;

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// Changes looked over for one due time: more than there are in all zones.
const CHANGES: usize = 10_000;

/// Why a schedule makes no sense; says what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimetableError {
    /// The expression cannot be read; holds it and why.
    Expression(String, String),
    /// There is no zone of this name.
    Zone(String),
}

impl fmt::Display for TimetableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expression(text, why) => write!(
                f,
                "'{text}' is no cron expression ({why}): write minute, hour, day of month, month and day of week, as in '0 3 * \
                 * *', with seconds before them if need be, or @hourly, @daily, @weekly, @monthly, @yearly"
            ),
            Self::Zone(name) => {
                write!(
                    f,
                    "'{name}' is no time zone: write a name such as Europe/Berlin, America/New_York or UTC"
                )
            }
        }
    }
}

impl std::error::Error for TimetableError {}

/// When something is due.
#[derive(Clone)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
    expression: String,
    /// Due by the time that passes, not by what the clock shows: it has `*` or a step in hour, minute or second.
    interval: bool,
}

impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' in {}", self.expression, self.zone())
    }
}

impl Timetable {
    /// Due when `expression` says so on the clocks of `zone`.
    ///
    /// # Errors
    /// One of the two cannot be read.
    pub fn new(expression: &str, zone: &str) -> Result<Self, TimetableError> {
        let zone = zone.parse().map_err(|_| TimetableError::Zone(zone.to_owned()))?;
        let wrong = |why: &str| TimetableError::Expression(expression.to_owned(), why.to_owned());
        if expression.split_whitespace().count() == 7 {
            return Err(wrong("a year is not supported"));
        }
        let cron: Cron =
            expression.parse().map_err(|error: croner::errors::CronError| wrong(&error.to_string()))?;
        Ok(Self { cron, zone, expression: expression.trim().to_owned(), interval: is_interval(expression) })
    }

    /// The expression, as it was given.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The name of the zone.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first due time after `after`, both in milliseconds; `None` when there is none any more.
    #[must_use]
    pub fn next(&self, after: i64) -> Option<i64> {
        let after = after.div_euclid(1000);
        let next = if self.interval { self.next_interval(after) } else { self.next_on_the_clock(after) };
        next?.checked_mul(1000)
    }

    /// The newest due times after `after`, up to `until` inclusive, at most `most` of them, oldest first; and whether there are more.
    #[must_use]
    pub fn newest(&self, after: i64, until: i64, most: usize) -> (Vec<i64>, bool) {
        // A year of seconds is not counted through: the look goes back farther and farther.
        let mut span = 60_000_i64;
        loop {
            let from = after.max(until.saturating_sub(span));
            let (mut found, mut more, mut at) = (VecDeque::new(), false, from);
            while let Some(due) = self.next(at).filter(|due| *due <= until) {
                found.push_back(due);
                if found.len() > most {
                    found.pop_front();
                    more = true;
                }
                at = due;
            }
            if from <= after || found.len() >= most {
                let more = more || (from > after && self.next(after) != found.front().copied());
                return (found.into(), more);
            }
            span = span.saturating_mul(4);
        }
    }

    /// A moment as the clocks of the zone show it, with their offset: `2026-12-01 03:00:00 +01:00`.
    #[must_use]
    pub fn shown(&self, at: i64) -> String {
        match DateTime::from_timestamp_millis(at) {
            Some(at) => at.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %:z").to_string(),
            None => stamp(at),
        }
    }

    /// Times on the clock, each once: at its first showing when the clock goes back, and as much later as the clock goes
    /// forward when it is not shown at all.
    fn next_on_the_clock(&self, after: i64) -> Option<i64> {
        let shown = after + self.offset(after);
        // What was left out may still be to come.
        let forward = self.offset(after) > self.offset(after - CHANGE_SECONDS);
        let mut clock = if forward { shown - CHANGE_SECONDS } else { shown };
        let (mut best, mut last_clock) = (None, None);
        loop {
            let Some(next) = self.next_showing(clock, false) else { return best };
            clock = next;
            if last_clock.is_some_and(|last| clock > last) {
                return best;
            }
            let (moment, moved) = self.moment(clock);
            if moment > after {
                best = Some(best.map_or(moment, |best: i64| best.min(moment)));
                if !moved {
                    return best;
                }
                // A time that is shown can come before one that was moved.
                last_clock = last_clock.or(Some(clock + CHANGE_SECONDS));
            }
        }
    }

    /// Every moment at which the clock shows a time of the expression.
    fn next_interval(&self, after: i64) -> Option<i64> {
        let (mut from, mut inclusive) = (after, false);
        for _ in 0..CHANGES {
            let offset = self.offset(from);
            let next = self.next_showing(from + offset, inclusive)? - offset;
            match self.change(from, next) {
                None => return Some(next),
                Some(change) => (from, inclusive) = (change, true),
            }
        }
        None
    }

    /// The first moment after `from`, up to `until`, with another offset.
    fn change(&self, from: i64, until: i64) -> Option<i64> {
        let offset = self.offset(from);
        let mut before = from;
        while before < until {
            let mut behind = until.min(before + LOOK_SECONDS);
            if self.offset(behind) == offset {
                before = behind;
                continue;
            }
            while behind - before > 1 {
                let middle = before + (behind - before) / 2;
                if self.offset(middle) == offset { before = middle } else { behind = middle }
            }
            return Some(behind);
        }
        None
    }

    /// When the clock shows `clock` for the first time, and false; or when it would, had it not gone forward, and true.
    fn moment(&self, clock: i64) -> (i64, bool) {
        let (before, behind) = (self.offset(clock - DAY_SECONDS), self.offset(clock + DAY_SECONDS));
        let shown = [before, behind].map(|offset| (clock - offset, offset));
        let real = shown.into_iter().filter(|(moment, offset)| self.offset(*moment) == *offset);
        match real.map(|(moment, _)| moment).min() {
            Some(moment) => (moment, false),
            None => (clock - before, true),
        }
    }

    /// The next time of the expression on a clock that never changes, in seconds.
    fn next_showing(&self, clock: i64, inclusive: bool) -> Option<i64> {
        let clock: DateTime<Utc> = DateTime::from_timestamp(clock, 0)?;
        self.cron.find_next_occurrence(&clock, inclusive).ok().map(|next| next.timestamp())
    }

    /// What the clocks of the zone show beyond UTC at this moment, in seconds.
    fn offset(&self, moment: i64) -> i64 {
        let moment = DateTime::from_timestamp(moment, 0).unwrap_or_default().naive_utc();
        self.zone.offset_from_utc_datetime(&moment).fix().local_minus_utc().into()
    }
}

/// Whether hour, minute or second go on for ever.
fn is_interval(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let times = match fields.as_slice() {
        [name] => return name.eq_ignore_ascii_case("@hourly"),
        [minute, hour, _, _, _] => ["0", *minute, *hour],
        [second, minute, hour, ..] => [*second, *minute, *hour],
        _ => return false,
    };
    times.iter().any(|field| field.contains(['*', '/', '?'])) || times.last() == Some(&"0-23")
}

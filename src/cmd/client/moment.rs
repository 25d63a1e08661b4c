//! The value of `--at`: times as people type them for at(1) and date(1).
//!
//! jiff knows calendars and zones; its own parser takes what machines write (RFC 3339), so what people write is read
//! here. Whatever could mean two things is refused: a day without a time, for instance.

use conveyor_common::UnixSeconds;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is said about a value that is not understood.
const UNDERSTOOD: &str = "understood are: 03:00, 'today 17:30', 'tomorrow 3pm', 'monday 09:00', \
     '2026-12-01 03:00', 2026-12-01T03:00:00+01:00, 'in 10 minutes', +90s, +10m, +3h, +2d, @1800000000";

/// When a job is to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Seconds since 1970-01-01 UTC.
    At(i64),
    /// So long after the job is submitted.
    In(Duration),
}

impl Moment {
    /// As the protocol has it.
    pub(super) fn seconds(self) -> UnixSeconds {
        match self {
            Self::At(seconds) => UnixSeconds(seconds),
            Self::In(wait) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                // Rounded up: not before the time that was asked for.
                let due = now.saturating_add(wait).saturating_add(Duration::from_millis(999)).as_secs();
                UnixSeconds(i64::try_from(due).unwrap_or(i64::MAX))
            }
        }
    }
}

/// Reads the value of `--at`; times of day are those of the machine's zone.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds = seconds.parse().map_err(|_| format!("@ is followed by whole seconds; {UNDERSTOOD}"))?;
        return Ok(Moment::At(seconds));
    }
    if let Some(wait) = short_wait(text).or_else(|| long_wait(text)) {
        return Ok(Moment::In(wait));
    }
    let now = Timestamp::now();
    if let Ok(instant) = text.trim().parse::<Timestamp>() {
        // It has an offset, so that no zone is needed.
        return future(instant, &ZonedDateTime::new(now, TimeZone::UTC)).map(Moment::At);
    }
    at(text, &ZonedDateTime::new(now, zone()?)).map(Moment::At)
}

/// The zone of this machine: `TZ`, or the system's.
fn zone() -> Result<TimeZone, String> {
    match TimeZone::try_system() {
        Ok(zone) => Ok(zone),
        // As libc has it on a machine that was told nothing, such as a small container.
        Err(_) if std::env::var_os("TZ").is_none() => Ok(TimeZone::UTC),
        Err(error) => Err(format!("the time zone is not known ({error}): set TZ, or write the offset")),
    }
}

/// `+N` and a letter.
fn short_wait(text: &str) -> Option<Duration> {
    let wait = text.strip_prefix('+')?;
    let (number, unit) = wait.split_at_checked(wait.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(unit)?))
}

/// `in 1 hour 30 minutes`, `now + 10 minutes`, `now`. A day is 24 hours here.
fn long_wait(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    if text == "now" {
        return Some(Duration::ZERO);
    }
    let pairs = match text.strip_prefix("now") {
        Some(rest) => rest.trim_start().strip_prefix('+')?,
        None => text.strip_prefix("in ")?,
    };
    let mut words = pairs.split_whitespace().peekable();
    words.peek()?;
    let mut seconds = 0_u64;
    while let Some(number) = words.next() {
        let number = if matches!(number, "a" | "an") { 1 } else { number.parse::<u64>().ok()? };
        let unit = match words.next()? {
            "second" | "seconds" | "sec" | "secs" => 1,
            "minute" | "minutes" | "min" | "mins" => 60,
            "hour" | "hours" => 3600,
            "day" | "days" => 86_400,
            "week" | "weeks" => 604_800,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
    }
    Some(Duration::from_secs(seconds))
}

/// A time on the local clock, with its day or without, seen from `now`: seconds since 1970-01-01 UTC.
fn at(text: &str, now: &ZonedDateTime) -> Result<i64, String> {
    let text = text.trim().to_ascii_lowercase();
    // As machines write it, but without an offset.
    let text = match text.split_once('t') {
        Some((date, time)) if day(date).is_some() && !time.is_empty() => format!("{date} {time}"),
        _ => text,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let (day, time) = match words.as_slice() {
        [only] => match (time(only), day(only)) {
            (Some(time), _) => (Day::Next, time),
            (None, Some(_)) => return Err(format!("at what time of that day? As in '{only} 03:00'")),
            (None, None) => return Err(UNDERSTOOD.to_owned()),
        },
        [first, second] => match (day(first), time(second), day(second), time(first)) {
            (Some(day), Some(time), ..) | (_, _, Some(day), Some(time)) => (day, time),
            _ => return Err(UNDERSTOOD.to_owned()),
        },
        _ => return Err(UNDERSTOOD.to_owned()),
    };
    let today = now.date();
    let later =
        |days: i32| today.checked_add(jiff::Span::new().days(days)).map_err(|error| error.to_string());
    match day {
        Day::Is(date) => future(instant(date.to_datetime(time), now)?, now),
        Day::In(days) => future(instant(later(days)?.to_datetime(time), now)?, now),
        Day::Next => first_in_future([today, later(1)?], time, now),
        Day::Weekday(weekday) => {
            let days = i32::from(today.weekday().until(weekday));
            first_in_future([later(days)?, later(days + 7)?], time, now)
        }
    }
}

/// Which day.
enum Day {
    /// The first on which the time is still to come.
    Next,
    /// So many days from today.
    In(i32),
    Weekday(Weekday),
    Is(Date),
}

fn day(word: &str) -> Option<Day> {
    let weekday = match word {
        "today" => return Some(Day::In(0)),
        "tomorrow" => return Some(Day::In(1)),
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        date => return Date::strptime("%Y-%m-%d", date).ok().map(Day::Is),
    };
    Some(Day::Weekday(weekday))
}

fn time(word: &str) -> Option<Time> {
    match word {
        "noon" => return Some(Time::constant(12, 0, 0, 0)),
        "midnight" => return Some(Time::midnight()),
        _ => {}
    }
    let (clock, half) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (word, None),
    };
    let mut numbers = Vec::new();
    for (place, part) in clock.split(':').enumerate() {
        let whole = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !whole || (place > 0 && part.len() != 2) {
            return None;
        }
        numbers.push(part.parse::<i8>().ok()?);
    }
    let (hour, minute, second) = match (numbers.as_slice(), half) {
        // A number alone is no time: `3` could be anything.
        (&[hour], Some(_)) => (hour, 0, 0),
        (&[hour, minute], _) => (hour, minute, 0),
        (&[hour, minute, second], _) => (hour, minute, second),
        _ => return None,
    };
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    // 60 would be a leap second, which no clock here knows.
    Time::new(hour, minute, second, 0).ok()
}

/// When the clocks on the wall show `local`. What they skip is as long after midnight as if they did not, so an hour
/// later on the wall; of what they show twice it is the first that is still to come.
fn instant(local: DateTime, now: &ZonedDateTime) -> Result<Timestamp, String> {
    let ambiguous = now.time_zone().to_ambiguous_timestamp(local);
    let fold = matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. });
    let first = ambiguous.compatible().map_err(|error| error.to_string())?;
    if fold && first <= now.timestamp() {
        return ambiguous.later().map_err(|error| error.to_string());
    }
    Ok(first)
}

fn first_in_future(days: [Date; 2], time: Time, now: &ZonedDateTime) -> Result<i64, String> {
    let [first, second] = days;
    match instant(first.to_datetime(time), now)? {
        soon if soon > now.timestamp() => future(soon, now),
        _ => future(instant(second.to_datetime(time), now)?, now),
    }
}

/// Rounded up: not before the time that was asked for.
fn future(instant: Timestamp, now: &ZonedDateTime) -> Result<i64, String> {
    if instant <= now.timestamp() {
        let was = instant.to_zoned_datetime(now.time_zone().clone());
        return Err(format!(
            "{} is past (a time in the past is taken as @{} only)",
            was.strftime("%Y-%m-%d %H:%M:%S %:z"),
            instant.as_second()
        ));
    }
    Ok(instant.as_second() + i64::from(instant.subsec_nanosecond() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thursday, in Berlin without asking for a list of zones.
    fn now(local: &str) -> ZonedDateTime {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        zone.to_ambiguous_zoned_datetime(local.parse::<DateTime>().unwrap()).compatible().unwrap()
    }

    /// Sees `text` from `now`, as it is written with an offset.
    fn seen(text: &str, now: &ZonedDateTime) -> Result<String, String> {
        let seconds = match text.parse::<Timestamp>() {
            Ok(instant) => future(instant, now)?,
            Err(_) => at(text, now)?,
        };
        let instant = Timestamp::from_second(seconds).unwrap().to_zoned_datetime(now.time_zone().clone());
        Ok(instant.strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
    }

    #[test]
    fn times_are_absolute_or_from_now() {
        let seconds = |seconds| Ok(Moment::In(Duration::from_secs(seconds)));
        assert_eq!(moment("@1800000000"), Ok(Moment::At(1_800_000_000)));
        assert_eq!(moment("@1"), Ok(Moment::At(1)), "past, and meant so");
        for (text, wait) in [
            ("+10m", 600),
            ("+2d", 172_800),
            ("in 10 minutes", 600),
            ("In 1 Hour 30 min", 5400),
            ("in an hour", 3600),
            ("in 2 weeks", 1_209_600),
            ("now", 0),
            ("now + 3 days", 259_200),
            ("now +3 days", 259_200),
        ] {
            assert_eq!(moment(text), seconds(wait), "{text}");
        }
    }

    #[test]
    fn what_people_type_is_seen_from_now() {
        let now = now("2026-11-26T12:00:00");
        for (text, expected) in [
            ("13:30", "2026-11-26 13:30:00 +01:00"),
            ("12:00", "2026-11-27 12:00:00 +01:00"),
            ("03:00", "2026-11-27 03:00:00 +01:00"),
            ("3:00", "2026-11-27 03:00:00 +01:00"),
            ("3am", "2026-11-27 03:00:00 +01:00"),
            ("12am", "2026-11-27 00:00:00 +01:00"),
            ("3:15pm", "2026-11-26 15:15:00 +01:00"),
            ("midnight", "2026-11-27 00:00:00 +01:00"),
            ("noon", "2026-11-27 12:00:00 +01:00"),
            ("today 17:30", "2026-11-26 17:30:00 +01:00"),
            ("Tomorrow 03:00:05", "2026-11-27 03:00:05 +01:00"),
            ("03:00 tomorrow", "2026-11-27 03:00:00 +01:00"),
            ("monday 09:00", "2026-11-30 09:00:00 +01:00"),
            ("thursday 13:00", "2026-11-26 13:00:00 +01:00"),
            ("thu 11:00", "2026-12-03 11:00:00 +01:00"),
            ("  wed   noon ", "2026-12-02 12:00:00 +01:00"),
            ("2026-12-01 03:00", "2026-12-01 03:00:00 +01:00"),
            ("2026-12-01 03:00:59", "2026-12-01 03:00:59 +01:00"),
            ("2026-12-01T03:00", "2026-12-01 03:00:00 +01:00"),
            ("2027-07-01 03:00", "2027-07-01 03:00:00 +02:00"),
            ("2026-12-01T03:00:00Z", "2026-12-01 04:00:00 +01:00"),
            ("2026-12-01t03:00:00+05:30", "2026-11-30 22:30:00 +01:00"),
            ("2026-12-01 03:00:00-01:00", "2026-12-01 05:00:00 +01:00"),
            ("2026-12-01T03:00:00.2Z", "2026-12-01 04:00:01 +01:00"),
        ] {
            assert_eq!(seen(text, &now).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn hours_that_clocks_skip_or_show_twice_are_taken_as_documented() {
        for (now_is, text, expected) in [
            // At 02:00 of 2027-03-28 it is 03:00.
            ("2027-03-27T12:00", "02:30", "2027-03-28 03:30:00 +02:00"),
            ("2027-03-27T12:00", "tomorrow 03:00", "2027-03-28 03:00:00 +02:00"),
            ("2027-03-28T03:10", "02:30", "2027-03-28 03:30:00 +02:00"),
            // At 03:00 of 2027-10-31 it is 02:00 once more.
            ("2027-10-30T12:00", "02:30", "2027-10-31 02:30:00 +02:00"),
            ("2027-10-31T02:40", "02:30", "2027-10-31 02:30:00 +01:00"),
            ("2027-10-31T03:10", "02:30", "2027-11-01 02:30:00 +01:00"),
            ("2027-10-30T12:00", "2027-10-31T02:30:00+01:00", "2027-10-31 02:30:00 +01:00"),
        ] {
            assert_eq!(seen(text, &now(now_is)).as_deref(), Ok(expected), "{text} at {now_is}");
        }
    }

    #[test]
    fn what_is_past_or_not_understood_is_an_error_that_says_what_to_write() {
        let now = now("2026-11-26T12:00:00");
        for past in ["today 11:59", "today 12:00", "2026-11-26 03:00", "1999-01-01T00:00:00Z"] {
            let error = seen(past, &now).unwrap_err();
            assert!(error.contains("is past"), "{past}: {error}");
        }
        for day in ["tomorrow", "monday", "2026-12-01"] {
            assert!(seen(day, &now).unwrap_err().contains("at what time"), "{day}");
        }
        for wrong in [
            "",
            " ",
            "+",
            "10m",
            "+m",
            "+10",
            "+10y",
            "@x",
            "@",
            "+99999999999999999999s",
            "+é",
            "3",
            "25:00",
            "03:60",
            "13pm",
            "0am",
            "3:0",
            "003:00",
            "-3:00",
            "yesterday 03:00",
            "2026-13-01 03:00",
            "2026-02-30 03:00",
            "monday tuesday",
            "03:00 04:00",
            "next monday 03:00",
            "in",
            "in 10",
            "in ten minutes",
            "in 5 years",
            "in -5 minutes",
            "now +",
            "nowadays",
            "in 18446744073709551615 weeks",
            "99999-01-01 03:00",
            "2026-12-01T",
        ] {
            let error = moment(wrong).unwrap_err();
            assert!(error.contains("'monday 09:00'"), "{wrong:?}: {error}");
        }
    }
}

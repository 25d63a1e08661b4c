//! Due times on the days on which clocks are changed, and what croner makes of them.

use super::super::{Timetable, TimetableError, stamp, unique};
use super::at;
use chrono::{DateTime, LocalResult, TimeDelta, TimeZone, Utc};
use croner::Cron;
use std::collections::BTreeSet;

/// All due times after `from` until `until`, as the clocks of the zone show them.
fn due(expression: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let timetable = Timetable::new(expression, zone).unwrap();
    let (mut next, until) = (at(from), at(until));
    let mut found = Vec::new();
    while let Some(due) = timetable.next(next).filter(|due| *due <= until) {
        assert!(due > next, "{expression} stands still at {}", stamp(next));
        found.push(timetable.shown(due));
        next = due;
    }
    found
}

#[test]
fn in_spring_a_time_that_is_left_out_is_due_as_much_later_as_the_clock_moves() {
    for (zone, from, until, expected) in [
        ("Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29 03:30:00 +02:00"),
        ("America/New_York", "2026-03-07T17:00:00Z", "2026-03-08T17:00:00Z", "2026-03-08 03:30:00 -04:00"),
        // Half an hour: 02:00 to 02:30 are left out.
        ("Australia/Lord_Howe", "2026-10-03T01:00:00Z", "2026-10-04T01:00:00Z", "2026-10-04 02:30:00 +11:00"),
    ] {
        let expression = if zone == "Australia/Lord_Howe" { "0 2 * * *" } else { "30 2 * * *" };
        assert_eq!(due(expression, zone, from, until), [expected], "{zone}");
    }
    let inside = due("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T01:00:00Z", "2026-10-05T01:00:00Z");
    assert_eq!(inside, ["2026-10-04 02:45:00 +11:00", "2026-10-05 02:15:00 +11:00"]);
}

#[test]
fn in_autumn_a_time_that_is_shown_twice_is_due_once_at_first() {
    for (zone, from, until, expected) in [
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", "2026-10-25 02:30:00 +02:00"),
        ("America/New_York", "2026-10-31T17:00:00Z", "2026-11-01T17:00:00Z", "2026-11-01 01:45:00 -04:00"),
        ("Australia/Lord_Howe", "2026-04-04T01:00:00Z", "2026-04-05T01:00:00Z", "2026-04-05 01:45:00 +11:00"),
    ] {
        let expression = if zone == "Europe/Berlin" { "30 2 * * *" } else { "45 1 * * *" };
        assert_eq!(due(expression, zone, from, until), [expected], "{zone}");
    }
}

#[test]
fn lists_and_ranges_of_clock_times_are_due_once_each_on_both_days() {
    let spring = due("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    // 02:00 and 02:30 become 03:00 and 03:30, which are due anyway.
    assert_eq!(spring, ["2026-03-29 03:00:00 +02:00", "2026-03-29 03:30:00 +02:00"]);
    let autumn = due("0,30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(autumn, ["2026-10-25 02:00:00 +02:00", "2026-10-25 02:30:00 +02:00"]);
    let range = due("0 1-4 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(range.len(), 4, "{range:?}");
    // Between the two, one that was moved comes first or last as the clock says.
    let order = due("15,45 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(order, ["2026-03-29 03:15:00 +02:00", "2026-03-29 03:45:00 +02:00"]);
}

#[test]
fn intervals_go_on_in_real_time_through_both_changes() {
    for (zone, day) in [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("Australia/Lord_Howe", "2026-10-03"),
    ] {
        let timetable = Timetable::new("*/15 * * * *", zone).unwrap();
        let from = at(&format!("{day}T00:00:00Z"));
        let mut next = from;
        for number in 1..=96 {
            next = timetable.next(next).unwrap();
            assert_eq!(next, from + number * 900_000, "{zone} {day}: {}", timetable.shown(next));
        }
        assert_eq!(timetable.newest(from, next, 200).0.len(), 96);
    }
    let hourly = due("@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
    assert_eq!(
        hourly,
        ["2026-10-25 02:00:00 +02:00", "2026-10-25 02:00:00 +01:00", "2026-10-25 03:00:00 +01:00"]
    );
}

/// Why the changes are not left to it: were this test to fail, ours could go.
#[test]
fn croner_alone_skips_the_repeated_hour_of_intervals() {
    let next = |expression: &str, from: &str| {
        let cron: Cron = expression.parse().unwrap();
        let from =
            DateTime::from_timestamp_millis(at(from)).unwrap().with_timezone(&chrono_tz::Europe::Berlin);
        cron.find_next_occurrence(&from, false).unwrap().to_rfc3339()
    };
    // 02:45 in summer time is followed by 02:00 in winter time, not by 03:00.
    assert_eq!(next("*/15 * * * *", "2026-10-25T00:45:00Z"), "2026-10-25T03:00:00+01:00");
    // A single clock time it knows; it moves one that is left out to the end of the gap, not by the gap.
    assert_eq!(next("30 2 * * *", "2026-10-24T12:00:00Z"), "2026-10-25T02:30:00+02:00");
    assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z"), "2026-03-29T03:00:00+02:00");
    // Of a list it leaves out what the clock leaves out.
    assert_eq!(next("0,30 2 * * *", "2026-03-28T12:00:00Z"), "2026-03-30T02:00:00+02:00");
}

#[test]
fn over_years_every_day_has_one_daily_run() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"] {
        for expression in ["30 2 * * *", "30 1 * * *", "0 0 * * *", "15 2 * * *"] {
            let days = due(expression, zone, "2025-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
            let mut dates: Vec<&str> = days.iter().map(|shown| &shown[..10]).collect();
            dates.dedup();
            assert_eq!((dates.len(), days.len()), (1461, 1461), "{expression} in {zone}");
        }
    }
}

#[test]
fn the_newest_due_times_are_found_without_counting_all() {
    let timetable = Timetable::new("* * * * * *", "Europe/Berlin").unwrap();
    let now = at("2026-11-24T12:00:00Z");
    let (found, more) = timetable.newest(at("2020-01-01T00:00:00Z"), now, 3);
    assert_eq!((found, more), (vec![now - 2000, now - 1000, now], true));
    let (found, more) = timetable.newest(now - 2000, now, 3);
    assert_eq!((found, more), (vec![now - 1000, now], false));
    let yearly = Timetable::new("@yearly", "UTC").unwrap();
    let (found, more) = yearly.newest(at("2020-06-01T00:00:00Z"), now, 2);
    assert_eq!((found, more), (vec![at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")], true));
}

#[test]
fn what_is_never_due_and_what_is_no_expression_are_told() {
    let never = Timetable::new("0 0 31 2 *", "UTC").unwrap();
    assert_eq!(never.next(at("2026-11-24T00:00:00Z")), None);
    let leap = Timetable::new("0 0 29 2 *", "UTC").unwrap();
    assert_eq!(leap.next(at("2026-11-24T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
    for wrong in ["", "* * * *", "60 * * * *", "x", "@sometimes", "0 0 0 1 1 * 2030"] {
        let error = Timetable::new(wrong, "UTC").unwrap_err();
        assert!(error.to_string().contains("0 3 * * *"), "{wrong}: {error}");
    }
    let zone = Timetable::new("@daily", "Europe/Atlantis").unwrap_err();
    assert_eq!(zone, TimetableError::Zone("Europe/Atlantis".to_owned()));
}

#[test]
fn a_unique_names_schedule_and_time_and_can_be_asked_for() {
    let due = at("2026-12-01T03:00:00+01:00");
    assert_eq!(unique("nightly", due), "schedule:nightly:2026-12-01T02:00:00Z");
    assert_eq!(unique("nightly", due + 7), "schedule:nightly:2026-12-01T02:00:00.007Z");
    let long = "a-very-long-name-of-a-schedule-that-goes-on";
    let (one, other) = (unique(&format!("{long}-1"), due), unique(&format!("{long}-2"), due));
    assert!(one != other && one == unique(&format!("{long}-1"), due));
    for unique in [one, other, unique("é".repeat(60).as_str(), due + 7)] {
        assert!(unique.len() <= 63 && unique.starts_with("schedule:"), "{unique}");
    }
}

#[test]
fn both_days_given_means_either_and_names_and_last_days_are_known() {
    let either = due("0 0 13 * 5", "UTC", "2026-11-01T00:00:00Z", "2026-11-30T00:00:00Z");
    let days: Vec<&str> = either.iter().map(|shown| &shown[8..10]).collect();
    // Fridays, of which one is the 13th.
    assert_eq!(days, ["06", "13", "20", "27"]);
    let either = due("0 0 1 12 MON", "UTC", "2026-11-30T00:00:00Z", "2026-12-15T00:00:00Z");
    let days: Vec<&str> = either.iter().map(|shown| &shown[8..10]).collect();
    assert_eq!(days, ["01", "07", "14"]);
    let last = due("0 0 L * *", "UTC", "2026-11-01T00:00:00Z", "2027-02-01T00:00:00Z");
    let days: Vec<&str> = last.iter().map(|shown| &shown[8..10]).collect();
    assert_eq!(days, ["30", "31", "31"]);
}

/// Due times of a window, minute by minute, with chrono's idea of a zone.
fn counted(
    expression: &str,
    zone: chrono_tz::Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> BTreeSet<i64> {
    let cron: Cron = expression.parse().unwrap();
    let minutes = (until - from).num_minutes();
    let every = (1..=minutes).map(|minute| from + TimeDelta::minutes(minute));
    if expression.split(' ').take(2).any(|field| field.contains('*')) {
        let shown = every.filter(|at| cron.is_time_matching(&at.with_timezone(&zone)).unwrap());
        return shown.map(|at| at.timestamp_millis()).collect();
    }
    // Every time on the clock, from before the window on.
    let clocks = (-1560..=minutes + 1560).map(|minute| from + TimeDelta::minutes(minute));
    let named = clocks.filter(|clock| cron.is_time_matching(clock).unwrap()).map(|clock| clock.naive_utc());
    let moments = named.map(|clock| match zone.from_local_datetime(&clock) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            let before = zone.from_local_datetime(&(clock - TimeDelta::hours(2))).unwrap();
            before.with_timezone(&Utc) + TimeDelta::hours(2)
        }
    });
    moments.filter(|at| *at > from && *at <= until).map(|at| at.timestamp_millis()).collect()
}

proptest::proptest! {
    #[test]
    fn due_times_around_changes_are_those_that_counting_gives(
        minutes in proptest::sample::select(vec!["*/15", "0", "30", "0,30", "15,45", "*", "59", "0-5"]),
        hours in proptest::sample::select(vec!["*", "2", "1-3", "0,2,3", "3", "1", "*/2", "0-3,22", "23"]),
        days in proptest::sample::select(vec!["* * *", "* * SUN", "* 3,10,11,4 *", "29,25,8,1,4,5 * *"]),
        change in proptest::sample::select(vec![
            ("Europe/Berlin", "2026-03-29T01:00:00Z"), ("Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("America/New_York", "2026-03-08T07:00:00Z"), ("America/New_York", "2026-11-01T06:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"), ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ]),
        before in 1..1500_i64,
    ) {
        let expression = format!("{minutes} {hours} {days}");
        let (zone, change) = change;
        let change = DateTime::from_timestamp_millis(at(change)).unwrap();
        let (from, until) = (change - TimeDelta::minutes(before), change + TimeDelta::hours(30));
        let expected = counted(&expression, zone.parse().unwrap(), from, until);
        let timetable = Timetable::new(&expression, zone).unwrap();
        let mut found = BTreeSet::new();
        let mut last = from.timestamp_millis();
        while let Some(due) = timetable.next(last).filter(|due| *due <= until.timestamp_millis()) {
            found.insert(due);
            last = due;
        }
        proptest::prop_assert_eq!(found, expected, "{} in {}", expression, zone);
    }

    /// Whatever is in a file ends in a due time, in none, or in an error; a due time is later than what was asked for.
    #[test]
    fn no_expression_is_too_much(
        fields in proptest::collection::vec("[0-9*/,?LW#A-F-]{1,4}|[*]|[*]/[0-9]{1,2}|[0-9]{1,2}(-[0-9]{1,2})?", 1..7),
        after in 1_700_000_000_000_i64..2_500_000_000_000,
    ) {
        if let Ok(timetable) = Timetable::new(&fields.join(" "), "Europe/Berlin")
            && let Some(next) = timetable.next(after)
        {
            proptest::prop_assert!(next > after && next % 1000 == 0);
        }
    }
}

//! The tables `[schedule.NAME]` of a configuration file.

use crate::config::Config;
use crate::duration;
use conveyor_client::Priority;
use conveyor_client::schedule::{Missed, Overlap, Plan, Timetable};
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::path::Path;

/// Longest name of a schedule, in bytes: it is a file name, too.
const NAME_BYTES: usize = 100;

/// Least `grace`, in milliseconds: no process looks at the clock all the time.
const LEAST_GRACE: i64 = 1000;

/// Longest `jitter` and `grace`, in milliseconds.
const LONGEST: i64 = 366 * 86_400_000;

/// A table `[schedule.NAME]`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleTable {
    cron: String,
    zone: Option<String>,
    jitter: Option<String>,
    #[serde(default)]
    overlap: OverlapName,
    #[serde(default)]
    missed: MissedName,
    grace: Option<String>,
    enabled: Option<bool>,
    run: Option<String>,
    job: Option<JobTable>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OverlapName {
    #[default]
    Skip,
    Queue,
    Parallel,
    Replace,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MissedName {
    #[default]
    Skip,
    Once,
    All,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PriorityName {
    High,
    #[default]
    Normal,
    Low,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobTable {
    function: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    priority: PriorityName,
    #[serde(default)]
    servers: Vec<String>,
}

/// A schedule: when, and what.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) plan: Plan,
    pub(crate) what: What,
}

/// What a schedule starts.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The client run of this name.
    Run(String),
    /// A background job.
    Job(PlainJob),
}

/// A background job.
#[derive(Clone, Debug)]
pub(crate) struct PlainJob {
    pub(crate) function: String,
    pub(crate) body: String,
    pub(crate) priority: Priority,
    /// Servers to give it to, the first that takes it; none for the default.
    pub(crate) servers: Vec<String>,
}

/// The schedules of a configuration file.
///
/// # Errors
/// Names file and key, and says what to write.
pub(crate) fn read(file: &Path) -> Result<Vec<Schedule>, String> {
    Ok(Config::load(Some(file))?.into_schedules())
}

/// The schedules of the table `schedule`, by name.
///
/// # Errors
/// Names the key and says what to write.
pub(crate) fn parse(schedules: &toml::Table) -> Result<Vec<Schedule>, String> {
    schedules
        .iter()
        .map(|(name, table)| {
            let at = |error: String| format!("schedule.{name}{error}");
            check_name(name).map_err(|error| at(format!(": {error}")))?;
            let table = ScheduleTable::deserialize(table.clone())
                .map_err(|error| at(format!(": {}", error.message())))?;
            schedule(name, table).map_err(|(key, error)| at(format!(".{key}: {error}")))
        })
        .collect()
}

fn check_name(name: &str) -> Result<(), String> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES || name.starts_with('.') || !name.bytes().all(part) {
        return Err(format!(
            "choose another name: 1 to {NAME_BYTES} letters, digits, '-', '_' and '.', and no '.' at the start"
        ));
    }
    Ok(())
}

/// What a table means; errors go with their key.
fn schedule(name: &str, table: ScheduleTable) -> Result<Schedule, (&'static str, String)> {
    let what = match (table.run, table.job) {
        (Some(run), None) if run.is_empty() => return Err(("run", "name a client run".to_owned())),
        (Some(run), None) => What::Run(run),
        (None, Some(job)) if job.function.is_empty() => {
            return Err(("job", "name a function: job = { function = \"cleanup\" }".to_owned()));
        }
        (None, Some(job)) => What::Job(PlainJob {
            function: job.function,
            body: job.body,
            priority: match job.priority {
                PriorityName::High => Priority::High,
                PriorityName::Normal => Priority::Normal,
                PriorityName::Low => Priority::Low,
            },
            servers: job.servers,
        }),
        (Some(_), Some(_)) => return Err(("run", "choose one of run and job".to_owned())),
        (None, None) => {
            let say = "say what to start: run = \"NAME\" for a client run, or job = { function = \"NAME\" }";
            return Err(("run", say.to_owned()));
        }
    };
    let zone = match table.zone {
        Some(zone) => zone,
        None => machine_zone().map_err(|error| ("zone", error))?,
    };
    let timetable = Timetable::new(&table.cron, &zone).map_err(|error| {
        let key = match &error {
            conveyor_client::schedule::TimetableError::Zone(_) => "zone",
            conveyor_client::schedule::TimetableError::Expression(..) => "cron",
        };
        (key, error.to_string())
    })?;
    if timetable.next(super::now()).is_none() {
        let never = format!("'{}' is never due: there is no such day", table.cron);
        return Err(("cron", never));
    }
    let duration = |key: &'static str, text: Option<String>, default: i64| {
        let duration = text.map_or(Ok(default), |text| duration::milliseconds(&text));
        match duration {
            Ok(long) if long > LONGEST => Err((key, "a year is the most".to_owned())),
            other => other.map_err(|error| (key, error)),
        }
    };
    let grace = duration("grace", table.grace, 300_000)?;
    if grace < LEAST_GRACE {
        return Err(("grace", "write 1s or more".to_owned()));
    }
    let plan = Plan {
        name: name.to_owned(),
        timetable,
        jitter: duration("jitter", table.jitter, 0)?,
        overlap: match table.overlap {
            OverlapName::Skip => Overlap::Skip,
            OverlapName::Queue => Overlap::Queue,
            OverlapName::Parallel => Overlap::Parallel,
            OverlapName::Replace => Overlap::Replace,
        },
        missed: match table.missed {
            MissedName::Skip => Missed::Skip,
            MissedName::Once => Missed::Once,
            MissedName::All => Missed::All,
        },
        grace,
        enabled: table.enabled.unwrap_or(true),
    };
    Ok(Schedule { plan, what })
}

/// The name of this machine's zone: of `TZ`, or of the system's; UTC where nothing is said.
fn machine_zone() -> Result<String, String> {
    let set = std::env::var_os("TZ").is_some();
    let zone = match TimeZone::try_system() {
        Ok(zone) => zone,
        Err(_) if !set => return Ok("UTC".to_owned()),
        Err(error) => return Err(format!("the zone of this machine is not known ({error}): name one")),
    };
    match zone.iana_name() {
        Some("Etc/Unknown") if !set => Ok("UTC".to_owned()),
        Some(name) if name != "Etc/Unknown" => Ok(name.to_owned()),
        _ => Err("the zone of this machine has no name: name one, such as Europe/Berlin".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Schedule>, String> {
        let table: toml::Table = text.parse().unwrap();
        parse(table.get("schedule").and_then(toml::Value::as_table).unwrap())
    }

    #[test]
    fn every_key_has_its_meaning_and_most_a_default() {
        let all = "[schedule.a]\ncron = '0 3 * * *'\nzone = 'Europe/Berlin'\njitter = '5m'\noverlap = 'replace'\nmissed = 'all'\n\
                   grace = '1h30m'\nenabled = false\nrun = 'resize'\n\
                   [schedule.b]\ncron = '@daily'\nzone = 'UTC'\njob = { function = 'f', priority = 'low', servers = ['h:1'] }\n";
        let schedules = parsed(all).unwrap();
        let [a, b] = schedules.as_slice() else { unreachable!("two schedules") };
        assert_eq!((a.plan.jitter, a.plan.grace, a.plan.enabled), (300_000, 5_400_000, false));
        assert_eq!((a.plan.overlap, a.plan.missed), (Overlap::Replace, Missed::All));
        assert!(matches!(&a.what, What::Run(name) if name == "resize"));
        assert_eq!((b.plan.jitter, b.plan.grace, b.plan.enabled), (0, 300_000, true));
        assert_eq!((b.plan.overlap, b.plan.missed), (Overlap::Skip, Missed::Skip));
        assert!(matches!(&b.what, What::Job(job) if job.priority == Priority::Low && job.servers == ["h:1"]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_what_to_write() {
        for (lines, expected) in [
            ("cron = '61 * * * *'\nrun = 'x'", "schedule.a.cron: '61 * * * *' is no cron expression"),
            ("cron = '0 0 31 2 *'\nrun = 'x'", "schedule.a.cron: '0 0 31 2 *' is never due"),
            ("cron = '@daily'\nzone = 'Mars'\nrun = 'x'", "schedule.a.zone: 'Mars' is no time zone"),
            ("cron = '@daily'", "schedule.a.run: say what to start"),
            ("cron = '@daily'\nrun = 'x'\njob = { function = 'f' }", "schedule.a.run: choose one"),
            ("cron = '@daily'\nrun = 'x'\ngrace = '0s'", "schedule.a.grace: write 1s or more"),
            ("cron = '@daily'\nrun = 'x'\njitter = 'soon'", "schedule.a.jitter: 'soon' is no duration"),
            (
                "cron = '@daily'\nrun = 'x'\njiter = '1s'",
                "schedule.a: unknown field `jiter`, expected one of `cron`",
            ),
            (
                "cron = '@daily'\nrun = 'x'\noverlap = 'wait'",
                "unknown variant `wait`, expected one of `skip`, `queue`",
            ),
            ("run = 'x'", "schedule.a: missing field `cron`"),
        ] {
            let error = parsed(&format!("[schedule.a]\n{lines}\n")).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
        let error = parsed("[schedule.'a/b']\ncron = '@daily'\nrun = 'x'\n").unwrap_err();
        assert!(error.contains("choose another name"), "{error}");
    }
}

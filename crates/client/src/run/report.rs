//! What became of a run: made from its ledger, by nothing else.

use super::ledger::{Abort, Entry, Ledger, TaskState};
use super::task::RunTask;
use super::verdict::OutcomeKind;
use conveyor_common::payload::TaskId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Most tasks that a report lists of each kind; the rest is counted.
const LISTED: usize = 100;

/// Most tasks among the slowest.
const SLOWEST: usize = 10;

/// When a run was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, or when the report was made, in milliseconds since 1970.
    pub ended_ms: u64,
    /// How often a client went on with it.
    pub resumed: u32,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum RunOutcome {
    /// Every task is done.
    Complete,
    /// Every task has ended, some of them are not done.
    Incomplete,
    /// It was ended early.
    Aborted {
        /// By a critical error, of a task or of the manager.
        critical: bool,
        /// Why, in words.
        reason: String,
    },
    /// It has not ended: its client is at work, or was killed.
    Unfinished,
}

/// A task in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLine {
    /// Its name.
    pub id: TaskId,
    /// How its last try went; none when nothing was heard of any.
    pub outcome: Option<OutcomeKind>,
    /// Tries.
    pub attempts: u32,
    /// What the last try that ended took, in milliseconds.
    pub took_ms: u64,
    /// What went wrong.
    pub message: Option<String>,
    /// The server's name for its last job.
    pub handle: Option<String>,
}

impl TaskLine {
    /// The name of its outcome in [`Report::by_outcome`]: of one without, whether it was submitted.
    #[must_use]
    pub const fn outcome_name(&self) -> &'static str {
        match self.outcome {
            Some(kind) => kind.as_str(),
            None if self.attempts == 0 => NOT_SUBMITTED,
            None => UNANSWERED,
        }
    }
}

/// The manager in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerLine {
    /// How the last manager task went; none when it was not answered.
    pub outcome: Option<OutcomeKind>,
    /// Manager tasks.
    pub attempts: u32,
    /// What it had to say.
    pub message: Option<String>,
}

/// What tasks took that are done, in milliseconds from submission to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// The quickest.
    pub min_ms: u64,
    /// Half of them took less.
    pub median_ms: u64,
    /// Nine of ten took less.
    pub p90_ms: u64,
    /// The slowest.
    pub max_ms: u64,
}

/// What became of a run. `created` is `ok` + `error` + `missing`, always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The name of the client.
    pub name: String,
    /// The id of the run.
    pub run: String,
    /// When it was.
    pub times: Times,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Tasks in all.
    pub created: usize,
    /// Tasks that are done.
    pub ok: usize,
    /// Tasks that somebody answered for, and that are not done: error, critical, failed, malformed.
    pub error: usize,
    /// Tasks that nobody answered for: lost, timed out, not answered when the run ended, never submitted.
    pub missing: usize,
    /// The above, by outcome; `unanswered` and `not-submitted` for those that have none.
    pub by_outcome: BTreeMap<String, usize>,
    /// Tries in all.
    pub attempts: u64,
    /// Tasks that were tried more than once.
    pub retried: usize,
    /// What the tasks that are done took.
    pub durations: Durations,
    /// The tasks whose last try took longest, the slowest first.
    pub slowest: Vec<TaskLine>,
    /// The first 100 of those in `error`, in the order of the list.
    pub errors: Vec<TaskLine>,
    /// The first 100 of those in `missing`.
    pub absent: Vec<TaskLine>,
    /// The manager, if the run had one.
    pub manager: Option<ManagerLine>,
}

impl Report {
    /// Whether every task is done and nothing else went wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == RunOutcome::Complete
    }

    /// One line: how it went, for subjects and logs.
    #[must_use]
    pub fn headline(&self) -> String {
        let Self { name, created, ok, error, missing, .. } = self;
        match &self.outcome {
            RunOutcome::Complete => format!("{name}: all {created} tasks are done"),
            RunOutcome::Incomplete => {
                format!(
                    "{name}: {} of {created} tasks are not done ({error} with errors, {missing} missing)",
                    created - ok
                )
            }
            RunOutcome::Aborted { reason, .. } => {
                format!("{name}: ended early with {ok} of {created} tasks done: {reason}")
            }
            RunOutcome::Unfinished => format!("{name}: has not ended, {ok} of {created} tasks are done"),
        }
    }
}

/// Where a task without an outcome stands.
const UNANSWERED: &str = "unanswered";
const NOT_SUBMITTED: &str = "not-submitted";

impl Ledger {
    /// What became of the run called `name`. `tasks` are those the ledger was made for.
    #[must_use]
    pub fn report(&self, name: &str, tasks: &[RunTask], times: Times) -> Report {
        let mut report = Report {
            name: name.to_owned(),
            run: self.run.clone(),
            times,
            outcome: RunOutcome::Unfinished,
            created: self.tasks.len(),
            ok: 0,
            error: 0,
            missing: 0,
            by_outcome: BTreeMap::new(),
            attempts: 0,
            retried: 0,
            durations: Durations::default(),
            slowest: Vec::new(),
            errors: Vec::new(),
            absent: Vec::new(),
            manager: self.manager.as_ref().map(|manager| ManagerLine {
                outcome: manager.last,
                attempts: manager.attempts,
                message: manager.message.as_deref().map(str::to_owned),
            }),
        };
        let mut took = Vec::new();
        for (entry, task) in self.tasks.iter().zip(tasks) {
            report.count(entry, task);
            if outcome_of(entry) == Some(OutcomeKind::Ok) {
                took.push(entry.took_ms);
            }
        }
        report.durations = durations(took);
        report.slowest = self.slowest(tasks);
        report.outcome = self.outcome(&report, tasks);
        report
    }

    /// Where every one of `tasks` is, in their order. They are those the ledger was made for.
    pub fn lines<'a>(&'a self, tasks: &'a [RunTask]) -> impl Iterator<Item = TaskLine> + 'a {
        self.tasks.iter().zip(tasks).map(|(entry, task)| line(entry, task))
    }

    fn outcome(&self, report: &Report, tasks: &[RunTask]) -> RunOutcome {
        let aborted = |critical, reason| RunOutcome::Aborted { critical, reason };
        match &self.aborted {
            Some(Abort::Critical(task)) => {
                let id = tasks.get(task.0).map_or_else(String::new, |task| task.id.to_string());
                let message = self.tasks.get(task.0).and_then(|entry| entry.message.as_deref());
                aborted(true, format!("task {id}: {}", message.unwrap_or("a critical error")))
            }
            Some(Abort::Manager(why)) => aborted(true, format!("the manager: {why}")),
            Some(Abort::Deadline) => aborted(false, "the run was out of time".to_owned()),
            Some(Abort::Stopped(why)) => aborted(false, why.clone()),
            None if self.counts().open() > 0 => RunOutcome::Unfinished,
            None if report.ok == report.created => RunOutcome::Complete,
            None => RunOutcome::Incomplete,
        }
    }

    fn slowest(&self, tasks: &[RunTask]) -> Vec<TaskLine> {
        let mut ended: Vec<_> =
            self.tasks.iter().zip(tasks).filter(|(entry, _)| entry.last.is_some()).collect();
        let by_time = |(entry, _): &(&Entry, &RunTask)| std::cmp::Reverse(entry.took_ms);
        if ended.len() > SLOWEST {
            ended.select_nth_unstable_by_key(SLOWEST, by_time);
            ended.truncate(SLOWEST);
        }
        ended.sort_by_key(by_time);
        ended.into_iter().map(|(entry, task)| line(entry, task)).collect()
    }
}

impl Report {
    fn count(&mut self, entry: &Entry, task: &RunTask) {
        self.attempts += u64::from(entry.attempts);
        self.retried += usize::from(entry.attempts > 1);
        let outcome = outcome_of(entry);
        let name = match outcome {
            Some(kind) => kind.as_str(),
            None if entry.attempts == 0 => NOT_SUBMITTED,
            None => UNANSWERED,
        };
        *self.by_outcome.entry(name.to_owned()).or_default() += 1;
        let (count, list) = match outcome {
            Some(OutcomeKind::Ok) => {
                self.ok += 1;
                return;
            }
            Some(kind) if !kind.is_missing() => (&mut self.error, &mut self.errors),
            _ => (&mut self.missing, &mut self.absent),
        };
        *count += 1;
        if list.len() < LISTED {
            list.push(line(entry, task));
        }
    }
}

/// What is known last: of a try that was not answered, the one before.
const fn outcome_of(entry: &Entry) -> Option<OutcomeKind> {
    match entry.state {
        TaskState::Ended(kind) => Some(kind),
        _ => entry.last,
    }
}

fn line(entry: &Entry, task: &RunTask) -> TaskLine {
    TaskLine {
        id: task.id.clone(),
        outcome: outcome_of(entry),
        attempts: entry.attempts,
        took_ms: entry.took_ms,
        message: entry.message.as_deref().map(str::to_owned),
        handle: entry.handle.as_ref().map(|handle| String::from_utf8_lossy(handle).into_owned()),
    }
}

fn durations(mut took: Vec<u64>) -> Durations {
    took.sort_unstable();
    let at = |part: usize| {
        let index = (took.len() * part / 100).min(took.len().saturating_sub(1));
        took.get(index).copied().unwrap_or_default()
    };
    Durations { min_ms: at(0), median_ms: at(50), p90_ms: at(90), max_ms: at(100) }
}

impl fmt::Display for Report {
    /// For people: a headline, the counts, what went wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        writeln!(f, "run       {}", self.run)?;
        let seconds = self.times.ended_ms.saturating_sub(self.times.started_ms) as f64 / 1000.0;
        write!(f, "took      {seconds:.1} s")?;
        match self.times.resumed {
            0 => writeln!(f)?,
            times => writeln!(f, ", resumed {times} times")?,
        }
        let Self { created, ok, error, missing, attempts, retried, .. } = self;
        writeln!(f, "tasks     {created}: {ok} ok, {error} with errors, {missing} missing")?;
        writeln!(f, "tries     {attempts}, {retried} tasks more than once")?;
        let kinds: Vec<String> =
            self.by_outcome.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "outcomes  {}", kinds.join(", "))?;
        if self.ok > 0 {
            let Durations { min_ms, median_ms, p90_ms, max_ms } = self.durations;
            writeln!(
                f,
                "task time {min_ms} ms at least, {median_ms} median, {p90_ms} nine of ten, {max_ms} at most"
            )?;
        }
        if let Some(ManagerLine { outcome, attempts, message }) = &self.manager {
            let outcome = outcome.map_or("not answered", OutcomeKind::as_str);
            write!(f, "manager   {outcome}, asked {attempts} times")?;
            writeln!(f, "{}", message.as_ref().map_or_else(String::new, |message| format!(": {message}")))?;
        }
        list(f, "with errors", &self.errors, self.error)?;
        list(f, "missing", &self.absent, self.missing)?;
        list(f, "slowest", &self.slowest, self.slowest.len())
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: &[TaskLine], all: usize) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}:")?;
    for TaskLine { id, outcome, attempts, took_ms, message, .. } in lines {
        let outcome = outcome.map_or("no answer", OutcomeKind::as_str);
        write!(f, "  {id:<16} {outcome:<10} {took_ms:>8} ms, tries {attempts}")?;
        match message {
            Some(message) => writeln!(f, ": {}", message.escape_debug())?,
            None => writeln!(f)?,
        }
    }
    if all > lines.len() {
        writeln!(f, "  and {} more", all - lines.len())?;
    }
    Ok(())
}

//! What people see of a run on standard error: a view at a terminal, lines elsewhere, or nothing.

use super::super::live::style;
use super::events;
use conveyor_client::run::{Counts, OutcomeKind, RunEvent, RunTask, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Errors that a view shows: the last ones.
const ERRORS: usize = 3;

/// Errors that are written in a second; the rest is counted.
const ERRORS_A_SECOND: usize = 5;

/// Longest time between two lines about progress.
const LINE: Duration = Duration::from_secs(10);

/// Shortest, however many tenths of the tasks are over.
const LEAST: Duration = Duration::from_secs(1);

/// How often a view moves by itself.
const TICK: Duration = Duration::from_millis(250);

/// Characters of a message that a line has room for.
const MESSAGE: usize = 200;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// Somebody at a terminal.
    Terminal,
    /// Somebody who reads a log.
    Log,
    /// Nobody.
    Nobody,
}

/// What is seen.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    bars: Option<Bars>,
    lines: bool,
    counts: Counts,
    outcomes: BTreeMap<OutcomeKind, usize>,
    start: Instant,
    /// Tasks that were over before this client.
    before: usize,
    said: Said,
}

/// What lines were written.
#[derive(Debug)]
struct Said {
    at: Instant,
    tenth: usize,
    /// The second in which errors are counted, those written in it, and those that were not.
    second: Instant,
    errors: usize,
    more: usize,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    tasks: ProgressBar,
    open: ProgressBar,
    errors: VecDeque<ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let tasks = all.add(ProgressBar::new(0));
        tasks.set_style(style("{bar:25} {pos}/{len} tasks, {msg}, {per_sec}, {eta} left"));
        let open = all.add(ProgressBar::no_length());
        open.set_style(style("  {msg}, {elapsed}"));
        Self { all, tasks, open, errors: VecDeque::new() }
    }

    fn error(&mut self, line: &str) {
        if self.errors.len() >= ERRORS
            && let Some(oldest) = self.errors.pop_front()
        {
            oldest.finish_and_clear();
            self.all.remove(&oldest);
        }
        let bar = self.all.add(ProgressBar::no_length());
        bar.set_style(style("  {wide_msg}"));
        bar.set_message(line.to_owned());
        self.errors.push_back(bar);
    }
}

impl Progress {
    /// `outcomes` are those of tasks that are over already.
    pub(super) fn new(name: &str, looks: Looks, outcomes: BTreeMap<OutcomeKind, usize>) -> Self {
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            bars: (looks == Looks::Terminal).then(Bars::new),
            lines: looks == Looks::Log,
            counts: Counts::default(),
            before: outcomes.values().sum(),
            outcomes,
            start: now,
            said: Said { at: now, tenth: 0, second: now, errors: 0, more: 0 },
        }
    }

    /// Takes an event.
    pub(super) fn event(&mut self, tasks: &[RunTask], event: &RunEvent) {
        match event {
            RunEvent::Started { counts } => self.started(*counts),
            RunEvent::Submitted { .. } => {
                self.counts.in_flight += 1;
                self.counts.ready = self.counts.ready.saturating_sub(1);
            }
            RunEvent::Ended { task, attempt, verdict, again_ms, counts } => {
                self.counts = *counts;
                self.ended(tasks.get(*task), *attempt, verdict, *again_ms);
            }
            RunEvent::ManagerEnded(Verdict { kind, message, .. }) if *kind != OutcomeKind::Ok => {
                let why = message.as_deref().unwrap_or_default();
                self.say(&format!("the manager: {kind} {}", clean(why)));
            }
            RunEvent::Aborted(why) => {
                self.say(&format!("ending early: {}", clean(&events::aborted(tasks, why))));
            }
            RunEvent::Cancelled { cancelled, asked } if *asked > 0 => {
                self.say(&format!("{cancelled} of {asked} jobs were still queued and are cancelled"));
            }
            RunEvent::Unreachable(why) => {
                self.say(&format!("no server can be reached, waiting for one: {}", clean(why)))
            }
            RunEvent::Reachable => self.say("a server can be reached again"),
            RunEvent::OtherId { task, claimed, .. } => {
                let id = tasks.get(*task).map_or_else(String::new, |task| task.id.to_string());
                let (id, claimed) = (clean(&id), clean(&claimed.to_string()));
                self.error(&format!("task {id}: its performer answers for {claimed}"));
            }
            _ => return,
        }
        self.refresh();
    }

    /// A second has passed.
    pub(super) fn tick(&mut self) {
        self.say_more();
        if self.lines && self.counts.tasks > 0 && self.said.at.elapsed() >= LINE {
            self.line();
        }
    }

    /// Takes the view away.
    pub(super) fn finish(&mut self) {
        self.say_more();
        if let Some(bars) = self.bars.take() {
            bars.errors.iter().chain([&bars.open, &bars.tasks]).for_each(ProgressBar::finish_and_clear);
        }
    }

    fn started(&mut self, counts: Counts) {
        self.counts = counts;
        self.said.tenth = self.tenth();
        if let Some(bars) = &self.bars {
            bars.tasks.set_length(counts.tasks as u64);
            // Neither rate nor rest is about those.
            bars.tasks.set_position(self.before as u64);
            bars.tasks.reset_eta();
            bars.tasks.enable_steady_tick(TICK);
            bars.open.enable_steady_tick(TICK);
        }
    }

    fn ended(&mut self, task: Option<&RunTask>, attempt: u32, verdict: &Verdict, again_ms: Option<u64>) {
        if again_ms.is_none() {
            *self.outcomes.entry(verdict.kind).or_default() += 1;
        }
        if verdict.kind != OutcomeKind::Ok {
            let id = task.map_or_else(String::new, |task| task.id.to_string());
            let mut line = format!("task {}: {}", clean(&id), verdict.kind);
            if let Some(message) = &verdict.message {
                // Writing to a string cannot fail.
                let _ = write!(line, ": {}", clean(message));
            }
            let _ = match again_ms {
                Some(ms) => write!(line, " (try {attempt}, again in {:.1} s)", ms as f64 / 1000.0),
                None => write!(line, " (try {attempt}, the last)"),
            };
            self.error(&line);
        }
        let due = self.said.at.elapsed() >= LEAST && self.tenth() > self.said.tenth;
        if self.lines && due && self.counts.open() > 0 {
            self.line();
        }
    }

    fn error(&mut self, line: &str) {
        if let Some(bars) = &mut self.bars {
            bars.error(line);
        } else if self.lines {
            if self.said.second.elapsed() >= Duration::from_secs(1) {
                self.say_more();
            }
            if self.said.errors < ERRORS_A_SECOND {
                self.said.errors += 1;
                self.say(line);
            } else {
                self.said.more += 1;
            }
        }
    }

    /// Begins a new second.
    fn say_more(&mut self) {
        let more = std::mem::take(&mut self.said.more);
        self.said.second = Instant::now();
        self.said.errors = 0;
        if more > 0 {
            self.say(&format!("and {more} more errors"));
        }
    }

    fn say(&self, line: &str) {
        if let Some(bars) = &self.bars {
            // Whoever looks at a terminal that is gone has seen enough.
            let _ = bars.all.println(format!("{}: {line}", self.name));
        } else if self.lines {
            eprintln!("{}: {line}", self.name);
        }
    }

    fn refresh(&self) {
        let Some(bars) = &self.bars else { return };
        let Counts { ok, not_ok, in_flight, waiting, .. } = self.counts;
        bars.tasks.set_position((ok + not_ok) as u64);
        bars.tasks.set_message(self.by_outcome());
        bars.open.set_message(format!("{in_flight} in flight, {waiting} wait for another try"));
    }

    fn line(&mut self) {
        self.said.at = Instant::now();
        self.said.tenth = self.tenth();
        let Counts { tasks, ok, not_ok, in_flight, waiting, .. } = self.counts;
        let over = ok + not_ok;
        // Numbers of tasks are far below what a float tells apart.
        let rate = over.saturating_sub(self.before) as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        let mut line =
            format!("{over} of {tasks} tasks are over ({}), {in_flight} in flight", self.by_outcome());
        let _ = write!(line, ", {waiting} wait for another try, {rate:.1} tasks/s");
        if rate > 0.0 {
            let _ = write!(line, ", {:.0} s left", (tasks.saturating_sub(over)) as f64 / rate);
        }
        self.say(&line);
    }

    fn by_outcome(&self) -> String {
        if self.outcomes.is_empty() {
            return "none over".to_owned();
        }
        let counts: Vec<String> =
            self.outcomes.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        counts.join(", ")
    }

    fn tenth(&self) -> usize {
        (self.counts.ok + self.counts.not_ok) * 10 / self.counts.tasks.max(1)
    }
}

/// On one line, and whatever moves a cursor is shown, not done.
fn clean(text: &str) -> String {
    let mut clean: String = text.chars().take(MESSAGE).collect::<String>().escape_debug().to_string();
    if text.chars().nth(MESSAGE).is_some() {
        clean.push('…');
    }
    clean
}

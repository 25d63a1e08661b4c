//! What a journal says of its run.

use super::journal::JournalError;
use super::ledger::{Abort, Ledger};
use super::policy::Policy;
use super::record::{FORMAT, Header, Record};
use super::report::{Report, Times};
use super::task::RunTask;
use conveyor_common::payload::Codec;
use conveyor_common::{Millis, Priority};
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a journal says of its run: of one that is over, that was killed, or that is alive.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The name of the client.
    pub name: String,
    /// The id of the run.
    pub run: String,
    /// The function of tasks that name none.
    pub function: String,
    /// The priority of tasks that name none.
    pub priority: Priority,
    /// The codec of tasks and answers.
    pub codec: Codec,
    /// The function of its manager, if it has one.
    pub manager: Option<String>,
    /// All tasks.
    pub tasks: Arc<Vec<RunTask>>,
    /// What is tried again, as the client that was there last had it.
    pub policy: Policy,
    /// How long a try could take, as the first client had it.
    pub task_timeout: Option<Duration>,
    /// How long the run could take, as the first client had it.
    pub run_timeout: Option<Duration>,
    /// Where every task was when the last line was written.
    pub ledger: Ledger,
    /// When the run began, in milliseconds since 1970.
    pub started: Millis,
    /// When the last line was written.
    pub last: Millis,
    /// How often a client went on with it.
    pub resumed: u32,
    /// When it was over; none when it is not. One that was ended early is over, too.
    pub finished: Option<Millis>,
}

/// What was read, and how much of it was whole lines.
pub(super) struct Read {
    pub(super) saved: Saved,
    pub(super) header: Header,
    pub(super) whole_bytes: u64,
}

impl Saved {
    /// Reads the journal of a run that may be alive: what stands in it now.
    ///
    /// # Errors
    /// It cannot be read, is none, or is damaged.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|error| JournalError::io(path, error))?;
        read(path, std::io::BufReader::with_capacity(1 << 16, file)).map(|read| read.saved)
    }

    /// What became of the run, or how far it is at `now`.
    #[must_use]
    pub fn report(&self, now: Millis) -> Report {
        let ended = self.finished.unwrap_or(now);
        let times = Times { started_ms: self.started.0, ended_ms: ended.0, resumed: self.resumed };
        self.ledger.report(&self.name, &self.tasks, times)
    }

    /// Why the run ended early, if it did.
    #[must_use]
    pub const fn aborted(&self) -> Option<&Abort> {
        self.ledger.aborted()
    }
}

/// Reads what is there. A last line without its end is passed over: it was being written.
pub(super) fn read(path: &Path, mut input: impl BufRead) -> Result<Read, JournalError> {
    let mut line = Vec::new();
    let mut whole_bytes = 0_u64;
    let mut number = 0;
    let mut reading: Option<Reading> = None;
    loop {
        line.clear();
        let bytes = input.read_until(b'\n', &mut line).map_err(|error| JournalError::io(path, error))?;
        let Some(text) = line.strip_suffix(b"\n") else { break };
        number += 1;
        whole_bytes = whole_bytes.saturating_add(bytes as u64);
        let wrong = |what: String| JournalError::Damaged { path: path.to_owned(), line: number, what };
        let record: Record = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        match (&mut reading, record) {
            (None, Record::Run(header)) if header.format == FORMAT => reading = Some(Reading::new(header)),
            (None, Record::Run(header)) => {
                return Err(wrong(format!("format {} is not known, {FORMAT} is", header.format)));
            }
            (None, _) => return Err(wrong("a journal begins with a line about its run".to_owned())),
            (Some(reading), record) => reading.take(record).map_err(|what| wrong(what.to_owned()))?,
        }
    }
    match reading.and_then(Reading::done) {
        Some((header, saved)) => Ok(Read { saved, header, whole_bytes }),
        None => Err(JournalError::Incomplete { path: path.to_owned() }),
    }
}

/// A journal, as far as it is read.
struct Reading {
    header: Header,
    tasks: Vec<RunTask>,
    ledger: Option<Ledger>,
    last: u64,
    resumed: u32,
    finished: Option<u64>,
}

impl Reading {
    fn new(header: Header) -> Self {
        let last = header.at;
        let mut new = Self { header, tasks: Vec::new(), ledger: None, last, resumed: 0, finished: None };
        new.begin();
        new
    }

    /// The ledger is there as soon as all tasks are.
    fn begin(&mut self) {
        let Header { run, tasks, policy, manager, .. } = &self.header;
        if self.tasks.len() == *tasks {
            self.ledger = Some(Ledger::new(run, *tasks, policy.clone(), manager.is_some()));
        }
    }

    fn take(&mut self, record: Record) -> Result<(), &'static str> {
        let at = record.at().unwrap_or(self.last);
        self.last = self.last.max(at);
        match (record, &mut self.ledger) {
            (Record::Run(_), _) => return Err("a second run"),
            (Record::Task(task), None) if task.index == self.tasks.len() => {
                self.tasks.push(task.into_task());
                self.begin();
            }
            (Record::Task(_), _) => return Err("a task out of its turn"),
            (_, None) => return Err("something happened before all tasks were there"),
            (record, Some(ledger)) => {
                match &record {
                    Record::Resumed { policy, .. } => {
                        self.header.policy = policy.clone();
                        self.resumed = self.resumed.saturating_add(1);
                        self.finished = None;
                    }
                    Record::Finished { at, .. } => self.finished = Some(*at),
                    _ => {}
                }
                if let Some(past) = record.into_past() {
                    ledger.restore(Millis(at), &past);
                }
            }
        }
        Ok(())
    }

    fn done(self) -> Option<(Header, Saved)> {
        let Self { header, tasks, ledger, last, resumed, finished } = self;
        let saved = Saved {
            name: header.name.clone(),
            run: header.run.clone(),
            function: header.function.clone(),
            priority: header.priority.into(),
            codec: header.codec,
            manager: header.manager.clone(),
            tasks: Arc::new(tasks),
            policy: header.policy.clone(),
            task_timeout: header.task_timeout_ms.map(Duration::from_millis),
            run_timeout: header.run_timeout_ms.map(Duration::from_millis),
            ledger: ledger?,
            started: Millis(header.at),
            last: Millis(last),
            resumed,
            finished: finished.map(Millis),
        };
        Some((header, saved))
    }
}

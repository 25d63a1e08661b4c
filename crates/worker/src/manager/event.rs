//! What the shell tells the manager.

use super::group::Group;
use super::load::Snapshot;
use std::fmt;

/// A group, as the manager numbers it, in the order in which it hears of them. A group that is in the settings again after it
/// was gone has a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u16);

/// One life of one performer. No two lives are equal: what comes late from an old process is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// What it is one of.
    pub group: GroupId,
    /// Its place in the group, from 0; free again when the process is gone.
    pub number: u32,
    /// Rises with every start of this manager.
    pub generation: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Time has passed; see [`super::Manager::next_deadline`].
    Tick,
    /// The machine and the performers were measured. Processes that the manager does not know are passed over, their
    /// `kind` and order are the manager's. Expected once a second, unless the policy is [`super::Policy::Fixed`].
    Measured(Snapshot),
    /// Nothing could be measured, or whoever measures has died. Nothing is started until the next [`Event::Measured`].
    PressureUnknown {
        /// What failed, in words.
        why: String,
    },
    /// [`super::Effect::Spawn`] was done. Comes before anything else about this slot.
    Spawned {
        /// Which.
        slot: Slot,
        /// The process id. It leads a process group of its own.
        pid: u32,
    },
    /// [`super::Effect::Spawn`] could not be done; nothing else will come for this slot.
    SpawnFailed {
        /// Which.
        slot: Slot,
        /// What failed, in words.
        why: String,
    },
    /// The performer said hello: it is up, and understands what it is told.
    Hello {
        /// Which.
        slot: Slot,
    },
    /// The performer has done what it was told.
    Acked {
        /// Which.
        slot: Slot,
        /// Of [`super::Effect::Tell`].
        sequence: u64,
    },
    /// The process has ended and was waited for; nothing else will come for this slot.
    Exited {
        /// Which.
        slot: Slot,
        /// How.
        how: Exit,
    },
    /// The performer took a job. Only from performers that report jobs.
    JobStarted {
        /// Which.
        slot: Slot,
    },
    /// The performer has answered its job.
    JobEnded {
        /// Which.
        slot: Slot,
        /// Whether the job went well.
        ok: bool,
    },
    /// What the job server says about the functions of a group.
    Queue {
        /// Which.
        group: GroupId,
        /// Jobs that nobody has taken.
        queued: u32,
        /// Jobs under way.
        running: u32,
        /// How long the oldest of the queued ones has waited, in milliseconds; 0 where nobody knows.
        oldest_age_ms: u64,
    },
    /// Somebody wants something.
    Command(Command),
    /// A file of the group's program has changed: its performers are replaced one by one.
    FileChanged {
        /// Which.
        group: GroupId,
    },
    /// A manager's job was taken. Once, and only in a manager made by [`super::Manager::batch`].
    JobTaken(Task),
    /// The connection over which the manager's job came is gone. The server gives the job to somebody else, so
    /// nothing more is started for it and nobody is told.
    JobLost,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Numbers of a manager's job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Performers that have to come to their end by themselves.
    pub total: u32,
    /// Most of them at once; 1 is one.
    pub at_once: u32,
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// So many performers of a group, whatever its settings say; none leaves it to its settings again.
    Scale {
        /// Which.
        group: GroupId,
        /// How many.
        count: Option<u32>,
    },
    /// Stop for a while. No performer is started for a group that is paused.
    Pause(Target),
    /// Go on: ends [`Command::Pause`] and [`Command::Drain`].
    Resume(Target),
    /// Start no more, and end between jobs. A single performer is replaced. In a batch performers end by themselves.
    Drain(Target),
    /// Replace performers: a new one is ready before the next old one is asked to end. Ends a back-off, and that a
    /// group was given up.
    Restart(Target),
    /// Other settings. Groups that are new are started, missing ones are drained, equal ones are not touched;
    /// performers are replaced only where their command has changed. Passed over in a batch.
    Reload(Vec<Group>),
    /// End.
    Stop(Stop),
}

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everybody.
    All,
    /// A group.
    Group(GroupId),
    /// A performer.
    Slot(Slot),
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Performers are asked, and killed when their grace is over.
    Graceful,
    /// Performers are killed.
    Now,
}

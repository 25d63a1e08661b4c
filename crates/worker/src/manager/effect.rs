//! What the manager wants done. The shell does it, in order, and decides nothing.

use super::event::{GroupId, Slot};
use std::fmt;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the command of the group in a process group of its own, and tell by [`super::Event::Spawned`] or
    /// [`super::Event::SpawnFailed`], one of them, exactly once.
    Spawn {
        /// Names this life.
        slot: Slot,
        /// Starts of this group, this one included.
        attempt: u64,
    },
    /// Write to the performer's control channel. Only after its hello. What cannot be written is passed over: no
    /// answer is an answer.
    Tell {
        /// To whom.
        slot: Slot,
        /// What.
        order: Order,
        /// To be given back by [`super::Event::Acked`]. Rises for each slot.
        sequence: u64,
    },
    /// Stop the process tree, by the cgroup's freezer or SIGSTOP to the process group.
    Freeze {
        /// Which.
        slot: Slot,
    },
    /// Let a frozen process tree go on.
    Thaw {
        /// Which.
        slot: Slot,
    },
    /// Send a signal to the process group. Only between [`super::Event::Spawned`] and [`super::Event::Exited`].
    Signal {
        /// Which.
        slot: Slot,
        /// What.
        signal: Signal,
    },
    /// Send WORK_STATUS for the manager's job.
    ReportProgress {
        /// Performers that have ended by themselves, and those that live.
        created: u32,
        /// Performers that have ended by themselves.
        finished: u32,
        /// How many there are to be.
        total: u32,
    },
    /// Answer the manager's job. Exactly once for each, and never after [`super::Event::JobLost`].
    Finish(Outcome),
    /// The manager has nothing left to do and no performer lives. Once, and the last effect: after a
    /// [`super::Command::Stop`], and when a batch is over.
    Ended,
    /// Tell the operator.
    Note(Note),
    /// For the table of performers.
    SetState {
        /// Which.
        slot: Slot,
        /// What it is now. After [`State::Gone`] nothing comes for this slot.
        state: State,
    },
}

/// What a performer is told on its control channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop at the next checkpoint until further notice.
    Pause,
    /// Go on.
    Resume,
    /// End, after the job under way or at its next checkpoint; also while it is paused.
    Terminate {
        /// For want of memory or processors: the job is to be done again, and that is not its fault.
        shed: bool,
    },
    /// Answer.
    Ping,
}

/// What a process group is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// What becomes of the manager's job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All performers have come to their end.
    Ok,
    /// They have not, for this reason.
    Error(String),
    /// They have not, and the client is to give up the whole run.
    Critical(String),
}

/// What a performer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process is being started, or has yet to say hello.
    Starting,
    /// Takes jobs.
    Ready,
    /// Was told to pause.
    Pausing,
    /// Does nothing.
    Paused,
    /// Was told to go on.
    Resuming,
    /// Is to end.
    Ending(Stage),
    /// Has ended.
    Gone,
}

/// How urgently a performer is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was told.
    Asked,
    /// It was sent SIGTERM.
    Term,
    /// It was sent SIGKILL.
    Kill,
}

/// Something an operator wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// About whom.
    pub about: About,
    /// What happened.
    pub what: What,
    /// Why, in words.
    pub why: String,
}

/// Whom a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The manager itself.
    Manager,
    /// A group.
    Group(GroupId),
    /// A performer.
    Performer(Slot),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A group is short of performers and none is started. Told when the reason changes.
    NotStarted,
    /// A performer is to end.
    Ending,
    /// A performer is ended for want of memory or processors, to be started again later.
    Shed,
    /// A performer has ended by itself, and not well.
    Crashed,
    /// A group is given up until somebody restarts or changes it.
    GivenUp,
    /// A performer did not do in time what it was told.
    Silent,
    /// The performers of a group are replaced.
    Restarting,
    /// The number of performers of a group has changed.
    Scaled,
    /// Nothing can be measured for too long. An error.
    Blind,
    /// What was asked for makes no sense here and was passed over.
    Ignored,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "no performer is started",
            Self::Ending => "a performer is to end",
            Self::Shed => "a performer is shed",
            Self::Crashed => "a performer crashed",
            Self::GivenUp => "the group is given up",
            Self::Silent => "a performer does not answer",
            Self::Restarting => "performers are replaced",
            Self::Scaled => "the number of performers changed",
            Self::Blind => "nothing can be measured",
            Self::Ignored => "a command was passed over",
        })
    }
}

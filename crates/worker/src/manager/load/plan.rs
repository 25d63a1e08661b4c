//! What follows from a measurement.

use std::fmt;

/// What is to happen to performers now. Empty lists and 0 are nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// So many more may be started.
    pub start: u32,
    /// These are to stop for a while.
    pub pause: Vec<u32>,
    /// These are to go on.
    pub resume: Vec<u32>,
    /// These are to end, for too much of something; their jobs are to be done again.
    pub shed: Vec<u32>,
    /// What there was too much of, where something is paused or shed.
    pub exceeded: Option<Exceeded>,
    /// There is no performer and no memory for one: whoever wants the work done is to be told.
    pub critical_finish: bool,
    /// Why nothing is started, where nothing is.
    pub why: Option<Why>,
}

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Memory.
    Memory,
    /// Load of the processors.
    Cpu,
}

/// Why no performer may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another one might not fit into the memory for performers.
    Memory,
    /// Another one might be too much for the processors.
    Cpu,
    /// The machine is nearly out of memory.
    CriticalMemory,
    /// Tasks of the machine wait for memory.
    MemoryPressure,
    /// There is too much load, and performers may not be paused.
    MayNotPause,
    /// What is paused goes on first.
    Paused,
    /// One was started only just now.
    Pace,
    /// It runs as many as it dares for now; more as long as all is well.
    Growing,
    /// No more are wanted.
    Enough,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "another one might not fit into the memory for performers",
            Self::Cpu => "another one might be too much for the processors",
            Self::CriticalMemory => "the machine is nearly out of memory",
            Self::MemoryPressure => "tasks of the machine wait for memory",
            Self::MayNotPause => "there is too much load, and performers may not be paused",
            Self::Paused => "what is paused goes on first",
            Self::Pace => "one was started only just now",
            Self::Growing => "it grows step by step",
            Self::Enough => "no more are wanted",
        })
    }
}

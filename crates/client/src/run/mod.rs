//! The conveyor client: a run of many tasks that is accounted for to the last one.
//!
//! A run has a closed list of [`RunTask`]s, each with an id of its own. Every task is submitted, its answer becomes a
//! [`Verdict`], leftovers are tried again as the [`Policy`] says, and a critical error ends the whole run. What happened
//! stands in a journal, from which a run that was killed goes on, and from which a [`Report`] is made.
//!
//! The [`Ledger`] decides: a plain value, events in, effects out, time as an argument. The runner owns the sockets, the
//! clock and the journal, and decides nothing.

mod cancel;
mod driver;
mod journal;
mod ledger;
mod policy;
mod record;
mod report;
mod runner;
mod saved;
mod task;
mod verdict;

pub use journal::{Journal, JournalError};
pub use ledger::{Abort, Counts, Effect, Event, Ledger, ManagerState, Past, TaskIndex, TaskState};
pub use policy::Policy;
pub use report::{Durations, ManagerLine, Report, RunOutcome, TaskLine, Times};
pub use runner::{ManagerSpec, RunError, RunEvent, RunSpec, run};
pub use saved::Saved;
pub use task::{RunTask, TaskError, read_tasks};
pub use verdict::{MESSAGE_BYTES, OutcomeKind, Verdict};

//! Schedules: when something is due, and what to do about it. Pure: time is an argument, and nothing here touches a
//! file, a socket or a clock.
//!
//! A [`Timetable`] turns a cron expression and a time zone into due times. A [`Machine`] decides for one schedule what
//! becomes of each of them: events in, [`Effect`]s out. All it knows is its [`State`], which whoever runs it stores
//! before acting on the effects; so a process that is started again, or a second one with the same state, goes on where
//! the first one was.
//!
//! Times are milliseconds since 1970-01-01 UTC.

mod event;
mod machine;
mod plan;
mod state;
mod timetable;
mod unique;

#[cfg(test)]
mod tests;

pub use event::{Effect, Event};
pub use machine::Machine;
pub use plan::{Missed, Overlap, Plan};
pub use state::{How, Kind, PassedOver, Past, Phase, Retry, Run, Start, State, Where};
pub use timetable::{Timetable, TimetableError};
pub use unique::{stamp, unique};

//! What every part of Conveyor shares: the Gearman wire protocol, payloads, ids, priorities and limits.
//!
//! Pure: no socket, file, clock or runtime. Bytes go in and typed values come out, or the reverse.

pub mod ids;
pub mod limits;
pub mod payload;
pub mod priority;
pub mod protocol;
pub mod time;

pub use ids::{ConnId, HandlePrefix, JobNumber};
pub use priority::Priority;
pub use time::{Millis, UnixSeconds};

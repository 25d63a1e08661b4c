//! Performers as processes of a worker-manager: [started](Start) in groups of their own, [told](Channel) what to do, and
//! ended with their manager, by the end of their channel or by a [guard](Guard).
//!
//! Mechanisms only; what happens to which performer is for a manager to decide.

mod channel;
mod guard;
mod identity;
pub mod legacy;
mod spawn;
pub mod zmtp;

pub use channel::{Channel, Heard, pair};
pub use guard::{Guard, guard};
pub use identity::{Identity, Signal};
pub use spawn::{Performer, Start};

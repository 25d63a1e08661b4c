//! The control channel of performers with real processes: our own worker, PHP, Python and sh, under a manager's end that
//! the test holds, on both servers; and workers of the original PHP packages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod channel;
mod commands;
mod ends;
mod guard;
mod legacy;
mod pauses;
mod rig;
mod rust;

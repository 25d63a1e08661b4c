//! Runs of the conveyor client, from outside: on Conveyor and on Debian's gearmand, with workers that are processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod concepts;
mod ends;
mod proxy;
mod rig;
mod stock;
mod storm;

//! `conveyor client run` and `conveyor inspect`: the real binary with stock performers, on Conveyor and on gearmand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod concepts;
mod endpoints;
mod lasting;
mod locks;
mod notices;
mod output;
mod rig;
mod told;

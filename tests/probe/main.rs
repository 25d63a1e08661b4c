//! The sensors of the load manager: made-up machines in a directory, and this one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod containers;
mod live;
mod machine;
mod processes;

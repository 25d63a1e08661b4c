//! `conveyor-worker` against Conveyor and Debian's gearmand, with the stock `gearman` and bare packets as
//! clients: every behaviour on both servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod harness;
mod jobs;
mod layers;
mod loss;
mod returned;
mod tls;
mod typed;

//! Whole processes: the server under hostile peers, with stock tools, under signals.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

#[path = "../support/mod.rs"]
mod support;

mod all_in_one;
mod bench;
mod examples;
mod fair;
mod hostile;
mod live;
mod many;
mod mending;
mod persistent;
mod pid_file;
mod process;
mod readiness;
mod stock_tools;
mod store;
mod stored;
mod stubborn;
mod submit;
mod tools;
mod unread;
mod worker;

/// Packet types used here, by their names in the protocol.
pub(crate) mod wire {
    pub(crate) const CAN_DO: u32 = 1;
    pub(crate) const PRE_SLEEP: u32 = 4;
    pub(crate) const NOOP: u32 = 6;
    pub(crate) const SUBMIT_JOB: u32 = 7;
    pub(crate) const JOB_CREATED: u32 = 8;
    pub(crate) const GRAB_JOB: u32 = 9;
    pub(crate) const NO_JOB: u32 = 10;
    pub(crate) const JOB_ASSIGN: u32 = 11;
    pub(crate) const WORK_COMPLETE: u32 = 13;
    pub(crate) const ECHO_REQ: u32 = 16;
    pub(crate) const ECHO_RES: u32 = 17;
    pub(crate) const GET_STATUS: u32 = 15;
    pub(crate) const SUBMIT_JOB_BG: u32 = 18;
    pub(crate) const STATUS_RES: u32 = 20;
    pub(crate) const SUBMIT_JOB_HIGH_BG: u32 = 32;
    pub(crate) const SUBMIT_JOB_LOW_BG: u32 = 34;
    pub(crate) const ERROR: u32 = 19;
    pub(crate) const OPTION_REQ: u32 = 26;
    pub(crate) const OPTION_RES: u32 = 27;
    pub(crate) const SUBMIT_JOB_EPOCH: u32 = 36;
}

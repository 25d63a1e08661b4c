//! Faults from outside, with the real binary and real processes: the server is killed at any moment, workers die at
//! each step of the protocol, the disk fails, the power goes, and what is found at the start cannot be used.
//!
//! `CONVEYOR_CRASH_KILLS` (default 56) says how often the server is killed under load,
//! `CONVEYOR_CRASH_REPORT=docs/crash.md` writes the table of what became of the jobs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod conn;
mod crew;
mod disk;
mod kills;
mod ledger;
mod power;
mod refusals;
mod report;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod workers;

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
    pub(crate) const WORK_STATUS: u32 = 12;
    pub(crate) const WORK_COMPLETE: u32 = 13;
    pub(crate) const GET_STATUS: u32 = 15;
    pub(crate) const SUBMIT_JOB_BG: u32 = 18;
    pub(crate) const ERROR: u32 = 19;
    pub(crate) const STATUS_RES: u32 = 20;
    pub(crate) const SUBMIT_JOB_HIGH_BG: u32 = 32;
    pub(crate) const SUBMIT_JOB_LOW_BG: u32 = 34;
    pub(crate) const SUBMIT_JOB_EPOCH: u32 = 36;
}

/// Numbers that look random, the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From `CONVEYOR_TEST_SEED`, which is printed, and a name.
    pub(crate) fn new(name: &str) -> Self {
        let seed = std::env::var("CONVEYOR_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        println!("{name}: CONVEYOR_TEST_SEED={seed}");
        Self(name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())))
    }

    /// Another one that goes its own way.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `most`.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}

/// Lets time go by that nobody waits for: the pace of a load, the moment of a fault.
pub(crate) fn pass(time: std::time::Duration) {
    let start = std::time::Instant::now();
    while let Some(rest) = time.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) {
        std::thread::park_timeout(rest);
    }
}

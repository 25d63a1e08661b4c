//! The memory of a process: its part of what it shares, exact but dear, and estimates in between.

use super::files::Files;
use super::parse::{self, Stat};
use conveyor_common::Millis;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;

/// Part of our own time that exact readings of one process may take: one in so many.
const SHARE: u64 = 5000;

/// Longest time between two of them, in milliseconds.
const LONGEST_MS: u64 = 120_000;

/// How the memory of a process was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryFrom {
    /// `smaps_rollup`: shared pages count by the part that is its own.
    #[default]
    Pss,
    /// The last reading of `smaps_rollup`, and what the resident memory has grown or shrunk by since.
    Estimate,
    /// Resident memory, shared pages included: `smaps_rollup` is not there, or not for us to read.
    Rss,
}

#[derive(Clone, Copy, Debug)]
struct Exact {
    start_time: u64,
    pss_kib: f64,
    rss_kib: f64,
    /// When it is read again.
    again: Millis,
}

/// Exact readings, by process.
#[derive(Debug)]
pub(super) struct Memory {
    exact: HashMap<u32, Exact>,
    page_kib: f64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { exact: HashMap::new(), page_kib: rustix::param::page_size() as f64 / 1024.0 }
    }

    /// The memory of a process, in KiB.
    pub(super) fn of(&mut self, files: &mut Files, now: Millis, pid: u32, stat: &Stat) -> (f64, MemoryFrom) {
        if stat.has_ended() {
            return (0.0, MemoryFrom::Pss);
        }
        let rss_kib = stat.rss_pages as f64 * self.page_kib;
        let known = self.exact.get(&pid).filter(|exact| exact.start_time == stat.start_time);
        if let Some(exact) = known.filter(|exact| now < exact.again) {
            let grown = rss_kib - exact.rss_kib;
            let from = if grown == 0.0 { MemoryFrom::Pss } else { MemoryFrom::Estimate };
            return ((exact.pss_kib + grown).max(0.0), from);
        }
        let before = thread_time_us();
        let text = files.text(&format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let cost_us = thread_time_us().saturating_sub(before);
        let Some(pss) = parse::number(&text, "Pss:") else { return (rss_kib, MemoryFrom::Rss) };
        let pss_kib = pss as f64;
        let again = now.plus((cost_us.saturating_mul(SHARE) / 1000).min(LONGEST_MS));
        self.exact.insert(pid, Exact { start_time: stat.start_time, pss_kib, rss_kib, again });
        (pss_kib, MemoryFrom::Pss)
    }

    /// Forgets who is not there any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(u32) -> bool) {
        self.exact.retain(|pid, _| is_there(*pid));
    }
}

/// CPU time of this thread, in microseconds: what a busy machine makes us wait for is no cost.
fn thread_time_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let us = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000);
    u64::try_from(us).unwrap_or(0)
}

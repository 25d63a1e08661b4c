//! Names and delays that are the same on every machine and after every restart.

use chrono::{DateTime, SecondsFormat};
use conveyor_common::limits::UNIQUE_BYTES;

/// Hexadecimal digits of the hash in a shortened name.
const HASH_DIGITS: usize = 16;

/// A moment as RFC 3339 in UTC, with milliseconds where there are some.
#[must_use]
pub fn stamp(at: i64) -> String {
    let format = if at % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(format, true)
}

/// The unique of the run of schedule `name` that was due at `due`: `schedule:NAME:TIME`. A name that is too long for a
/// unique is cut and ends with a hash of all of it.
#[must_use]
pub fn unique(name: &str, due: i64) -> String {
    let stamp = stamp(due);
    // Servers answer questions about uniques of one byte less than they accept.
    let room = UNIQUE_BYTES.saturating_sub("schedule::".len() + stamp.len() + 1);
    if name.len() <= room {
        return format!("schedule:{name}:{stamp}");
    }
    let mut kept = room.saturating_sub(HASH_DIGITS + 1);
    while !name.is_char_boundary(kept) {
        kept -= 1;
    }
    let (start, _) = name.split_at(kept);
    format!("schedule:{start}~{:016x}:{stamp}", hash(name.as_bytes()))
}

/// How much later the run that is due at `due` starts, of at most `jitter` milliseconds.
pub(super) fn delay(name: &str, due: i64, jitter: i64) -> i64 {
    let mixed = hash(&[name.as_bytes(), &due.to_be_bytes()].concat());
    match u64::try_from(jitter).unwrap_or_default().checked_add(1) {
        Some(choices) => i64::try_from(mixed % choices).unwrap_or_default(),
        None => 0,
    }
}

/// FNV-1a with the finish of SplitMix64: spreads well, and is the same everywhere, which std's hashes do not promise.
fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

//! Ids of runs: no two runs have the same.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest id, in bytes.
const BYTES: usize = 32;

/// What is kept of a text that is no id.
const KEPT: usize = 15;

/// A new id of 18 letters and digits: time in milliseconds, process, chance. Later runs have greater ones.
pub(super) fn new() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let chance = RandomState::new().hash_one(ms);
    [base36(ms, 9), base36(std::process::id().into(), 5), base36(chance, 4)].concat()
}

/// The last so many digits.
fn base36(mut number: u64, digits: usize) -> String {
    let mut text = Vec::new();
    for _ in 0..digits {
        text.extend(u32::try_from(number % 36).ok().and_then(|digit| char::from_digit(digit, 36)));
        number /= 36;
    }
    text.into_iter().rev().collect()
}

/// The id that a text stands for: itself, if it is one; else what can be kept of it, and a hash of the whole.
pub(super) fn safe(text: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=BYTES).contains(&text.len()) && text.chars().all(good) {
        return text.to_owned();
    }
    let kept: String = text.chars().take(KEPT).map(|c| if good(c) { c } else { '-' }).collect();
    format!("{kept}-{:016x}", hash(text))
}

/// FNV-1a: the same for all versions on all hosts.
pub(super) fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_differ_and_are_in_the_order_of_time() {
        let ids: Vec<String> = (0..200).map(|_| new()).collect();
        assert!(ids.iter().all(|id| id.len() == 18 && safe(id) == *id), "{ids:?}");
        assert!(ids.windows(2).all(|two| two[0][..9] <= two[1][..9]), "{ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn any_text_stands_for_an_id_of_its_own() {
        assert_eq!(safe("nightly-1"), "nightly-1");
        let texts =
            ["", "a/b", "a-b", "2026-11-24T03:00:00+01:00", "2026-11-24T03:00:00+02:00", &"x".repeat(33)];
        let ids: BTreeSet<String> = texts.iter().map(|text| safe(text)).collect();
        assert_eq!(ids.len(), texts.len(), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() <= BYTES && safe(id) == *id), "{ids:?}");
    }
}

//! What is tried again, how often, and when.

use super::verdict::OutcomeKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What is tried again, how often, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Tries of a task in all, at least one (2, as the original: one retry).
    pub attempts: u32,
    /// Pause before the second try (30 s, as the original).
    #[serde(rename = "delay_ms", with = "ms")]
    pub delay: Duration,
    /// What each further pause is longer by: 1 for pauses that are all the same (1).
    pub factor: f64,
    /// No pause is longer (1 h).
    #[serde(rename = "longest_ms", with = "ms")]
    pub longest: Duration,
    /// The part of a pause that is left to chance, 0 to 1 (0). By a hash of run, task and try: no two runs agree, a resumed
    /// one agrees with itself.
    pub jitter: f64,
    /// Outcomes after which a task is tried again (all but ok and critical, which never are).
    pub retry: BTreeSet<OutcomeKind>,
    /// Tasks that may wait for their outcome at once (1000), at least one.
    pub in_flight: usize,
    /// How long a manager has to answer when all tasks are over (30 s).
    #[serde(rename = "manager_grace_ms", with = "ms")]
    pub manager_grace: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 2,
            delay: Duration::from_secs(30),
            factor: 1.0,
            longest: Duration::from_secs(3600),
            jitter: 0.0,
            retry: OutcomeKind::RETRYABLE.into_iter().collect(),
            in_flight: 1000,
            manager_grace: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// The pause behind failed try number `attempt`, in milliseconds. `run` and `task` say whose chance it is.
    #[must_use]
    pub fn pause_ms(&self, run: &str, task: u64, attempt: u32) -> u64 {
        let grown = self.delay.as_secs_f64() * self.factor.max(1.0).powi(exponent(attempt));
        let whole = grown.min(self.longest.as_secs_f64()) * 1000.0;
        let mut hasher = DefaultHasher::new();
        (run, task, attempt).hash(&mut hasher);
        // 53 bits are what a float can hold.
        let chance = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        (whole * self.jitter.clamp(0.0, 1.0).mul_add(-chance, 1.0)) as u64
    }

    /// Whether a task with this outcome after `attempts` tries gets another one.
    #[must_use]
    pub fn tries_again(&self, kind: OutcomeKind, attempts: u32) -> bool {
        attempts < self.attempts && self.retry.contains(&kind) && OutcomeKind::RETRYABLE.contains(&kind)
    }
}

/// Durations of a journal: whole milliseconds.
mod ms {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

fn exponent(attempt: u32) -> i32 {
    i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let policy = Policy { factor: 2.0, longest: Duration::from_secs(100), ..Policy::default() };
        let pauses: Vec<u64> = (1..=4).map(|attempt| policy.pause_ms("r", 0, attempt)).collect();
        assert_eq!(pauses, [30_000, 60_000, 100_000, 100_000]);
        assert_eq!(policy.pause_ms("r", 0, u32::MAX), 100_000);
    }

    #[test]
    fn chance_shortens_a_pause_and_is_the_same_every_time() {
        let policy = Policy { jitter: 0.5, ..Policy::default() };
        let pauses: BTreeSet<u64> = (0..100).map(|task| policy.pause_ms("r", task, 1)).collect();
        assert!(pauses.len() > 90 && pauses.iter().all(|ms| (15_000..=30_000).contains(ms)), "{pauses:?}");
        assert_eq!(policy.pause_ms("r", 7, 1), policy.pause_ms("r", 7, 1));
    }

    #[test]
    fn neither_a_success_nor_a_critical_error_is_tried_again() {
        let policy =
            Policy { attempts: 9, retry: OutcomeKind::ALL.into_iter().collect(), ..Policy::default() };
        assert!(!policy.tries_again(OutcomeKind::Ok, 1) && !policy.tries_again(OutcomeKind::Critical, 1));
        assert!(policy.tries_again(OutcomeKind::Lost, 8) && !policy.tries_again(OutcomeKind::Lost, 9));
    }
}

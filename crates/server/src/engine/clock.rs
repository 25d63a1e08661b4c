//! The clock the core lives by: monotonic, and its distance from the wall clock.

use conveyor_common::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock that started at 1, so that 0 is before everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Millis {
        let ms = self.start.elapsed().as_millis();
        Millis(u64::try_from(ms).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// The moment `at` as an instant of the runtime, never before it.
    pub(crate) fn instant(&self, at: Millis) -> Instant {
        self.start + std::time::Duration::from_millis(at.0.saturating_sub(1))
    }

    /// Milliseconds from this clock to milliseconds since 1970-01-01 UTC.
    pub(crate) fn wall_offset_ms(&self) -> i64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        let now = i64::try_from(self.now().0).unwrap_or(i64::MAX);
        wall.saturating_sub(now)
    }
}

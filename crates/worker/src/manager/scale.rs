//! How many performers a group is to have: what its settings say, what somebody said, or what its queue asks for.

use super::group::Group;
use conveyor_common::Millis;

/// How the queue decides between the fewest and the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Jobs without an idle performer that ask for more performers (1).
    pub up_queued: u32,
    /// A job that has waited so long, in milliseconds, asks for more performers (5000).
    pub up_age_ms: u64,
    /// Time between two steps up, in milliseconds (2000). A step is half of what there is, and at least one.
    pub up_every_ms: u64,
    /// How long there must be nothing queued and somebody idle before there are fewer, in milliseconds (30 000).
    pub down_after_ms: u64,
    /// Time between two steps down, of one, in milliseconds (5000).
    pub down_every_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { up_queued: 1, up_age_ms: 5000, up_every_ms: 2000, down_after_ms: 30_000, down_every_ms: 5000 }
    }
}

/// How many there are to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Scale {
    /// What somebody said.
    fixed: Option<u32>,
    /// What the queue asks for.
    wanted: u32,
    /// When that last changed.
    changed: Option<Millis>,
    /// Since when there is nothing to do for somebody.
    idle_since: Option<Millis>,
}

impl Scale {
    pub(super) fn count(&self, group: &Group) -> u32 {
        self.fixed.unwrap_or_else(|| self.wanted.clamp(group.least, group.most.max(group.least)))
    }

    pub(super) const fn fix(&mut self, count: Option<u32>) {
        self.fixed = count;
    }

    /// What the server says about the queue.
    pub(super) fn queue(
        &mut self,
        now: Millis,
        group: &Group,
        queued: u32,
        running: u32,
        oldest_age_ms: u64,
    ) {
        let most = group.most.max(group.least);
        self.wanted = self.wanted.clamp(group.least, most);
        let settings = &group.scale;
        let idle = self.wanted.saturating_sub(running);
        let rested = |after| self.changed.is_none_or(|at| now.since(at) >= after);
        let crowded = queued >= idle.saturating_add(settings.up_queued.max(1));
        if crowded || (queued > 0 && oldest_age_ms >= settings.up_age_ms) {
            self.idle_since = None;
            if self.wanted < most && rested(settings.up_every_ms) {
                let step = (self.wanted / 2).clamp(1, queued.max(1));
                self.wanted = self.wanted.saturating_add(step).min(most);
                self.changed = Some(now);
            }
            return;
        }
        if queued > 0 || idle == 0 {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        let long = now.since(since) >= settings.down_after_ms;
        if long && self.wanted > group.least && rested(settings.down_every_ms) {
            self.wanted -= 1;
            self.changed = Some(now);
        }
    }
}

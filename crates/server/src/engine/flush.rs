//! Getting replies out, and what happens to peers that do not take them.
//!
//! A peer is cut off only when a lot waits for it *and* it took nothing for a long time, or when all peers
//! together hold more than the budget; never for silence, and never because somebody else is slow.

use super::State;

impl State {
    /// Writes every touched outbox once.
    pub(super) fn flush_touched(&mut self) {
        let now = self.clock.now();
        let user_timeout = self.keepalive.user_timeout;
        let mut blocked = false;
        self.links.flush_each(|link| {
            if !link.blocked {
                link.send(now, user_timeout);
            }
            blocked |= link.blocked;
        });
        self.some_blocked |= blocked;
    }

    /// Cuts peers off that have stalled for too long with too much waiting.
    pub(super) fn cut_stalled(&mut self) {
        if !std::mem::take(&mut self.some_blocked) {
            return;
        }
        let now = self.clock.now();
        let (output_bytes, stall) = (self.limits.output_bytes, self.limits.stall.as_millis());
        for link in self.links.iter_mut() {
            self.some_blocked |= link.blocked;
            let stalled = u128::from(now.since(link.progressed)) >= stall;
            if link.blocked && stalled && link.outbox.len() > output_bytes && link.closing.is_none() {
                link.closing = Some("it reads nothing and too much waits for it");
                link.outbox = Default::default();
                link.wake();
            }
        }
    }

    /// Cuts off the peer with the most bytes waiting while all together are above the budget.
    pub(super) fn keep_output_within_budget(&mut self) {
        if self.queued_since_check < self.limits.output_total_bytes / 16 {
            return;
        }
        self.queued_since_check = 0;
        let budget = self.limits.output_total_bytes;
        let mut total: usize = self.links.iter_mut().map(|link| link.outbox.len()).sum();
        while total > budget {
            let Some(largest) = self.links.iter_mut().max_by_key(|link| link.outbox.len()) else { return };
            total -= largest.outbox.len();
            largest.closing = Some("too much waits for all peers together, most of it for this one");
            largest.outbox = Default::default();
            largest.wake();
        }
    }
}

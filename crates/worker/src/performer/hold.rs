//! Holding a command for a while: it is stopped (SIGSTOP), and its clock with it.

use super::group::Group;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Tells a command's process group to stop for a while. By default it is never stopped.
#[derive(Clone, Debug)]
pub struct Hold(watch::Sender<bool>);

/// A group that is stopped. Dropping it lets it go on.
struct Stopped<'a>(&'a Group);

impl<'a> Stopped<'a> {
    fn new(group: &'a Group) -> Self {
        group.hold(true);
        Self(group)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.hold(false);
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Hold {
    /// Stops what runs and will run, or lets it go on.
    pub fn set(&self, held: bool) {
        self.0.send_replace(held);
    }

    /// Stops `group` whenever it is to be held, until `limit` of time that it was not held is over; for ever without one.
    pub(super) async fn limit(&self, group: &Group, limit: Option<Duration>) {
        let mut held = self.0.subscribe();
        let (mut left, mut stopped) = (limit, None);
        loop {
            let now = *held.borrow_and_update();
            // What is dropped goes on.
            stopped = if now { stopped.or_else(|| Some(Stopped::new(group))) } else { None };
            let since = Instant::now();
            let over = async {
                match left {
                    Some(left) if !now => sleep(left).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = held.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = over => return,
            }
            if stopped.is_none() {
                left = left.map(|left| left.saturating_sub(since.elapsed()));
            }
        }
    }
}

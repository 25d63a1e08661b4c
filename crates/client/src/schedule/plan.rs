//! What a schedule is.

use super::timetable::Timetable;
use super::unique::delay;

/// What happens when something is due while the run before goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is not started.
    #[default]
    Skip,
    /// One waits, more are not started.
    Queue,
    /// It is started beside.
    Parallel,
    /// The one before is stopped first.
    Replace,
}

/// What happens to due times that passed while nothing could start them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// Nothing.
    #[default]
    Skip,
    /// One start for all of them.
    Once,
    /// A start for each of the newest hundred.
    All,
}

/// What a schedule is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub timetable: Timetable,
    /// Milliseconds by which a start may be later than due; never later than the next due time.
    pub jitter: i64,
    /// What happens while the run before goes on.
    pub overlap: Overlap,
    /// What happens to what was missed.
    pub missed: Missed,
    /// Milliseconds by which a start may be late before it counts as missed.
    pub grace: i64,
    /// Whether it starts anything by itself.
    pub enabled: bool,
}

impl Plan {
    /// When the run that is due at `due` starts.
    #[must_use]
    pub fn start_at(&self, due: i64) -> i64 {
        let delay = delay(&self.name, due, self.jitter);
        // Starts keep their order, so that one number says what is decided.
        let room = self.timetable.next(due).map_or(delay, |next| next - due - 1);
        due + delay.min(room)
    }

    /// What makes it another schedule.
    pub(super) fn described(&self) -> String {
        let Self { timetable, enabled, .. } = self;
        format!("{} {} {}", timetable.expression(), timetable.zone(), if *enabled { "on" } else { "off" })
    }
}

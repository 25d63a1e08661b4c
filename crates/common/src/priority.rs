//! The three priorities of a Gearman queue.

use serde::{Deserialize, Serialize};

/// Priority of a job. The number is the one gearmand stores: 0 high, 1 normal, 2 low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Served before everything else.
    High = 0,
    /// What a plain submission gets.
    Normal = 1,
    /// Served when nothing else is runnable.
    Low = 2,
}

impl Priority {
    /// All priorities, in the order in which they are served.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Position in tables of three.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One value a priority, reachable without indexing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerPriority<T> {
    /// The value for [`Priority::High`].
    pub high: T,
    /// The value for [`Priority::Normal`].
    pub normal: T,
    /// The value for [`Priority::Low`].
    pub low: T,
}

impl<T> PerPriority<T> {
    /// The value for `priority`.
    pub const fn of(&self, priority: Priority) -> &T {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
            Priority::Low => &self.low,
        }
    }

    /// The value for `priority`, to change it.
    pub const fn of_mut(&mut self, priority: Priority) -> &mut T {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }
}

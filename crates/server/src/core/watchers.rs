//! Who waits for a job: nobody, one client, seldom several.

use conveyor_common::ConnId;

/// One attached submission; a client that submitted the same unique twice is attached twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) conn: ConnId,
    /// Where the client's own list has the job.
    pub(super) slot: u32,
}

/// The attached submissions of a job, in the order in which they came.
#[derive(Debug, Default)]
pub(super) enum Watchers {
    /// A background job, or one that its clients left.
    #[default]
    None,
    /// Most foreground jobs: no allocation.
    One(Watcher),
    /// At least two.
    Many(Box<Several>),
}

/// Behind one pointer, so that a job does not grow by it.
#[derive(Debug)]
pub(super) struct Several {
    list: Vec<Watcher>,
}

impl Watchers {
    pub(super) fn as_slice(&self) -> &[Watcher] {
        match self {
            Self::None => &[],
            Self::One(watcher) => std::slice::from_ref(watcher),
            Self::Many(several) => &several.list,
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Watcher> {
        self.as_slice().iter()
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn push(&mut self, watcher: Watcher) {
        match self {
            Self::None => *self = Self::One(watcher),
            Self::One(first) => *self = Self::Many(Box::new(Several { list: vec![*first, watcher] })),
            Self::Many(several) => several.list.push(watcher),
        }
    }

    /// Detaches every submission of `conn`.
    pub(super) fn leave(&mut self, conn: ConnId) {
        match self {
            Self::None => {}
            Self::One(watcher) => {
                if watcher.conn == conn {
                    *self = Self::None;
                }
            }
            Self::Many(several) => {
                several.list.retain(|watcher| watcher.conn != conn);
                match several.list.as_slice() {
                    [] => *self = Self::None,
                    [last] => *self = Self::One(*last),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Watcher, Watchers};
    use conveyor_common::ConnId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn watchers_are_a_list(history in prop::collection::vec((any::<bool>(), 0..4_u32), 0..40)) {
            let mut watchers = Watchers::default();
            let mut model = Vec::new();
            for (slot, (push, index)) in (0..).zip(history) {
                let conn = ConnId { index, generation: 1 };
                if push {
                    watchers.push(Watcher { conn, slot });
                    model.push(Watcher { conn, slot });
                } else {
                    watchers.leave(conn);
                    model.retain(|watcher| watcher.conn != conn);
                }
                prop_assert_eq!(watchers.as_slice(), model.as_slice());
                prop_assert_eq!((watchers.is_empty(), watchers.len()), (model.is_empty(), model.len()));
                prop_assert_eq!(matches!(&watchers, Watchers::Many(_)), model.len() > 1);
            }
        }
    }
}

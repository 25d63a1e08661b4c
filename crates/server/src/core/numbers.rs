//! The index from job numbers to slots. Numbers are given in order, so it is kept in pages of consecutive ones:
//! a few bytes a job, and a table of pages so small that its growth is not felt.

use conveyor_common::JobNumber;
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Numbers of a page.
const PAGE: u64 = 64;

/// No job has this number.
const NONE: u32 = u32::MAX;

/// Slots by number.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Numbers are the core's own: no peer can aim at a hash chain.
    pages: HashMap<u64, Box<Page>, FixedState>,
    /// The page last written to stays when it is empty: the next numbers belong there.
    current: u64,
}

#[derive(Debug)]
struct Page {
    slots: [u32; PAGE as usize],
    live: u32,
}

const fn place(number: JobNumber) -> (u64, usize) {
    (number.0 / PAGE, (number.0 % PAGE) as usize)
}

impl Numbers {
    pub(super) fn get(&self, number: JobNumber) -> Option<u32> {
        let (page, at) = place(number);
        self.pages.get(&page)?.slots.get(at).copied().filter(|slot| *slot != NONE)
    }

    /// Gives `number` a slot; it had none.
    pub(super) fn insert(&mut self, number: JobNumber, slot: u32) {
        let (page_number, at) = place(number);
        if page_number != self.current {
            let left = std::mem::replace(&mut self.current, page_number);
            if self.pages.get(&left).is_some_and(|page| page.live == 0) {
                self.pages.remove(&left);
            }
        }
        let fresh = || Box::new(Page { slots: [NONE; PAGE as usize], live: 0 });
        let page = self.pages.entry(page_number).or_insert_with(fresh);
        if let Some(entry) = page.slots.get_mut(at) {
            page.live += u32::from(*entry == NONE);
            *entry = slot;
        }
    }

    pub(super) fn remove(&mut self, number: JobNumber) {
        let (page_number, at) = place(number);
        let Some(page) = self.pages.get_mut(&page_number) else { return };
        let Some(entry) = page.slots.get_mut(at).filter(|entry| **entry != NONE) else { return };
        *entry = NONE;
        page.live -= 1;
        if page.live == 0 && page_number != self.current {
            self.pages.remove(&page_number);
        }
    }

    /// How many numbers have a slot: counted, for the invariants.
    pub(super) fn count(&self) -> usize {
        self.pages.values().map(|page| page.slots.iter().filter(|slot| **slot != NONE).count()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use conveyor_common::JobNumber;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn numbers_are_a_map(history in prop::collection::vec((any::<bool>(), 0..300_u64), 0..600)) {
            let mut numbers = Numbers::default();
            let mut model = BTreeMap::new();
            for (slot, (insert, number)) in (0..).zip(history) {
                // Both ends of what a number can be.
                let number = if number < 150 { number } else { u64::MAX - number };
                if insert {
                    numbers.insert(JobNumber(number), slot);
                    model.insert(number, slot);
                } else {
                    numbers.remove(JobNumber(number));
                    model.remove(&number);
                }
                prop_assert_eq!(numbers.get(JobNumber(number)), model.get(&number).copied());
            }
            prop_assert_eq!(numbers.count(), model.len());
            for (number, slot) in &model {
                prop_assert_eq!(numbers.get(JobNumber(*number)), Some(*slot));
            }
            let pages: std::collections::BTreeSet<u64> = model.keys().map(|number| number / 64).collect();
            prop_assert!(numbers.pages.len() <= pages.len() + 1);
        }
    }
}

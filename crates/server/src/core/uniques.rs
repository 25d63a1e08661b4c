//! The indexes from uniques to jobs. They hold hashes and slots but no keys: the keys are in the jobs.

use super::functions::FunctionId;
use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::BuildHasher;

/// Tables of an index. Each grows by itself, so that no growth is felt.
const TABLES: usize = 64;

/// A table with room for fewer is not worth shrinking.
const SMALL: usize = 256;

/// Makes hashes that a peer cannot foresee, with std's keyed hash, as all maps by a peer's keys.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    /// Never holds anything; it has the keys.
    keys: HashSet<()>,
}

impl Keyed {
    /// The hash of a unique, whatever the function.
    pub(super) fn unique(&self, unique: &[u8]) -> u64 {
        self.keys.hasher().hash_one(unique)
    }

    /// The hash of a payload for one function.
    pub(super) fn payload(&self, function: FunctionId, payload: &[u8]) -> u64 {
        self.keys.hasher().hash_one((function, payload))
    }
}

/// Slots of jobs by hash. Whether it is the right job, only the job can tell.
#[derive(Debug)]
pub(super) struct Index {
    tables: Box<[HashTable<Entry>]>,
}

/// The hash is kept so that growing asks no job for its key.
#[derive(Debug)]
struct Entry {
    hash: u64,
    slot: u32,
    function: FunctionId,
}

const fn hash_of(entry: &Entry) -> u64 {
    entry.hash
}

/// Which table: by bits that a table uses for nothing, neither the lowest nor the highest seven.
const fn table_of(hash: u64) -> usize {
    (hash >> 48) as usize % TABLES
}

impl Default for Index {
    fn default() -> Self {
        Self { tables: (0..TABLES).map(|_| HashTable::new()).collect() }
    }
}

impl Index {
    pub(super) fn insert(&mut self, hash: u64, slot: u32, function: FunctionId) {
        if let Some(table) = self.tables.get_mut(table_of(hash)) {
            table.insert_unique(hash, Entry { hash, slot, function }, hash_of);
        }
    }

    /// Takes the entry of a job out, if there is one.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let Some(table) = self.tables.get_mut(table_of(hash)) else { return };
        if let Ok(entry) = table.find_entry(hash, |entry| entry.hash == hash && entry.slot == slot) {
            entry.remove();
        }
        if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, hash_of);
        }
    }

    /// The job of `function` with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, function: FunctionId, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let table = self.tables.get(table_of(hash))?;
        let same = |entry: &Entry| entry.hash == hash && entry.function == function && is_it(entry.slot);
        table.find(hash, same).map(|entry| entry.slot)
    }

    /// Slots of all jobs with this hash, whatever their function, in no order.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let table = self.tables.get(table_of(hash)).into_iter();
        let entries = table.flat_map(move |table| table.iter_hash(hash));
        entries.filter(move |entry| entry.hash == hash).map(|entry| entry.slot)
    }

    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, FunctionId, Index, Keyed, SMALL};
    use hashbrown::HashTable;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const FUNCTION: FunctionId = FunctionId(3);

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 16);
    }

    #[test]
    fn a_drained_index_gives_memory_back() {
        let mut index = Index::default();
        let keyed = Keyed::default();
        let hash = |slot: u32| keyed.unique(&slot.to_le_bytes());
        (0..100_000).for_each(|slot| index.insert(hash(slot), slot, FUNCTION));
        let capacity = |index: &Index| -> usize { index.tables.iter().map(HashTable::capacity).sum() };
        assert!(capacity(&index) >= 100_000);
        (0..100_000).for_each(|slot| index.remove(hash(slot), slot));
        assert_eq!(index.len(), 0);
        assert!(capacity(&index) <= 64 * 2 * SMALL, "{}", capacity(&index));
    }

    proptest! {
        #[test]
        fn jobs_are_told_apart_where_hashes_collide(
            history in prop::collection::vec((any::<bool>(), 0..5_u64, 0..40_u32), 0..400)
        ) {
            let mut index = Index::default();
            let mut model: BTreeSet<(u64, u32)> = BTreeSet::new();
            for (insert, number, slot) in history {
                let hash = number << 40;
                let function = FunctionId(slot % 4);
                if insert && model.insert((hash, slot)) {
                    index.insert(hash, slot, function);
                } else if !insert {
                    model.remove(&(hash, slot));
                    index.remove(hash, slot);
                }
                let all: BTreeSet<u32> = index.all(hash).collect();
                let expected: BTreeSet<u32> =
                    model.iter().filter(|(other, _)| *other == hash).map(|(_, slot)| *slot).collect();
                prop_assert_eq!(&all, &expected);
                let found = index.find(hash, function, |other| other == slot);
                prop_assert_eq!(found, expected.get(&slot).copied());
                prop_assert_eq!(index.find(hash, FunctionId(9), |_| true), None);
                prop_assert_eq!(index.len(), model.len());
            }
        }
    }
}

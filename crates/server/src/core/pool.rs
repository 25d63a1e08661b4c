//! A slab in chunks: growing never moves what is in it, and what is drained is given back.
//!
//! A slab in one `Vec` doubles by copying, which for a backlog of millions is a pause of its own, and stays
//! as large as it ever was.

use std::collections::BTreeSet;

/// Entries of a chunk. A chunk of jobs is 96 KiB: an allocator that puts off merging what is small and free (glibc
/// does, until it gets 64 KiB at once) does that now and then, and not once for millions.
const CHUNK: u32 = 1024;

/// End of a chunk's list of free entries.
const NONE: u16 = u16::MAX;

/// Values by slot. A slot is free again when its value is removed.
#[derive(Debug)]
pub(super) struct Pool<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with memory and with room: the lowest is filled first.
    open: BTreeSet<u32>,
    /// Numbers below the length of `chunks` without a chunk.
    vacant: BTreeSet<u32>,
    /// The one chunk that keeps its memory although it holds nothing, so that a queue around a border does not
    /// allocate. The one emptied first: it tends to lie lowest, and an allocator gives back what lies above
    /// all that is used.
    spare: Option<u32>,
    len: usize,
}

/// Without memory when it holds nothing, but for the spare.
#[derive(Debug)]
struct Chunk<T> {
    entries: Vec<Entry<T>>,
    /// The first of the free entries.
    free: u16,
    live: u32,
}

#[derive(Debug)]
enum Entry<T> {
    /// Holds the next free entry.
    Free(u16),
    Full(T),
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: BTreeSet::new(), vacant: BTreeSet::new(), spare: None, len: 0 }
    }
}

impl<T> Chunk<T> {
    const fn new(entries: Vec<Entry<T>>) -> Self {
        Self { entries, free: NONE, live: 0 }
    }

    /// Puts `value` into a free entry, or behind the last one.
    fn insert(&mut self, value: T) -> u32 {
        self.live += 1;
        match self.entries.get_mut(usize::from(self.free)) {
            Some(entry) => {
                let at = self.free;
                if let Entry::Free(next) = std::mem::replace(entry, Entry::Full(value)) {
                    self.free = next;
                }
                u32::from(at)
            }
            None => {
                self.entries.push(Entry::Full(value));
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    fn remove(&mut self, at: u32) -> Option<T> {
        let entry = self.entries.get_mut(at as usize).filter(|entry| matches!(entry, Entry::Full(_)))?;
        let Entry::Full(value) = std::mem::replace(entry, Entry::Free(self.free)) else { return None };
        self.free = u16::try_from(at).unwrap_or(NONE);
        self.live -= 1;
        Some(value)
    }
}

impl<T> Pool<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        match self.chunks.get((slot / CHUNK) as usize)?.entries.get((slot % CHUNK) as usize)? {
            Entry::Full(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.chunks.get_mut((slot / CHUNK) as usize)?.entries.get_mut((slot % CHUNK) as usize)? {
            Entry::Full(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// Stores `value` and returns its slot.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let number = self.chunk_with_room();
        let Some(chunk) = self.chunks.get_mut(number as usize) else { return u32::MAX };
        let at = chunk.insert(value);
        if chunk.live == 1 && self.spare == Some(number) {
            self.spare = None;
        }
        if chunk.live == CHUNK {
            self.open.remove(&number);
        }
        self.len += 1;
        number * CHUNK + at
    }

    /// The number of a chunk that has memory and a free entry.
    fn chunk_with_room(&mut self) -> u32 {
        if let Some(number) = self.open.first() {
            return *number;
        }
        let number = match self.vacant.pop_first() {
            Some(number) => number,
            None => {
                self.chunks.push(Chunk::new(Vec::new()));
                u32::try_from(self.chunks.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(chunk) = self.chunks.get_mut(number as usize) {
            chunk.entries.reserve_exact(CHUNK as usize);
        }
        self.open.insert(number);
        number
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let number = slot / CHUNK;
        let chunk = self.chunks.get_mut(number as usize)?;
        let value = chunk.remove(slot % CHUNK)?;
        self.len -= 1;
        if chunk.live == CHUNK - 1 {
            self.open.insert(number);
        }
        if chunk.live == 0 {
            self.give_back(number);
        }
        Some(value)
    }

    /// Frees a chunk that holds nothing, or keeps it as the spare.
    fn give_back(&mut self, number: u32) {
        if self.spare.is_none() {
            self.spare = Some(number);
            return;
        }
        if let Some(chunk) = self.chunks.get_mut(number as usize) {
            *chunk = Chunk::new(Vec::new());
        }
        self.open.remove(&number);
        self.vacant.insert(number);
        while self.chunks.pop_if(|chunk| chunk.entries.capacity() == 0).is_some() {
            self.vacant.pop_last();
        }
    }

    /// Every value with its slot, in the order of the slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0_u32..).zip(&self.chunks).flat_map(|(number, chunk)| {
            (number * CHUNK..).zip(&chunk.entries).filter_map(|(slot, entry)| match entry {
                Entry::Full(value) => Some((slot, value)),
                Entry::Free(_) => None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Pool};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Chunks with memory, the spare among them.
    fn chunks_with_memory<T>(pool: &Pool<T>) -> usize {
        pool.chunks.iter().filter(|chunk| chunk.entries.capacity() > 0).count()
    }

    /// Fills up to `high` and drains to `low`, oldest or newest or anything first.
    #[derive(Clone, Debug)]
    struct Wave {
        high: usize,
        low: usize,
        pick: usize,
    }

    fn wave() -> impl Strategy<Value = Wave> {
        (0..4000_usize, 0..3000_usize, 1..1_000_000_usize).prop_map(|(high, low, pick)| Wave {
            high,
            low,
            pick,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_pool_is_a_map_that_gives_memory_back(waves in prop::collection::vec(wave(), 1..6)) {
            let mut pool = Pool::default();
            let mut model = BTreeMap::new();
            let mut next = 0_u64;
            for Wave { high, low, pick } in waves {
                while model.len() < high {
                    let slot = pool.insert(next);
                    prop_assert_eq!(model.insert(slot, next), None);
                    next += 1;
                }
                let mut slots: Vec<u32> = model.keys().copied().collect();
                while model.len() > low {
                    let slot = slots.swap_remove(pick % slots.len());
                    prop_assert_eq!(pool.remove(slot), model.remove(&slot));
                    prop_assert_eq!(pool.remove(slot), None);
                    prop_assert_eq!(pool.get(slot), None);
                }
                prop_assert_eq!(pool.len(), model.len());
                let all: Vec<(u32, u64)> = pool.iter().map(|(slot, value)| (slot, *value)).collect();
                prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
                for (slot, value) in &mut model {
                    *value += 1;
                    *pool.get_mut(*slot).unwrap() += 1;
                    prop_assert_eq!(pool.get(*slot), Some(&*value));
                }
                let used: std::collections::BTreeSet<u32> = model.keys().map(|slot| slot / CHUNK).collect();
                prop_assert!(chunks_with_memory(&pool) <= used.len() + 1);
            }
        }
    }

    #[test]
    fn a_drained_pool_holds_the_spare_and_starts_over() {
        let mut pool = Pool::default();
        let slots: Vec<u32> = (0..10 * CHUNK).map(|value| pool.insert(value)).collect();
        assert_eq!(chunks_with_memory(&pool), 10);
        slots.iter().for_each(|slot| assert_eq!(pool.remove(*slot), Some(*slot)));
        assert_eq!((pool.len(), chunks_with_memory(&pool), pool.chunks.len()), (0, 1, 1));
        assert_eq!((pool.open.len(), pool.vacant.len()), (1, 0));
        assert!(pool.insert(7) < CHUNK);
        assert_eq!(chunks_with_memory(&pool), 1);
    }

    #[test]
    fn what_is_stored_never_moves() {
        let mut pool = Pool::default();
        let first = pool.insert(0_u32);
        let place: *const u32 = pool.get(first).unwrap();
        (0..100 * CHUNK).for_each(|value| {
            pool.insert(value);
        });
        assert_eq!(std::ptr::from_ref(pool.get(first).unwrap()), place);
    }

    #[test]
    fn a_chunk_with_room_is_filled_before_another_begins() {
        let mut pool = Pool::default();
        let slots: Vec<u32> = (0..3 * CHUNK).map(|value| pool.insert(value)).collect();
        for slot in [2 * CHUNK + 9, CHUNK + 5, 3] {
            pool.remove(slots[slot as usize]);
        }
        let refilled = [0, 1, 2, 3].map(|value| pool.insert(value));
        assert_eq!(refilled, [3, CHUNK + 5, 2 * CHUNK + 9, 3 * CHUNK]);
    }
}

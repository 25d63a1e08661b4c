//! Which server gets which job. Pure: time is an argument.
//!
//! Jobs with a unique go by consistent hashing, so that every client of a farm gives equal jobs to the same
//! server, where they coalesce; and so that a lost server moves only its own jobs. The others take turns.

use crate::job::{FNV_START, fnv};
use conveyor_common::Millis;

/// Points of each server on the ring: more spread the jobs more evenly.
const POINTS: u16 = 128;

/// Servers, their places on the ring, and which of them are down.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Sorted by place.
    ring: Vec<(u64, usize)>,
    /// When each server that is down is tried again.
    down: Vec<Option<Millis>>,
    turn: usize,
}

impl Pool {
    /// All servers count as up until told otherwise.
    pub(crate) fn new<S: AsRef<str>>(servers: &[S]) -> Self {
        let mut ring: Vec<(u64, usize)> = servers
            .iter()
            .enumerate()
            .flat_map(|(index, server)| {
                let start = fnv(FNV_START, server.as_ref().as_bytes());
                (0..POINTS).map(move |point| (place(fnv(start, &point.to_be_bytes())), index))
            })
            .collect();
        ring.sort_unstable();
        Self { ring, down: vec![None; servers.len()], turn: 0 }
    }

    /// The server for a job; none only without any servers. When all are down it is the one that is
    /// tried next.
    pub(crate) fn pick(&mut self, unique: &[u8]) -> Option<usize> {
        let up = |index: &usize| self.down.get(*index).is_some_and(Option::is_none);
        let found = if unique.is_empty() {
            self.turn = self.turn.wrapping_add(1);
            let servers = self.down.len();
            (0..servers).map(|offset| (self.turn % servers + offset) % servers).find(up)
        } else {
            let key = place(fnv(FNV_START, unique));
            let start = self.ring.partition_point(|(place, _)| *place < key);
            let (before, behind) = self.ring.split_at_checked(start).unwrap_or_default();
            behind.iter().chain(before).map(|(_, index)| *index).find(up)
        };
        found.or_else(|| (0..self.down.len()).min_by_key(|index| self.down.get(*index).copied()))
    }

    /// Whether another server than `index` is up.
    pub(crate) fn others_up(&self, index: usize) -> bool {
        self.down.iter().enumerate().any(|(other, down)| other != index && down.is_none())
    }

    /// The server answers.
    pub(crate) fn up(&mut self, index: usize) {
        if let Some(down) = self.down.get_mut(index) {
            *down = None;
        }
    }

    /// The server does not answer and is tried again at `until`.
    pub(crate) fn down(&mut self, index: usize, until: Millis) {
        if let Some(down) = self.down.get_mut(index) {
            *down = Some(until);
        }
    }
}

/// Spreads the hash over 64 bits: FNV alone leaves short keys close together.
const fn place(hash: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let mut x = (hash >> 64) as u64 ^ hash as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(servers: usize) -> Vec<String> {
        (0..servers).map(|number| format!("server-{number}:4730")).collect()
    }

    fn picked(pool: &mut Pool, keys: usize) -> Vec<usize> {
        (0..keys).map(|key| pool.pick(format!("key {key}").as_bytes()).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn removing_one_server_moves_only_its_keys(servers in 2_usize..12, gone in 0_usize..12) {
            let gone = gone % servers;
            let all = names(servers);
            let mut fewer = all.clone();
            fewer.remove(gone);
            let (mut before, mut after, mut failed) = (Pool::new(&all), Pool::new(&fewer), Pool::new(&all));
            failed.down(gone, Millis(1));
            let before = picked(&mut before, 500);
            let (after, failed) = (picked(&mut after, 500), picked(&mut failed, 500));
            for ((old, new), instead) in before.iter().zip(&after).zip(&failed) {
                prop_assert_eq!(&all[*instead], &fewer[*new], "a server that is down is as one not there");
                prop_assert!(*old == gone || old == instead, "a key of another server moved");
            }
        }

        #[test]
        fn keys_are_spread(servers in 2_usize..8) {
            let picked = picked(&mut Pool::new(&names(servers)), 2000);
            for server in 0..servers {
                let share = picked.iter().filter(|index| **index == server).count();
                prop_assert!(share * servers > 2000 / 2, "server {} of {} got {}", server, servers, share);
            }
        }
    }

    #[test]
    fn jobs_without_unique_take_turns_over_servers_that_are_up() {
        let mut pool = Pool::new(&names(3));
        pool.down(1, Millis(5));
        let mut picked: Vec<usize> = (0..30).filter_map(|_| pool.pick(b"")).collect();
        picked.sort_unstable();
        picked.dedup();
        assert_eq!(picked, [0, 2]);
    }

    #[test]
    fn with_all_down_the_one_tried_next_gets_the_job() {
        let mut pool = Pool::new(&names(3));
        (0..3).zip([30, 10, 20]).for_each(|(index, until)| pool.down(index, Millis(until)));
        assert_eq!((pool.pick(b""), pool.pick(b"u")), (Some(1), Some(1)));
        assert!(!pool.others_up(0));
        pool.up(2);
        assert_eq!((pool.pick(b"u"), pool.others_up(0)), (Some(2), true));
    }
}

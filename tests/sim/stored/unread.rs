//! What such a world knows of jobs that are still to be read: what must be counted, and who may wait.

use super::World;
use bytes::Bytes;
use conveyor_common::protocol::Request;
use conveyor_common::protocol::text::Command;
use conveyor_common::{ConnId, JobNumber, Priority};
use conveyor_server::core::{Change, Effect, Effects, Event, Peer, Reply, Unread as Counted};
use std::collections::{BTreeMap, BTreeSet};

/// A connection that only asks how many jobs there are.
const OBSERVER: ConnId = ConnId { index: 0, generation: 1 };

/// Jobs of earlier lives that have not come yet.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Their function, and whether they have a unique.
    jobs: BTreeMap<(Priority, JobNumber), (Bytes, bool)>,
    /// Cancelled before they came.
    pub(super) cancelled: BTreeSet<JobNumber>,
    /// The server was told how many there are.
    counted: bool,
}

impl Unread {
    /// The end of a job that has not come is its cancelling.
    pub(super) fn note_change(&mut self, change: &Change) {
        let Change::Removed { number, priority, function, unique } = change else { return };
        if let Some(known) = self.jobs.remove(&(*priority, *number)) {
            assert_eq!(known, (function.clone(), *unique));
            self.cancelled.insert(*number);
        }
    }

    pub(super) fn note_loaded(&mut self, event: &Event) {
        let Event::Loaded { jobs, next } = event else { return };
        for job in jobs {
            self.jobs.remove(&(job.record.priority, job.record.number));
        }
        let ended = |priority: &Priority| next.is_none_or(|next| *priority < next);
        assert!(!self.jobs.keys().any(|(priority, _)| ended(priority)), "the world forgot a job");
    }

    fn of(&self, function: &[u8]) -> impl Iterator<Item = (Priority, bool)> + '_ {
        let function = Bytes::copy_from_slice(function);
        let own = move |(_, (name, _)): &(_, &(Bytes, bool))| *name == function;
        self.jobs.iter().filter(own).map(|((priority, _), (_, unique))| (*priority, *unique))
    }
}

impl World {
    /// The server is told how many jobs there are, or something else.
    pub(super) fn start_unread(&mut self, reserved: u64, wrong: bool) {
        let earlier = self.disk.jobs.iter().filter(|((_, number), _)| number.0 <= reserved);
        let jobs = earlier.map(|(key, record)| (*key, (record.function.clone(), !record.unique.is_empty())));
        self.unread = Unread { jobs: jobs.collect(), cancelled: BTreeSet::new(), counted: false };
        let mut list = Vec::new();
        for function in &self.disk.functions {
            let mut counted = Counted { function: function.clone(), ..Counted::default() };
            for (priority, unique) in self.unread.of(function) {
                counted.counts.of_mut(priority).add(if unique { b"u" } else { b"" });
            }
            if wrong {
                for priority in Priority::ALL {
                    let count = counted.counts.of_mut(priority);
                    // Too few with a unique would make two jobs of one.
                    count.uniques += self.rng.below(3) as u64;
                    count.jobs = (count.jobs + self.rng.below(5) as u64).saturating_sub(2);
                }
            }
            list.push(counted);
        }
        self.apply(Event::Loading { unread: list });
        let mut fx = Effects::default();
        self.core.handle(self.now, Event::Connected { conn: OBSERVER, peer: Peer::default() }, &mut fx);
        self.unread.counted = !wrong;
    }

    fn table(&mut self, command: Command) -> Vec<(Bytes, Vec<usize>)> {
        let mut fx = Effects::default();
        self.core.handle(self.now, Event::Command { conn: OBSERVER, command }, &mut fx);
        let Some(Effect::Send { reply: Reply::Text(text), .. }) = fx.drain().next() else {
            panic!("a table is always told")
        };
        let text = String::from_utf8(text.to_vec()).unwrap();
        let rows = text.lines().filter(|line| *line != ".").map(|line| {
            let mut columns = line.split('\t');
            let name = Bytes::copy_from_slice(columns.next().unwrap().as_bytes());
            (name, columns.map(|column| column.parse().unwrap()).collect())
        });
        rows.collect()
    }

    /// Everything is counted, and whoever waits has to.
    pub(super) fn check_unread(&mut self) {
        if self.life == 0 || !self.is_loading() || !self.unread.counted {
            return;
        }
        let (status, priorities) = (self.table(Command::Status), self.table(Command::PriorityStatus));
        let total: usize = status.iter().map(|(_, columns)| columns[0]).sum();
        assert_eq!(total, self.core.job_count() + self.unread.jobs.len(), "{status:?}");
        for ((function, columns), (_, queued)) in status.iter().zip(&priorities) {
            assert_eq!(
                columns[0],
                columns[1] + queued[..3].iter().sum::<usize>(),
                "{status:?} {priorities:?}"
            );
            for priority in Priority::ALL {
                let unread = self.unread.of(function).filter(|(other, _)| *other == priority).count();
                assert!(queued[priority.index()] >= unread, "{unread} of {function:?}: {priorities:?}");
            }
        }
        for (conn, peer) in &self.conns {
            match &peer.deferred {
                None => {}
                Some(Event::Request { request: Request::Submit { function, unique, .. }, .. }) => {
                    let has_to = !unique.is_empty() && self.unread.of(function).any(|(_, unique)| unique);
                    assert!(has_to, "{conn:?} waits for nothing");
                }
                Some(_) => assert!(!self.finds.is_empty(), "{conn:?} waits for nothing"),
            }
        }
    }
}

//! The table of connections. Roles are not enforced: any connection may be client and worker at once.

use super::abilities::Abilities;
use super::event::Peer;
use super::job::JobId;
use super::wake::CrewId;
use bytes::Bytes;
use conveyor_common::ConnId;
use slab::Slab;

/// Whether a worker waits for a NOOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nap {
    /// It will come by itself.
    Awake,
    /// It sent PRE_SLEEP and nothing was runnable.
    Asleep,
    /// It got a NOOP and has not come back yet.
    Woken {
        /// Still expected any moment: it counts against the jobs that wait.
        fresh: bool,
    },
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    /// Rises with every connection.
    pub(super) age: u64,
    pub(super) peer: Peer,
    pub(super) client_id: Bytes,
    /// It is gone, and what it had is being taken back: nothing is said to it any more.
    pub(super) leaving: bool,
    /// Wants WORK_EXCEPTION as such.
    pub(super) exceptions: bool,
    pub(super) abilities: Abilities,
    /// The crew of exactly these abilities; none when they changed since the last PRE_SLEEP.
    pub(super) crew: Option<CrewId>,
    pub(super) nap: Nap,
    /// Counts naps, so that an old entry of a sleepers' list is told from a new one.
    pub(super) nap_count: u64,
    /// Jobs it submitted in the foreground and waits for.
    pub(super) watching: Slab<JobId>,
    /// Jobs it works on.
    pub(super) held: Slab<JobId>,
}

impl Conn {
    /// A connection that has said nothing yet.
    pub(super) fn new(id: ConnId, peer: Peer, exceptions: bool, age: u64) -> Self {
        Self {
            id,
            age,
            peer,
            client_id: Bytes::from_static(b"-"),
            leaving: false,
            exceptions,
            abilities: Abilities::default(),
            crew: None,
            nap: Nap::Awake,
            nap_count: 0,
            watching: Slab::new(),
            held: Slab::new(),
        }
    }
}

/// All connections by slot.
#[derive(Debug, Default)]
pub(super) struct Conns {
    table: Vec<Option<Box<Conn>>>,
    live: usize,
}

impl Conns {
    pub(super) fn insert(&mut self, conn: Conn) {
        let index = conn.id.index as usize;
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.table.get_mut(index) {
            debug_assert!(slot.is_none(), "the shell reused a slot before it reported the close");
            self.live += usize::from(slot.is_none());
            *slot = Some(Box::new(conn));
        }
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Box<Conn>> {
        self.get(id)?;
        self.live -= 1;
        self.table.get_mut(id.index as usize)?.take()
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.table.get(id.index as usize)?.as_deref().filter(|conn| conn.id == id)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.table.get_mut(id.index as usize)?.as_deref_mut().filter(|conn| conn.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.table.iter().flatten().map(AsRef::as_ref)
    }

    pub(super) const fn len(&self) -> usize {
        self.live
    }
}

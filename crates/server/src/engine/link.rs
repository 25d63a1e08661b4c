//! The engine's side of every connection: where to write, what waits, who is to be woken.

use super::queue::Queue;
use conveyor_common::{ConnId, Millis};
use std::io::{self, IoSlice};
use std::task::Waker;
use std::time::Duration;
use tokio::net::tcp::OwnedWriteHalf;

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) writer: OwnedWriteHalf,
    pub(super) outbox: Queue,
    /// Its task, when it waits.
    pub(super) waker: Option<Waker>,
    /// Stands in the list of links to flush.
    touched: bool,
    /// The socket takes nothing at the moment.
    pub(super) blocked: bool,
    /// When the socket last took something.
    pub(super) progressed: Millis,
    /// It has to go, once its outbox is out or cannot be.
    pub(super) closing: Option<&'static str>,
    /// What it asked cannot be answered yet: nothing else is taken from it.
    pub(super) deferred: bool,
    /// Its task waits for something else than its socket.
    pub(super) paused: bool,
}

impl Link {
    /// Makes its task look again when it waits for something else than its socket.
    pub(super) fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.wake();
        }
    }

    /// Makes its task look again.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Writes what the socket takes. Unacknowledged data kills a connection after a minute, but a peer that
    /// merely does not read is not dead: while it takes nothing the system's own limits apply.
    pub(super) fn send(&mut self, now: Millis, user_timeout: Duration) {
        let before = self.outbox.len();
        let sent = self.outbox.send(|slices| write(&self.writer, slices));
        if self.outbox.len() < before {
            self.progressed = now;
        }
        let blocked = match sent {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(_) => {
                self.closing.get_or_insert("the peer is gone");
                self.outbox = Queue::default();
                self.wake();
                return;
            }
        };
        if blocked != self.blocked {
            self.blocked = blocked;
            let socket = socket2::SockRef::from(self.writer.as_ref());
            // A socket that refuses the option keeps the system's default.
            let _ = socket.set_tcp_user_timeout((!blocked).then_some(user_timeout));
            self.wake();
        } else if self.closing.is_some() && !blocked {
            self.wake();
        }
    }
}

/// Writes once. A single piece, which is the rule, takes the system's shorter way.
fn write(writer: &OwnedWriteHalf, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [one] => writer.try_write(one),
        _ => writer.try_write_vectored(slices),
    }
}

/// The last words of a connection that has ended.
#[derive(Debug)]
pub(crate) struct Linger {
    writer: OwnedWriteHalf,
    outbox: Queue,
}

impl Linger {
    /// Offers what is left to the peer until it is out or fails.
    pub(crate) async fn finish(mut self) {
        while !self.outbox.has_nothing_to_send() {
            match self.outbox.send(|slices| write(&self.writer, slices)) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.writer.writable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Whether nothing is left to say.
    pub(crate) const fn is_empty(&self) -> bool {
        self.outbox.has_nothing_to_send()
    }
}

/// All links, by slot.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Vec<Slot>,
    free: Vec<u32>,
    touched: Vec<ConnId>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    link: Option<Box<Link>>,
}

impl Links {
    pub(super) fn insert(&mut self, writer: OwnedWriteHalf, now: Millis) -> ConnId {
        let link = Box::new(Link {
            writer,
            outbox: Queue::default(),
            waker: None,
            touched: false,
            blocked: false,
            progressed: now,
            closing: None,
            deferred: false,
            paused: false,
        });
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.generation = slot.generation.wrapping_add(1);
            generation = slot.generation;
            slot.link = Some(link);
        }
        ConnId { index, generation }
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Linger> {
        self.get_mut(conn)?;
        let link = self.slots.get_mut(conn.index as usize)?.link.take()?;
        self.free.push(conn.index);
        Some(Linger { writer: link.writer, outbox: link.outbox })
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        let slot = self.slots.get_mut(conn.index as usize)?;
        if slot.generation == conn.generation { slot.link.as_deref_mut() } else { None }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.slots.iter_mut().filter_map(|slot| slot.link.as_deref_mut())
    }

    /// The connection, put on the list of those to flush.
    pub(super) fn touch(&mut self, conn: ConnId) -> Option<&mut Link> {
        let slot = self.slots.get_mut(conn.index as usize)?;
        if slot.generation != conn.generation {
            return None;
        }
        let link = slot.link.as_deref_mut()?;
        if !link.touched {
            link.touched = true;
            self.touched.push(conn);
        }
        Some(link)
    }

    pub(super) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Hands every touched link to `flush`.
    pub(super) fn flush_each(&mut self, mut flush: impl FnMut(&mut Link)) {
        let mut touched = std::mem::take(&mut self.touched);
        for conn in touched.drain(..) {
            if let Some(link) = self.get_mut(conn) {
                link.touched = false;
                flush(link);
            }
        }
        self.touched = touched;
    }
}

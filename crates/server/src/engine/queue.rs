//! What is queued for one connection: bytes that may leave, and behind them places kept for answers that are not
//! decided yet, each with what must not overtake it.

use super::outbox::Outbox;
use crate::core::Reply;
use conveyor_common::HandlePrefix;
use conveyor_common::protocol::Response;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Answers a connection may be owed before nothing more is read from it.
const MOST_HELD: usize = 4096;

/// A place kept for an answer.
#[derive(Debug)]
struct Place {
    ticket: u64,
    answer: Option<Reply>,
    behind: Outbox,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: Outbox,
    /// By ticket.
    places: VecDeque<Place>,
    /// Bytes behind places.
    held: usize,
}

impl Queue {
    /// Bytes in all.
    pub(crate) const fn len(&self) -> usize {
        self.ready.len() + self.held
    }

    /// Whether nothing may leave now.
    pub(crate) const fn has_nothing_to_send(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether an answer is still to be decided.
    pub(crate) fn owes(&self) -> bool {
        !self.places.is_empty()
    }

    /// Whether so many are to be decided that the connection has to wait.
    pub(crate) fn owes_many(&self) -> bool {
        self.places.len() >= MOST_HELD
    }

    fn write(&mut self, write: impl FnOnce(&mut Outbox)) {
        match self.places.back_mut() {
            None => write(&mut self.ready),
            Some(place) => {
                let before = place.behind.len();
                write(&mut place.behind);
                self.held += place.behind.len() - before;
            }
        }
    }

    /// Appends a packet that has no payload worth sharing.
    pub(crate) fn push_packet<B: AsRef<[u8]>>(&mut self, packet: &Response<B>) {
        self.write(|outbox| outbox.push_packet(packet));
    }

    /// Writes a reply of the core out.
    pub(crate) fn push_reply(&mut self, prefix: &HandlePrefix, reply: Reply) {
        self.write(|outbox| outbox.push_reply(prefix, reply));
    }

    /// Keeps a place for an answer.
    pub(crate) fn hold(&mut self, ticket: u64) {
        self.places.push_back(Place { ticket, answer: None, behind: Outbox::default() });
    }

    /// Fills a place, and lets everything leave that waits for no other.
    pub(crate) fn fill(&mut self, prefix: &HandlePrefix, ticket: u64, answer: Reply) {
        let found = self.places.binary_search_by_key(&ticket, |place| place.ticket);
        let place = found.ok().and_then(|at| self.places.get_mut(at));
        // The queue of a peer that was cut off has lost its places.
        if let Some(place) = place {
            place.answer = Some(answer);
        }
        while self.places.front().is_some_and(|place| place.answer.is_some()) {
            let Some(Place { answer: Some(answer), behind, .. }) = self.places.pop_front() else { return };
            self.held -= behind.len();
            self.ready.push_reply(prefix, answer);
            self.ready.append(behind);
        }
    }

    /// Hands the first bytes to `write` until it takes no more, and forgets what it took.
    ///
    /// # Errors
    /// What `write` says.
    pub(crate) fn send<E>(&mut self, write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<(), E> {
        self.ready.send(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use conveyor_common::JobNumber;
    use proptest::prelude::*;

    fn sent(queue: &mut Queue) -> Vec<u8> {
        let mut bytes = Vec::new();
        let done: Result<(), ()> = queue.send(|slices| {
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        assert_eq!(done, Ok(()));
        bytes
    }

    proptest! {
        /// Whatever the order of decisions, a connection sees its answers in the order of its questions.
        #[test]
        fn answers_leave_in_the_order_of_their_places(
            plan in prop::collection::vec((any::<bool>(), any::<u16>(), 0..40_000_usize), 1..40),
        ) {
            let prefix = HandlePrefix::new(b"H:x");
            let (mut queue, mut expected) = (Queue::default(), BytesMut::new());
            let mut open = Vec::new();
            let mut got = Vec::new();
            for (number, (held, turn, size)) in (1_u64..).zip(plan) {
                let reply = if held {
                    Reply::JobCreated(JobNumber(number))
                } else {
                    Reply::Data { job: JobNumber(number), payload: Bytes::from(vec![7; size]) }
                };
                let mut plain = Queue::default();
                plain.push_reply(&prefix, reply.clone());
                expected.extend_from_slice(&sent(&mut plain));
                if held {
                    queue.hold(number);
                    open.insert(usize::from(turn) % (open.len() + 1), (number, reply));
                } else {
                    queue.push_reply(&prefix, reply);
                }
                if turn % 3 == 0 && let Some((ticket, reply)) = open.pop() {
                    queue.fill(&prefix, ticket, reply);
                }
                got.extend(sent(&mut queue));
                prop_assert!(expected.starts_with(&got));
                prop_assert_eq!(queue.owes(), !open.is_empty());
            }
            for (ticket, reply) in open {
                queue.fill(&prefix, ticket, reply);
            }
            got.extend(sent(&mut queue));
            prop_assert!(expected == got && queue.len() == 0);
        }
    }
}

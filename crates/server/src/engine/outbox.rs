//! What waits to be sent to one connection: a FIFO of bytes.
//!
//! Small packets are written into one buffer that is used again and again; a large payload is kept as the
//! slice it arrived in and never copied.

use crate::core::{JobStatus, Reply};
use bytes::{Buf, Bytes, BytesMut};
use conveyor_common::HandlePrefix;
use conveyor_common::ids::HandleText;
use conveyor_common::protocol::{GrabForm, Response};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Payloads of at least this many bytes are not copied.
const SHARE_BYTES: usize = 16 * 1024;

/// Room that an empty buffer keeps.
const KEEP_BYTES: usize = 16 * 1024;

/// Slices in one system call.
const SLICES: usize = 64;

/// Bytes for one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Complete pieces, oldest first.
    pieces: VecDeque<Bytes>,
    /// What follows them.
    tail: BytesMut,
    /// Bytes in all.
    len: usize,
}

impl Outbox {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes as they are.
    pub(crate) fn push_bytes(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if bytes.len() < SHARE_BYTES {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// Appends all of another outbox.
    pub(crate) fn append(&mut self, other: Self) {
        other.pieces.into_iter().for_each(|piece| self.push_bytes(piece));
        self.push_bytes(other.tail.freeze());
    }

    /// Appends a packet that has no payload worth sharing.
    pub(crate) fn push_packet<B: AsRef<[u8]>>(&mut self, packet: &Response<B>) {
        let before = self.tail.len();
        packet.encode(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// Appends a packet that ends with `payload`.
    fn push_with_payload(&mut self, packet: &Response<&[u8]>, payload: &Bytes) {
        if payload.len() < SHARE_BYTES {
            return self.push_packet(packet);
        }
        let before = self.tail.len();
        packet.encode_head(&mut self.tail);
        self.len += self.tail.len() - before;
        self.push_bytes(payload.clone());
    }

    /// Writes a reply of the core out.
    pub(crate) fn push_reply(&mut self, prefix: &HandlePrefix, reply: Reply) {
        let written = reply.job().map(|number| prefix.write(number));
        let handle = written.as_ref().map_or(&[][..], HandleText::as_bytes);
        match &reply {
            Reply::Noop => self.push_packet(&Response::<&[u8]>::Noop),
            Reply::NoJob => self.push_packet(&Response::<&[u8]>::NoJob),
            Reply::JobCreated(_) => {
                self.push_packet(&Response::JobCreated { handle });
            }
            Reply::Assign { form, function, unique, reducer, payload, .. } => {
                let packet = match form {
                    GrabForm::Plain => Response::JobAssign { handle, function: &function[..], payload },
                    GrabForm::Unique => {
                        Response::JobAssignUniq { handle, function: &function[..], unique, payload }
                    }
                    GrabForm::All => {
                        Response::JobAssignAll { handle, function: &function[..], unique, reducer, payload }
                    }
                };
                self.push_with_payload(&packet, payload);
            }
            Reply::Status { numerator, denominator, .. } => {
                self.push_packet(&Response::WorkStatus { handle, numerator: &numerator[..], denominator });
            }
            Reply::Complete { payload, .. } => {
                self.push_with_payload(&Response::WorkComplete { handle, payload }, payload);
            }
            Reply::Data { payload, .. } => {
                self.push_with_payload(&Response::WorkData { handle, payload }, payload);
            }
            Reply::Warning { payload, .. } => {
                self.push_with_payload(&Response::WorkWarning { handle, payload }, payload);
            }
            Reply::Exception { payload, .. } => {
                self.push_with_payload(&Response::WorkException { handle, payload }, payload);
            }
            Reply::Fail(_) => self.push_packet(&Response::WorkFail { handle }),
            Reply::FailAsSent(handle) => self.push_packet(&Response::WorkFail { handle: &handle[..] }),
            Reply::FailTerminated(_) => {
                let handle = [handle, b"\0"].concat();
                self.push_packet(&Response::WorkFail { handle: &handle[..] });
            }
            Reply::Error { code, text } => {
                self.push_packet(&Response::Error { code: code.as_str(), text });
            }
            Reply::StatusRes { handle, status } => self.push_status(handle, *status),
            Reply::StatusResUnique { unique, status, clients } => {
                self.push_unique_status(unique, *status, *clients);
            }
            Reply::Echo(payload) => {
                self.push_with_payload(&Response::Echo { payload: &payload[..] }, payload);
            }
            Reply::Option(option) => self.push_packet(&Response::Option { option: &option[..] }),
            Reply::Text(text) => self.push_bytes(text.clone()),
        }
    }

    fn push_status(&mut self, handle: &Bytes, status: JobStatus) {
        let JobStatus { known, running, numerator, denominator } = status;
        let (numerator, denominator) = (numerator.to_string(), denominator.to_string());
        let (numerator, denominator) = (numerator.as_bytes(), denominator.as_bytes());
        self.push_packet(&Response::StatusRes {
            handle: &handle[..],
            known,
            running,
            numerator,
            denominator,
        });
    }

    fn push_unique_status(&mut self, unique: &Bytes, status: JobStatus, clients: usize) {
        let JobStatus { known, running, numerator, denominator } = status;
        let [numerator, denominator] = [numerator, denominator].map(|number| number.to_string());
        let clients = clients.to_string();
        self.push_packet(&Response::StatusResUnique {
            unique: &unique[..],
            known,
            running,
            numerator: numerator.as_bytes(),
            denominator: denominator.as_bytes(),
            clients: clients.as_bytes(),
        });
    }

    /// Hands the first bytes to `write` until it takes no more, and forgets what it took.
    ///
    /// # Errors
    /// What `write` says.
    pub(crate) fn send<E>(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(), E> {
        while self.len > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let tail = Some(&self.tail[..]).filter(|tail| !tail.is_empty());
            let chunks = self.pieces.iter().map(|piece| &piece[..]).chain(tail);
            let mut used = 0;
            for (slice, chunk) in slices.iter_mut().zip(chunks) {
                *slice = IoSlice::new(chunk);
                used += 1;
            }
            let taken = write(slices.get(..used).unwrap_or_default())?;
            self.forget(taken);
        }
        Ok(())
    }

    fn forget(&mut self, mut taken: usize) {
        self.len = self.len.saturating_sub(taken);
        while let Some(piece) = self.pieces.front_mut() {
            if taken < piece.len() {
                return piece.advance(taken);
            }
            taken -= piece.len();
            self.pieces.pop_front();
        }
        if taken >= self.tail.len() {
            self.tail.clear();
            if self.tail.capacity() > KEEP_BYTES {
                self.tail = BytesMut::new();
            }
        } else {
            self.tail.advance(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_common::JobNumber;

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        let prefix = HandlePrefix::new(b"H:x");
        let large = Bytes::from(vec![7_u8; SHARE_BYTES * 2]);
        for step in [1, 5, 1000, 1 << 20] {
            let mut outbox = Outbox::default();
            let mut expected = BytesMut::new();
            for number in 1..20 {
                outbox.push_reply(&prefix, Reply::JobCreated(JobNumber(number)));
                let handle = format!("H:x:{number}");
                Response::JobCreated { handle: handle.as_bytes() }.encode(&mut expected);
                outbox.push_reply(&prefix, Reply::Data { job: JobNumber(number), payload: large.clone() });
                Response::WorkData { handle: handle.as_bytes(), payload: &large }.encode(&mut expected);
            }
            assert_eq!(outbox.len(), expected.len());
            let mut sent = Vec::new();
            let done: Result<(), ()> = outbox.send(|slices| {
                let mut room = step;
                for slice in slices {
                    let taken = slice.len().min(room);
                    sent.extend_from_slice(&slice[..taken]);
                    room -= taken;
                }
                Ok(step - room)
            });
            assert_eq!(done, Ok(()));
            assert!(sent == expected && outbox.is_empty());
        }
    }
}

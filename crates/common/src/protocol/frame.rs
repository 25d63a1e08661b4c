//! Cuts a byte stream into binary packets and text lines, at any split of the bytes.
//!
//! Both kinds may alternate on one connection: a packet starts with NUL, a line with anything else.
//! The decoder keeps nothing of the stream but how far it has looked for a line end; what it hands out are
//! slices of the buffer, and it never asks for more memory than bytes have arrived.

use super::{FrameError, Opcode};
use crate::limits::{ARGUMENT_BYTES, HEADER_BYTES, LINE_BYTES, PACKET_BYTES_DEFAULT};
use bytes::{Buf, Bytes, BytesMut};

/// Magic of packets towards the server.
pub const REQUEST_MAGIC: [u8; 4] = *b"\0REQ";
/// Magic of packets from the server.
pub const RESPONSE_MAGIC: [u8; 4] = *b"\0RES";

/// The direction a packet claims to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    /// `\0REQ`: client or worker to server.
    Request,
    /// `\0RES`: server to client or worker.
    Response,
}

impl Magic {
    /// The four bytes on the wire.
    #[must_use]
    pub const fn bytes(self) -> [u8; 4] {
        match self {
            Self::Request => REQUEST_MAGIC,
            Self::Response => RESPONSE_MAGIC,
        }
    }
}

/// A binary packet, not yet looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Direction.
    pub magic: Magic,
    /// Type.
    pub opcode: Opcode,
    /// Everything after the header.
    pub body: Bytes,
}

/// One unit of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A binary packet.
    Packet(Packet),
    /// A line of the text protocol, without its line end.
    Line(Bytes),
}

/// Cuts one direction of one connection into frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    packet_limit: u64,
    /// Bytes at the head of the buffer known to hold no line end.
    scanned: usize,
    /// Bytes that complete the frame at the head of the buffer, as far as known.
    wanted: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(PACKET_BYTES_DEFAULT)
    }
}

impl Decoder {
    /// A decoder that refuses bodies above `packet_limit` bytes.
    #[must_use]
    pub const fn new(packet_limit: u64) -> Self {
        Self { packet_limit, scanned: 0, wanted: 0 }
    }

    /// Bytes that the buffer holds when the frame at its head is complete; 0 when not known yet.
    /// A claim of the peer: a hint for reading, no reason to reserve memory.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes the next frame off the head of `input`, or nothing when it is not complete yet.
    ///
    /// # Errors
    /// The stream cannot be followed any further; nothing after this point may be interpreted.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        match input.first() {
            None => Ok(None),
            Some(0) => self.decode_packet(input),
            Some(_) => self.decode_line(input),
        }
    }

    fn decode_packet(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(header) = input.first_chunk::<HEADER_BYTES>() else {
            self.wanted = HEADER_BYTES;
            return match input.first_chunk::<4>() {
                Some(magic) => read_magic(*magic).map(|_| None),
                None => Ok(None),
            };
        };
        let [m0, m1, m2, m3, t0, t1, t2, t3, l0, l1, l2, l3] = *header;
        let magic = read_magic([m0, m1, m2, m3])?;
        let number = u32::from_be_bytes([t0, t1, t2, t3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let opcode = Opcode::from_wire(number).ok_or(FrameError::UnknownType(number))?;
        self.check_length(opcode, length)?;
        let whole = HEADER_BYTES.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if input.len() < whole {
            self.wanted = whole;
            return Ok(None);
        }
        self.wanted = 0;
        input.advance(HEADER_BYTES);
        let body = input.split_to(whole - HEADER_BYTES).freeze();
        Ok(Some(Frame::Packet(Packet { magic, opcode, body })))
    }

    /// Types without a payload consist of arguments, and arguments are short: no need to wait for a
    /// gigabyte that must be refused.
    fn check_length(&self, opcode: Opcode, length: u32) -> Result<(), FrameError> {
        let layout = opcode.layout();
        if !layout.payload && length as usize > ARGUMENT_BYTES * layout.args.max(1) {
            return Err(FrameError::ArgumentTooLarge);
        }
        let claimed = u64::from(length);
        if claimed > self.packet_limit {
            return Err(FrameError::PacketTooLarge { claimed, limit: self.packet_limit });
        }
        Ok(())
    }

    fn decode_line(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let fresh = input.get(self.scanned..).unwrap_or_default();
        let Some(offset) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.scanned = input.len();
            return if input.len() >= LINE_BYTES { Err(FrameError::LineTooLong) } else { Ok(None) };
        };
        let end = self.scanned + offset;
        self.scanned = 0;
        self.wanted = 0;
        if end >= LINE_BYTES {
            return Err(FrameError::LineTooLong);
        }
        let mut line = input.split_to(end).freeze();
        input.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(Frame::Line(line)))
    }
}

fn read_magic(bytes: [u8; 4]) -> Result<Magic, FrameError> {
    match bytes {
        REQUEST_MAGIC => Ok(Magic::Request),
        RESPONSE_MAGIC => Ok(Magic::Response),
        other => Err(FrameError::BadMagic(other)),
    }
}

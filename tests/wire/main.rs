//! The wire protocol and payloads, byte for byte: what each packet, line and value looks like, how a stream is cut at
//! any split, and what is refused. The expected bytes are written by hand, never by the encoder under test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

mod admin_text;
mod control;
mod framing;
mod fuzz;
mod golden;
mod layout;
mod manager;
mod memory;
mod payload;
mod php;
mod php_strategy;
mod round_trip;
mod strategy;
pub mod targets;

use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::{Decoder, Frame, FrameError, Packet, ParseError, Request, Response};

/// Cuts `bytes` into frames, which must use up all of them.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut input = BytesMut::from(bytes);
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut input).unwrap() {
        frames.push(frame);
    }
    assert!(input.is_empty(), "{} bytes are left after {frames:?}", input.len());
    frames
}

/// The one packet that `bytes` are.
fn packet(bytes: &[u8]) -> Packet {
    match <[Frame; 1]>::try_from(frames(bytes)) {
        Ok([Frame::Packet(packet)]) => packet,
        other => panic!("not one packet: {other:?}"),
    }
}

/// The first thing a decoder says about `bytes`.
fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    Decoder::default().decode(&mut BytesMut::from(bytes))
}

fn request(bytes: &[u8]) -> Result<Request, ParseError> {
    Request::from_packet(packet(bytes))
}

fn response(bytes: &[u8]) -> Result<Response, ParseError> {
    Response::from_packet(packet(bytes))
}

const fn text(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

/// A packet put together by the test itself, for bodies too long to be written out.
fn packet_of(magic: &[u8; 4], number: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [magic.as_slice(), &number.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

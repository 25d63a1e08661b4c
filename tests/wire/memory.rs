//! Payloads are slices of the buffer they arrived in, and what a peer claims costs no memory.

use crate::text;
use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{Decoder, Frame, Packet, Request, Response};
use std::ops::Range;

/// Decodes all of `bytes`; also where in memory they lay.
fn decode_in_place(bytes: &[u8]) -> (Vec<Frame>, Range<usize>) {
    let mut input = BytesMut::from(bytes);
    let start = input.as_ptr().addr();
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut input).unwrap() {
        frames.push(frame);
    }
    (frames, start..start + bytes.len())
}

fn only_packet(bytes: &[u8]) -> (Packet, Range<usize>) {
    let (frames, buffer) = decode_in_place(bytes);
    match <[Frame; 1]>::try_from(frames) {
        Ok([Frame::Packet(packet)]) => (packet, buffer),
        other => panic!("not one packet: {other:?}"),
    }
}

fn assert_within(buffer: &Range<usize>, what: &str, slice: &Bytes) {
    let start = slice.as_ptr().addr();
    assert!(
        buffer.start <= start && start + slice.len() <= buffer.end,
        "{what} was copied out of the buffer it arrived in"
    );
}

#[test]
fn the_parts_of_a_submission_are_slices_of_the_buffer() {
    let payload = [7; 5000];
    let body = [b"function\0unique\0".as_slice(), &payload].concat();
    let (packet, buffer) = only_packet(&crate::packet_of(b"\0REQ", 7, &body));
    assert_within(&buffer, "the body", &packet.body);
    let Ok(Request::Submit { function, unique, payload, .. }) = Request::from_packet(packet) else {
        panic!("no submission")
    };
    assert_within(&buffer, "the function", &function);
    assert_within(&buffer, "the unique", &unique);
    assert_within(&buffer, "the payload", &payload);
    assert_eq!((function.len(), unique.len(), payload.len()), (8, 6, 5000));
}

#[test]
fn the_parts_of_a_result_are_slices_of_the_buffer() {
    let body = [b"H:box:1\0".as_slice(), &[7; 5000]].concat();
    let (packet, buffer) = only_packet(&crate::packet_of(b"\0RES", 13, &body));
    let Ok(Response::WorkComplete { handle, payload }) = Response::from_packet(packet) else {
        panic!("no result")
    };
    assert_within(&buffer, "the handle", &handle);
    assert_within(&buffer, "the payload", &payload);
}

#[test]
fn the_words_of_a_line_are_slices_of_the_buffer() {
    let (frames, buffer) = decode_in_place(b"create function resize-images\r\n");
    let [Frame::Line(line)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_within(&buffer, "the line", line);
    let Ok(Command::CreateFunction(name)) = Command::parse(line) else { panic!("no command") };
    assert_within(&buffer, "the name", &name);
    assert_eq!(name, "resize-images");
}

#[test]
fn packets_read_together_stay_in_their_buffer() {
    let one = crate::packet_of(b"\0REQ", 16, &[1; 100]);
    let two = crate::packet_of(b"\0REQ", 16, &[2; 100]);
    let (frames, buffer) = decode_in_place(&[one, two].concat());
    assert_eq!(frames.len(), 2);
    for frame in frames {
        let Frame::Packet(packet) = frame else { panic!("a line") };
        assert_within(&buffer, "the body", &packet.body);
    }
}

#[test]
fn a_claim_of_four_gibibytes_reserves_nothing() {
    let mut input = BytesMut::with_capacity(64);
    input.extend_from_slice(b"\0REQ\0\0\0\x07\xff\xff\xff\xff");
    let (capacity, place) = (input.capacity(), input.as_ptr());
    let mut decoder = Decoder::new(u64::MAX);
    for _ in 0..100 {
        assert_eq!(decoder.decode(&mut input), Ok(None));
    }
    assert_eq!(decoder.wanted(), 12 + 0xffff_ffff, "the claim is known");
    assert_eq!((input.capacity(), input.as_ptr()), (capacity, place), "and nothing was reserved for it");
}

#[test]
fn bytes_that_trickle_in_are_never_moved_by_the_decoder() {
    let whole = crate::packet_of(b"\0REQ", 7, &[b"f\0u\0".as_slice(), &[9; 4000]].concat());
    let mut input = BytesMut::with_capacity(whole.len());
    let place = input.as_ptr();
    let mut decoder = Decoder::default();
    let (last, most) = whole.split_last().unwrap();
    for byte in most {
        input.extend_from_slice(&[*byte]);
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert_eq!((input.as_ptr(), input.capacity()), (place, whole.len()));
    }
    input.extend_from_slice(&[*last]);
    let Ok(Some(Frame::Packet(packet))) = decoder.decode(&mut input) else { panic!("no packet") };
    assert_eq!(packet.body.as_ptr().addr(), place.addr() + 12);
    assert_eq!(packet.body.slice(..4), text(b"f\0u\0"));
}

#[test]
fn writing_the_head_of_a_response_does_not_reserve_for_its_payload() {
    let payload = Bytes::from(vec![0; 1 << 20]);
    let mut out = BytesMut::new();
    Response::WorkComplete { handle: text(b"H:box:1"), payload }.encode_head(&mut out);
    assert_eq!(out, &b"\0RES\0\0\0\x0d\0\x10\0\x08H:box:1\0"[..]);
    assert!(out.capacity() < 1024, "{} bytes", out.capacity());
}

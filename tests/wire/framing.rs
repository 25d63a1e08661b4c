//! Where packets and lines begin and end, and which streams cannot be followed.

use crate::{decode, frames, packet_of, text};
use bytes::BytesMut;
use conveyor_common::limits::{ARGUMENT_BYTES, LINE_BYTES, PACKET_BYTES_DEFAULT};
use conveyor_common::protocol::{Decoder, Frame, FrameError, Magic, Opcode, Packet};

fn line(bytes: &'static [u8]) -> Frame {
    Frame::Line(text(bytes))
}

fn request(opcode: Opcode, body: &'static [u8]) -> Frame {
    Frame::Packet(Packet { magic: Magic::Request, opcode, body: text(body) })
}

/// A header with nothing behind it.
fn header(number: u32, length: u32) -> Vec<u8> {
    [b"\0REQ".as_slice(), &number.to_be_bytes(), &length.to_be_bytes()].concat()
}

#[test]
fn nothing_is_no_frame_yet() {
    assert_eq!(decode(b""), Ok(None));
}

#[test]
fn a_part_of_a_packet_is_no_frame_yet() {
    let whole = b"\0REQ\0\0\0\x01\0\0\0\x07reverse";
    for length in 0..whole.len() {
        assert_eq!(decode(&whole[..length]), Ok(None), "{length} bytes");
    }
    assert_eq!(decode(whole), Ok(Some(request(Opcode::CanDo, b"reverse"))));
}

#[test]
fn packets_and_lines_alternate_on_one_connection() {
    let stream = b"status\r\n\0REQ\0\0\0\x04\0\0\0\0version\n\n\0REQ\0\0\0\x10\0\0\0\x02\r\nworkers\r\n";
    assert_eq!(
        frames(stream),
        [
            line(b"status"),
            request(Opcode::PreSleep, b""),
            line(b"version"),
            line(b""),
            request(Opcode::EchoReq, b"\r\n"),
            line(b"workers"),
        ]
    );
}

#[test]
fn a_packet_of_the_other_direction_is_a_packet() {
    let expected = Packet { magic: Magic::Response, opcode: Opcode::PreSleep, body: text(b"") };
    assert_eq!(decode(b"\0RES\0\0\0\x04\0\0\0\0"), Ok(Some(Frame::Packet(expected))));
}

#[test]
fn a_type_that_does_not_exist_is_refused_at_its_header() {
    for number in [0, 43, 44, 255, 0x0100, 0x0001_0000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff] {
        assert_eq!(decode(&header(number, 0)), Err(FrameError::UnknownType(number)));
        assert_eq!(decode(&header(number, u32::MAX)), Err(FrameError::UnknownType(number)));
    }
}

#[test]
fn all_42_types_are_framed() {
    for number in 1..=42 {
        let packet = packet_of(b"\0REQ", number, b"x");
        let Ok(Some(Frame::Packet(packet))) = decode(&packet) else { panic!("type {number}") };
        assert_eq!(packet.opcode.to_wire(), number);
        assert_eq!(packet.body, "x");
    }
}

#[test]
fn a_bad_magic_is_refused_as_soon_as_its_four_bytes_are_there() {
    for magic in [*b"\0REX", *b"\0req", *b"\0\0\0\0", *b"\0RE\0", *b"\0QER", [0, 0xff, 0xff, 0xff]] {
        assert_eq!(decode(&magic[..3]), Ok(None), "{magic:?}");
        assert_eq!(decode(&magic), Err(FrameError::BadMagic(magic)));
        let packet = packet_of(&magic, 4, b"");
        assert_eq!(decode(&packet), Err(FrameError::BadMagic(magic)));
    }
}

#[test]
fn a_body_at_the_packet_limit_is_accepted_and_one_byte_more_refused() {
    let limited = |length: u32| Decoder::new(100).decode(&mut BytesMut::from(header(7, length).as_slice()));
    assert_eq!(limited(100), Ok(None));
    assert_eq!(limited(101), Err(FrameError::PacketTooLarge { claimed: 101, limit: 100 }));
    let claimed = u64::from(u32::MAX);
    assert_eq!(limited(u32::MAX), Err(FrameError::PacketTooLarge { claimed, limit: 100 }));
}

#[test]
fn the_packet_limit_counts_the_body_and_not_the_header() {
    let whole = packet_of(b"\0REQ", 16, &[b'x'; 100]);
    assert!(matches!(
        Decoder::new(100).decode(&mut BytesMut::from(whole.as_slice())),
        Ok(Some(Frame::Packet(_)))
    ));
}

#[test]
fn the_default_packet_limit_is_one_gibibyte() {
    assert_eq!(decode(&header(7, 1 << 30)), Ok(None));
    assert_eq!(
        decode(&header(7, (1 << 30) + 1)),
        Err(FrameError::PacketTooLarge { claimed: (1 << 30) + 1, limit: PACKET_BYTES_DEFAULT })
    );
}

#[test]
fn arguments_that_cannot_fit_are_refused_at_the_header() {
    for opcode in Opcode::ALL.into_iter().filter(|opcode| !opcode.layout().payload) {
        let most = u32::try_from(ARGUMENT_BYTES * opcode.layout().args.max(1)).unwrap();
        assert_eq!(decode(&header(opcode.to_wire(), most)), Ok(None), "{opcode:?}");
        assert_eq!(
            decode(&header(opcode.to_wire(), most + 1)),
            Err(FrameError::ArgumentTooLarge),
            "{opcode:?}"
        );
    }
}

#[test]
fn a_line_ends_with_a_newline_and_perhaps_one_return_before_it() {
    assert_eq!(frames(b"status\n"), [line(b"status")]);
    assert_eq!(frames(b"status\r\n"), [line(b"status")]);
    assert_eq!(frames(b"status\r\r\n"), [line(b"status\r")]);
    assert_eq!(frames(b"sta\rtus\n"), [line(b"sta\rtus")]);
    assert_eq!(frames(b"\r\n"), [line(b"")]);
    assert_eq!(frames(b"\n"), [line(b"")]);
    assert_eq!(decode(b"status\r"), Ok(None));
}

#[test]
fn a_line_may_hold_nul_behind_its_first_byte() {
    assert_eq!(frames(b"a\0REQ\n"), [line(b"a\0REQ")]);
}

#[test]
fn a_line_of_8192_bytes_with_its_end_is_the_longest() {
    let longest = [vec![b'a'; LINE_BYTES - 1], b"\n".to_vec()].concat();
    assert!(matches!(frames(&longest).as_slice(), [Frame::Line(line)] if line.len() == LINE_BYTES - 1));
    let with_return = [vec![b'a'; LINE_BYTES - 2], b"\r\n".to_vec()].concat();
    assert!(matches!(frames(&with_return).as_slice(), [Frame::Line(line)] if line.len() == LINE_BYTES - 2));
    let longer = [vec![b'a'; LINE_BYTES], b"\n".to_vec()].concat();
    assert_eq!(decode(&longer), Err(FrameError::LineTooLong));
}

#[test]
fn a_line_without_end_is_refused_when_it_can_no_longer_be_short_enough() {
    assert_eq!(decode(&vec![b'a'; LINE_BYTES - 1]), Ok(None));
    assert_eq!(decode(&vec![b'a'; LINE_BYTES]), Err(FrameError::LineTooLong));
}

#[test]
fn many_short_lines_may_be_longer_than_the_limit_together() {
    let stream = b"version\n".repeat(LINE_BYTES);
    assert_eq!(frames(&stream).len(), LINE_BYTES);
}

#[test]
fn what_is_known_of_a_frame_is_what_it_needs() {
    let mut decoder = Decoder::default();
    let mut input = BytesMut::new();
    assert_eq!(decoder.wanted(), 0, "nothing arrived yet");
    input.extend_from_slice(b"\0RE");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!(decoder.wanted(), 12, "a header");
    input.extend_from_slice(b"Q\0\0\0\x10\0\0\0\x05");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!(decoder.wanted(), 17, "a header and its body");
    input.extend_from_slice(b"hello");
    assert_eq!(decoder.decode(&mut input), Ok(Some(request(Opcode::EchoReq, b"hello"))));
    assert_eq!(decoder.wanted(), 0, "nothing is known of the next frame");
}

#[test]
fn every_frame_error_says_what_is_wrong() {
    let claimed = 5;
    for (error, said) in [
        (FrameError::BadMagic(*b"\0GET"), "magic [00, 47, 45, 54]"),
        (FrameError::UnknownType(43), "type 43"),
        (FrameError::PacketTooLarge { claimed, limit: 4 }, "5 bytes exceeds the limit of 4"),
        (FrameError::ArgumentTooLarge, "8192"),
        (FrameError::LineTooLong, "8192"),
    ] {
        assert!(error.to_string().contains(said), "{error}");
    }
}

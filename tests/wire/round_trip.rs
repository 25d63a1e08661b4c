//! Whatever is written is read back, wherever the stream is cut.

use crate::{frames, packet, request, response, strategy, targets};
use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{Frame, Magic, Request};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_request_is_read_back_as_it_was_written(sent in strategy::request()) {
        let mut out = BytesMut::new();
        sent.encode(&mut out);
        prop_assert_eq!(packet(&out).magic, Magic::Request);
        prop_assert_eq!(request(&out), Ok(sent));
    }

    #[test]
    fn a_response_is_read_back_as_it_was_written(sent in strategy::response()) {
        let mut out = BytesMut::new();
        sent.encode(&mut out);
        prop_assert_eq!(packet(&out).magic, Magic::Response);
        prop_assert_eq!(packet(&out).opcode, sent.opcode());
        prop_assert_eq!(response(&out), Ok(sent));
    }

    #[test]
    fn a_command_is_read_back_as_it_was_written(sent in strategy::command()) {
        let line = sent.to_line();
        let read = frames(&line);
        let [Frame::Line(line)] = read.as_slice() else { panic!("not one line: {read:?}") };
        prop_assert_eq!(Command::parse(line), Ok(sent));
    }

    #[test]
    fn a_stream_gives_the_same_frames_cut_into_two_anywhere(stream in strategy::stream()) {
        let whole = targets::run(&[&stream]);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            prop_assert_eq!(&targets::run(&[left, right]), &whole, "cut at {}", cut);
        }
    }

    #[test]
    fn a_stream_gives_the_same_frames_byte_by_byte(stream in strategy::stream()) {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(targets::run(&bytes), targets::run(&[&stream]));
    }

    #[test]
    fn a_stream_gives_the_same_frames_cut_into_pieces(
        stream in strategy::stream(),
        sizes in proptest::collection::vec(1_usize..50, 1..20),
    ) {
        let mut rest = stream.as_slice();
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(targets::run(&pieces), targets::run(&[&stream]));
    }

    #[test]
    fn any_bytes_give_the_same_frames_cut_into_two(
        stream in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(b'\n')], 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let (left, right) = stream.split_at(cut.index(stream.len() + 1));
        prop_assert_eq!(targets::run(&[left, right]), targets::run(&[&stream]));
    }
}

#[test]
fn bug_the_lowest_number_is_read_back() {
    let sent = Request::CanDoTimeout { function: Bytes::from_static(b"f"), timeout_ms: i64::MIN };
    let mut out = BytesMut::new();
    sent.encode(&mut out);
    assert_eq!(request(&out), Ok(sent));
}

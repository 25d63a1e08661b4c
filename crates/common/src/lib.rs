//! What every part of Conveyor shares: the Gearman wire protocol, payloads, the control channel of performers, ids,
//! priorities and limits.
//!
//! Pure: no socket, file, clock or runtime. Bytes go in and typed values come out, or the reverse.
//!
//! ```
//! use bytes::BytesMut;
//! use conveyor_common::protocol::{Decoder, Frame, Request};
//!
//! let mut wire = BytesMut::new();
//! let request = Request::Echo { payload: "hello".into() };
//! request.encode(&mut wire);
//! assert_eq!(wire.as_ref(), b"\0REQ\0\0\0\x10\0\0\0\x05hello");
//!
//! // Bytes arrive in pieces; what is not whole yet stays where it is.
//! let mut decoder = Decoder::default();
//! let mut first = wire.split_to(7);
//! assert!(matches!(decoder.decode(&mut first), Ok(None)));
//! first.unsplit(wire);
//! let Ok(Some(Frame::Packet(packet))) = decoder.decode(&mut first) else { panic!("it is whole") };
//! assert_eq!(Request::from_packet(packet), Ok(request));
//! ```

mod binary;
pub mod control;
pub mod ids;
pub mod limits;
pub mod payload;
pub mod priority;
pub mod protocol;
pub mod time;

pub use ids::{ConnId, HandlePrefix, JobNumber};
pub use priority::Priority;
pub use time::{Millis, UnixSeconds};

//! The Gearman wire protocol: binary packets and text admin lines.
//!
//! [`frame`] cuts a byte stream into packets and lines, [`request`] and [`response`] give packets their
//! meaning in each direction, [`text`] does the same for admin lines. After that nobody looks at raw
//! bytes or packet numbers again.

mod args;
pub mod error;
pub mod frame;
pub mod opcode;
pub mod request;
pub mod response;
pub mod text;

pub use error::{ErrorCode, FrameError, ParseError};
pub use frame::{Decoder, Frame, Magic, Packet};
pub use opcode::Opcode;
pub use request::{GrabForm, Request, SubmitKind, submit_opcode};
pub use response::Response;

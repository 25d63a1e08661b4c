//! The compact encoding between two processes of Conveyor: what payloads and the control channel have in common.
//!
//! The only module that names the crate bincode: it is no longer maintained, and its place could be taken without anybody
//! noticing but the version byte that all users of this module write first. Everything is decoded as slices of the
//! input, so nothing is allocated for a length that is only claimed.

use ::bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use ::bincode::error::DecodeError;
pub(crate) use ::bincode::{BorrowDecode, Encode};
use ::bincode::{borrow_decode_from_slice, encode_to_vec};

/// First byte of everything written.
pub(crate) const VERSION: u8 = 1;

/// Beyond this nothing is decoded, whatever limits say: a packet is no larger unless configured.
const MOST_BYTES: usize = 1 << 30;

/// Why bytes are no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// They end within it.
    Truncated,
    /// They are something else; in the words of the library.
    Format(String),
}

const fn configuration() -> Configuration<LittleEndian, Varint, Limit<MOST_BYTES>> {
    standard().with_limit::<MOST_BYTES>()
}

/// The bytes of a value; an error in the words of the library.
pub(crate) fn write(value: &impl Encode) -> Result<Vec<u8>, String> {
    encode_to_vec(value, configuration()).map_err(|problem| problem.to_string())
}

/// The value at the head of `input`, and how many bytes it takes.
pub(crate) fn read<'a, T: BorrowDecode<'a, ()>>(input: &'a [u8]) -> Result<(T, usize), Broken> {
    borrow_decode_from_slice(input, configuration()).map_err(|problem| match problem {
        DecodeError::UnexpectedEnd { .. } => Broken::Truncated,
        problem => Broken::Format(problem.to_string()),
    })
}

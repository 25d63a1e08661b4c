//! PHP's serialize format: the strict subset that PHP itself writes, read as data.
//!
//! Nothing is instantiated, no class is looked up, and no code of a class (`__wakeup`, `__unserialize`) exists to be
//! run. Whatever [`decode`] accepts, [`encode`] writes back byte for byte. To make that so, spellings that PHP reads
//! but never writes are refused: `i:042;`, `i:+7;`, `i:-0;`, lengths with leading zeros, `d:1e3;`, `d:.5;`, `S:`
//! strings, keys like `s:1:"7";` that PHP turns into integers, a key twice, and bytes after the value. `C:` objects
//! have a format of their own inside and are refused as well. Floats keep their digits.
//!
//! References stay numbers; they must mean a value that was there before.
//!
//! ```
//! use conveyor_common::payload::Limits;
//! use conveyor_common::payload::php::{self, Key, Value};
//!
//! let bytes = b"a:1:{s:2:\"id\";i:42;}".as_slice().into();
//! let value = php::decode(&bytes, &Limits::default()).unwrap();
//! assert_eq!(value, Value::Array(vec![(Key::new("id"), Value::Int(42))]));
//! assert_eq!(php::encode(&value, &Limits::default()).unwrap(), bytes);
//!
//! let error = php::decode(&b"a:999999999:{".as_slice().into(), &Limits::default()).unwrap_err();
//! assert_eq!(error.to_string(), "php payload, byte 2: claims 999999999, which the 1 bytes left cannot hold");
//! ```

mod edit;
pub(super) mod manager;
mod read;
pub(super) mod typed;
mod value;
mod write;

use super::{Limits, PayloadError};
use bytes::Bytes;
pub use value::{Float, Key, Property, Value};

/// Reads one value, which must be all of `input`. Strings are slices of `input`.
///
/// # Errors
/// `input` is not a value as PHP writes it, or is beyond `limits`.
pub fn decode(input: &Bytes, limits: &Limits) -> Result<Value, PayloadError> {
    read::read(input, limits)
}

/// Writes `value` as PHP does.
///
/// # Errors
/// [`decode`] would not read `value` back: it has a name that cannot be, a key twice, a reference to nothing, or is
/// beyond `limits`.
pub fn encode(value: &Value, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    write::write(value, limits)
}

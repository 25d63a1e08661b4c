//! What a client asks of a worker and what the worker answers, in the codec that the function uses.
//!
//! The server never looks into a payload; clients and workers agree on a [`Codec`] for each function. All of them
//! carry the same values: [`TaskPayload`], [`ExecutionResult`] and, but for raw bytes, [`ManagerTask`].
//!
//! ```
//! use conveyor_common::payload::{Codec, ExecutionResult, Limits, Outcome, TaskPayload};
//!
//! let codec: Codec = "json".parse().unwrap();
//! let limits = Limits::default();
//! let task = TaskPayload::new("a-7", "resize");
//! let bytes = codec.encode(&task, &limits).unwrap();
//! assert_eq!(bytes, br#"{"task_id":"a-7","attempt":1,"run":null,"body":"resize"}"#);
//! assert_eq!(codec.decode::<TaskPayload>(&bytes.into(), &limits), Ok(task));
//!
//! let answer = Codec::Php.encode(&ExecutionResult::ok(42, "done"), &limits).unwrap();
//! let result: ExecutionResult = Codec::Php.decode(&answer.into(), &limits).unwrap();
//! assert_eq!(result.outcome, Outcome::Ok);
//! ```

mod bincode;
mod error;
mod json;
mod manager;
pub mod php;
mod raw;
mod value;

use bytes::Bytes;
pub use error::{PayloadError, Problem};
pub use manager::{Endpoints, ManagerTask};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
pub use value::{Content, ExecutionResult, Outcome, TaskId, TaskPayload};

/// How values become payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// The body of a task or the message of a success, and nothing else: ids and attempts stay with who submits, an
    /// error has no bytes.
    Raw,
    /// One JSON object, for workers in any language.
    #[default]
    Json,
    /// Compact, between two processes of Conveyor of any version.
    Bincode,
    /// PHP's serialize format, for workers and clients of the gearman-conveyor packages.
    ///
    /// A result is an object `TasksInspector\Inventory\ExecutionDto`. A body that names its task (key `task_id` of an
    /// array, property `taskId` of an object) is written as it is, as those workers expect; it has no place for
    /// attempt and run. Any other is put into an array of `task_id`, `attempt`, `run` and `body`, unless there is
    /// nothing to say but the body.
    Php,
}

impl Codec {
    /// All codecs.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Json, Self::Bincode, Self::Php];

    /// The name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Bincode => "bincode",
            Self::Php => "php",
        }
    }

    /// The payload of `value`.
    ///
    /// # Errors
    /// The codec cannot write `value`, or not within `limits`.
    pub fn encode<P: Payload>(self, value: &P, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
        value.encode(self, limits)
    }

    /// The value of a payload, which must be all of `input`. Where the codec allows, its parts are slices of `input`.
    ///
    /// # Errors
    /// `input` is no such value, or is beyond `limits`.
    pub fn decode<P: Payload>(self, input: &Bytes, limits: &Limits) -> Result<P, PayloadError> {
        P::decode(self, input, limits)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no codec's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCodec(String);

impl fmt::Display for UnknownCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no codec is called {:?}: raw, json, bincode and php are", self.0)
    }
}

impl std::error::Error for UnknownCodec {}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        let named = Self::ALL.into_iter().find(|codec| codec.as_str() == name);
        named.ok_or_else(|| UnknownCodec(name.to_owned()))
    }
}

/// How much a payload may hold. What a value takes in memory is bounded by all three together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a payload; 64 MiB by default.
    pub bytes: usize,
    /// PHP values within a payload; 100 000 by default, some 10 MB of memory.
    pub values: usize,
    /// Levels of PHP arrays and objects; 64 by default, and no more than [`Limits::MOST_LEVELS`].
    pub levels: usize,
}

impl Limits {
    /// Most levels whatever is asked for: each takes stack.
    pub const MOST_LEVELS: usize = 256;

    const fn levels(&self) -> usize {
        if self.levels < Self::MOST_LEVELS { self.levels } else { Self::MOST_LEVELS }
    }

    const fn check_bytes(&self, codec: Codec, bytes: usize) -> Result<(), PayloadError> {
        if bytes <= self.bytes {
            return Ok(());
        }
        Err(PayloadError::new(codec, self.bytes, Problem::TooLarge { bytes, limit: self.bytes }))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, values: 100_000, levels: 64 }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TaskPayload {}
    impl Sealed for super::ExecutionResult {}
}

/// What codecs can carry: [`TaskPayload`], [`ExecutionResult`] and [`ManagerTask`].
pub trait Payload: sealed::Sealed + Sized {
    #[doc(hidden)]
    fn encode(&self, codec: Codec, limits: &Limits) -> Result<Vec<u8>, PayloadError>;
    #[doc(hidden)]
    fn decode(codec: Codec, input: &Bytes, limits: &Limits) -> Result<Self, PayloadError>;
}

impl Payload for TaskPayload {
    fn encode(&self, codec: Codec, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
        match codec {
            Codec::Raw => raw::encode_task(self, limits),
            Codec::Json => json::encode_task(self, limits),
            Codec::Bincode => bincode::encode_task(self, limits),
            Codec::Php => php::typed::encode_task(self, limits),
        }
    }

    fn decode(codec: Codec, input: &Bytes, limits: &Limits) -> Result<Self, PayloadError> {
        match codec {
            Codec::Raw => raw::decode_task(input, limits),
            Codec::Json => json::decode_task(input, limits),
            Codec::Bincode => bincode::decode_task(input, limits),
            Codec::Php => php::typed::decode_task(input, limits),
        }
    }
}

impl Payload for ExecutionResult {
    fn encode(&self, codec: Codec, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
        match codec {
            Codec::Raw => raw::encode_result(self, limits),
            Codec::Json => json::encode_result(self, limits),
            Codec::Bincode => bincode::encode_result(self, limits),
            Codec::Php => php::typed::encode_result(self, limits),
        }
    }

    fn decode(codec: Codec, input: &Bytes, limits: &Limits) -> Result<Self, PayloadError> {
        match codec {
            Codec::Raw => raw::decode_result(input, limits),
            Codec::Json => json::decode_result(input, limits),
            Codec::Bincode => bincode::decode_result(input, limits),
            Codec::Php => php::typed::decode_result(input, limits),
        }
    }
}

//! What can be wrong with a payload, and where.

use super::Codec;
use std::fmt;

/// Why bytes are no payload, or a value has no bytes: which codec says so, at which byte, and what is wrong.
///
/// It is the fault of whoever made the payload, never a reason to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError {
    /// The codec that was asked.
    pub codec: Codec,
    /// Offset in bytes of what is wrong, from the start of the payload; when encoding, of the place it would have had.
    pub at: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// More bytes than are allowed.
    TooLarge {
        /// Bytes there are.
        bytes: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// More values than are allowed.
    TooManyValues {
        /// Values that are allowed.
        limit: usize,
    },
    /// Values nested deeper than is allowed.
    TooDeep {
        /// Levels that are allowed.
        limit: usize,
    },
    /// The payload ends within a value.
    Truncated,
    /// A length or count that the bytes left cannot hold.
    LengthBeyondEnd {
        /// What is claimed.
        claimed: u64,
        /// Bytes that are left.
        left: usize,
    },
    /// Bytes after the value.
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// Another byte belongs here.
    Expected(&'static str),
    /// A number written in a way in which PHP reads but never writes it, or one that does not fit.
    BadNumber,
    /// A class, property or enum case that cannot be called so.
    BadName,
    /// The same key or property twice.
    Duplicate,
    /// A reference to a value that has not been there yet.
    BadReference,
    /// Something that exists and is refused, by its name.
    Refused(&'static str),
    /// An object of another class.
    WrongClass(String),
    /// A field with an object of another class.
    WrongClassOf {
        /// The field.
        field: &'static str,
        /// The class.
        class: String,
    },
    /// A field with a value that it cannot have.
    WrongType {
        /// The field.
        field: &'static str,
    },
    /// A field that there must be.
    MissingField(&'static str),
    /// A field that there is not.
    UnknownField(String),
    /// A version of the encoding that is not known.
    UnknownVersion(u8),
    /// What the library of the format says.
    Format(String),
}

impl PayloadError {
    pub(crate) const fn new(codec: Codec, at: usize, problem: Problem) -> Self {
        Self { codec, at, problem }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} payload, byte {}: {}", self.codec, self.at, self.problem)
    }
}

impl std::error::Error for PayloadError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => write!(f, "{bytes} bytes exceed the limit of {limit} bytes"),
            Self::TooManyValues { limit } => write!(f, "more than {limit} values"),
            Self::TooDeep { limit } => write!(f, "nested deeper than {limit} levels"),
            Self::Truncated => f.write_str("ends within a value"),
            Self::LengthBeyondEnd { claimed, left } => {
                write!(f, "claims {claimed}, which the {left} bytes left cannot hold")
            }
            Self::TrailingBytes { bytes } => write!(f, "{bytes} bytes after the value"),
            Self::Expected(what) => write!(f, "{what} is expected"),
            Self::BadNumber => f.write_str("a number that does not fit, or is not written as PHP writes it"),
            Self::BadName => f.write_str("a name that cannot be"),
            Self::Duplicate => f.write_str("the same key twice"),
            Self::BadReference => f.write_str("a reference to a value that has not been there yet"),
            Self::Refused(what) => write!(f, "{what} is refused"),
            Self::WrongClass(class) => write!(f, "an object of class {class} does not belong here"),
            Self::WrongClassOf { field, class } => {
                write!(f, "the field {field} cannot have an object of class {class}")
            }
            Self::WrongType { field } => write!(f, "the field {field} cannot have this value"),
            Self::MissingField(field) => write!(f, "the field {field} is missing"),
            Self::UnknownField(field) => write!(f, "there is no field {field}"),
            Self::UnknownVersion(version) => write!(f, "version {version} of the encoding is not known"),
            Self::Format(message) => f.write_str(message),
        }
    }
}

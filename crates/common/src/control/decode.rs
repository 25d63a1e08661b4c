//! Cuts a stream into messages.

use super::{MESSAGE_BYTES, Message, frame, json};
use bytes::{Buf, BytesMut};
use std::fmt;
use std::marker::PhantomData;

/// What came, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<M> {
    /// None for a message that only a newer version knows.
    pub message: Option<M>,
    /// What was passed over, in words.
    pub note: Option<String>,
}

/// Why a stream cannot be followed any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// A message begins with neither `{` nor the version of frames.
    Start(u8),
    /// A message is longer than the limit, in bytes.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not JSON, or no object; in the words of the library.
    Json(String),
    /// A field that there must be is missing or is something else.
    Field(&'static str),
    /// Not a frame; in words.
    Frame(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(byte) => {
                write!(f, "a message cannot begin with byte {byte:#04x}: write a line of JSON")
            }
            Self::TooLarge { limit } => write!(f, "a message is longer than {limit} bytes"),
            Self::Json(why) => write!(f, "a line is no JSON object: {why}"),
            Self::Field(name) => write!(f, "the field {name} is missing or wrong"),
            Self::Frame(why) => write!(f, "a frame makes no sense: {why}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Cuts the bytes of one direction into messages. After an error the stream is of no use.
#[derive(Clone, Debug)]
pub struct Decoder<M> {
    limit: usize,
    /// Bytes of the line at the head that were looked through already.
    scanned: usize,
    messages: PhantomData<M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self::new(MESSAGE_BYTES)
    }
}

impl<M> Decoder<M> {
    /// One that takes messages of up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, scanned: 0, messages: PhantomData }
    }
}

impl<M: Message> Decoder<M> {
    /// Takes the message at the head of `input`; none while it is not whole.
    ///
    /// # Errors
    /// The peer speaks something else.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Received<M>>, Malformed> {
        while let Some(first) = input.first() {
            return match *first {
                b'\n' | b'\r' if self.scanned == 0 => {
                    input.advance(1);
                    continue;
                }
                b'{' => self.line(input),
                frame::VERSION => self.frame(input),
                other => Err(Malformed::Start(other)),
            };
        }
        Ok(None)
    }

    fn line(&mut self, input: &mut BytesMut) -> Result<Option<Received<M>>, Malformed> {
        let fresh = input.get(self.scanned..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n').map(|end| end + self.scanned);
        if end.unwrap_or(input.len()) > self.limit {
            return Err(Malformed::TooLarge { limit: self.limit });
        }
        let Some(end) = end else {
            self.scanned = input.len();
            return Ok(None);
        };
        self.scanned = 0;
        let line = input.split_to(end);
        input.advance(1);
        let (kind, mut fields) = json::read(&line)?;
        let message = M::from_json(&kind, &mut fields)?;
        let note = match &message {
            None => Some(format!("a message of type {kind:?} was passed over")),
            Some(_) => fields
                .left_over()
                .map(|names| format!("unknown fields of {kind:?} were passed over: {names}")),
        };
        Ok(Some(Received { message, note }))
    }

    fn frame(&mut self, input: &mut BytesMut) -> Result<Option<Received<M>>, Malformed> {
        let Some((kind, mut body)) = frame::take(input, self.limit)? else { return Ok(None) };
        let received = match M::from_frame(kind, &body)? {
            None => {
                Received { message: None, note: Some(format!("a message of kind {kind} was passed over")) }
            }
            Some((message, used)) => {
                body.advance(used.min(body.len()));
                let note = (!body.is_empty())
                    .then(|| format!("{} bytes of a message of kind {kind} were passed over", body.len()));
                Received { message: Some(message), note }
            }
        };
        Ok(Some(received))
    }
}

//! The frames between a worker and a persistent command: a line of ASCII words, and the bytes it announces. Pure.
//!
//! The tables are in docs/performer.md. Words that are not known, numbers that are not plain decimals, lines that
//! are too long: nothing is guessed, the command that wrote them is [`Malformed`].

use super::process::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// The version of the protocol that is spoken here.
pub const VERSION: u64 = 1;

/// Longest header line, its end included, in bytes.
pub const HEADER_BYTES: usize = 256;

/// What a command says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It speaks this protocol and waits for a job. Words behind the version say what else it can do; none has a
    /// meaning yet.
    Ready,
    /// So many parts of so many are done.
    Progress {
        /// Parts done.
        numerator: u64,
        /// Parts in all.
        denominator: u64,
    },
    /// A part of the result.
    Data(Bytes),
    /// A warning.
    Warning(Bytes),
    /// The job is done, with this result.
    Complete(Bytes),
    /// The job has failed; what there is to say about it may be empty.
    Fail(Bytes),
    /// The job has failed by an exception with this message.
    Exception(Bytes),
}

/// Why the stream of a command cannot be followed any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A line longer than [`HEADER_BYTES`].
    LongLine,
    /// A line that is no header; holds its beginning.
    Line(Bytes),
    /// Another version than [`VERSION`].
    Version(u64),
    /// A message announced with more bytes than a result may have.
    TooLarge {
        /// Bytes announced.
        length: u64,
        /// Most bytes.
        limit: usize,
    },
    /// A message at a time when it has no meaning.
    OutOfPlace(&'static str),
    /// The end of descriptor 3, while the command goes on.
    Closed,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LongLine => write!(f, "a line of more than {HEADER_BYTES} bytes on descriptor 3"),
            Self::Line(line) => {
                write!(f, "descriptor 3 says \"{}\", which is no message", line.escape_ascii())
            }
            Self::Version(version) => {
                write!(f, "the command speaks version {version} of the protocol, this is {VERSION}")
            }
            Self::TooLarge { length, limit } => {
                write!(f, "a message of {length} bytes, where {limit} are allowed (--max-output)")
            }
            Self::OutOfPlace(what) => write!(f, "`{what}` when it has no meaning"),
            Self::Closed => f.write_str("descriptor 3 closed by a command that goes on"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Messages that have bytes of their own.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Data,
    Warning,
    Complete,
    Fail,
    Exception,
}

impl Kind {
    const fn message(self, bytes: Bytes) -> Message {
        match self {
            Self::Data => Message::Data(bytes),
            Self::Warning => Message::Warning(bytes),
            Self::Complete => Message::Complete(bytes),
            Self::Fail => Message::Fail(bytes),
            Self::Exception => Message::Exception(bytes),
        }
    }
}

/// Cuts what a command writes into messages, at any split of the bytes, and holds at most one of them.
#[derive(Debug)]
pub struct Frames {
    input: BytesMut,
    /// Bytes at the head of `input` known to hold no line end.
    scanned: usize,
    /// A message whose bytes are on their way.
    announced: Option<(Kind, usize)>,
    /// Most bytes of a message.
    limit: usize,
}

impl Frames {
    /// For messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { input: BytesMut::new(), scanned: 0, announced: None, limit }
    }

    /// Where to append what is read.
    pub const fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Whether nothing is left of the last read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.announced.is_none()
    }

    /// The next message that is complete.
    ///
    /// # Errors
    /// The command broke the protocol; nothing that follows has a meaning.
    pub fn take(&mut self) -> Result<Option<Message>, Malformed> {
        if self.announced.is_none() {
            let Some(line) = self.line()? else { return Ok(None) };
            match self.read(&line)? {
                Header::Message(message) => return Ok(Some(message)),
                Header::Announces(kind, length) => self.announced = Some((kind, length)),
            }
        }
        match self.announced {
            Some((kind, length)) if self.input.len() >= length => {
                self.announced = None;
                Ok(Some(kind.message(self.input.split_to(length).freeze())))
            }
            _ => Ok(None),
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Option<Bytes>, Malformed> {
        let fresh = self.input.get(self.scanned..).unwrap_or_default();
        match fresh.iter().position(|byte| *byte == b'\n').map(|at| self.scanned + at) {
            Some(end) if end < HEADER_BYTES => {
                let line = self.input.split_to(end).freeze();
                self.input.advance(1);
                self.scanned = 0;
                Ok(Some(line))
            }
            None if self.input.len() < HEADER_BYTES => {
                self.scanned = self.input.len();
                Ok(None)
            }
            _ => Err(Malformed::LongLine),
        }
    }

    fn read(&self, line: &Bytes) -> Result<Header, Malformed> {
        let nonsense = || Malformed::Line(line.clone());
        let mut words = line.split(|byte| *byte == b' ');
        let word = words.next().unwrap_or_default();
        let kind = match word {
            b"ready" => {
                let version = words.next().and_then(number).ok_or_else(nonsense)?;
                if version != VERSION {
                    return Err(Malformed::Version(version));
                }
                let plain = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
                return if words.all(plain) { Ok(Header::Message(Message::Ready)) } else { Err(nonsense()) };
            }
            b"progress" => {
                let numerator = words.next().and_then(number).ok_or_else(nonsense)?;
                let denominator = words.next().and_then(number).ok_or_else(nonsense)?;
                let message = Message::Progress { numerator, denominator };
                return if words.next().is_none() { Ok(Header::Message(message)) } else { Err(nonsense()) };
            }
            b"data" => Kind::Data,
            b"warning" => Kind::Warning,
            b"complete" => Kind::Complete,
            b"fail" => Kind::Fail,
            b"exception" => Kind::Exception,
            _ => return Err(nonsense()),
        };
        let announced = words.next().and_then(number).ok_or_else(nonsense)?;
        if words.next().is_some() {
            return Err(nonsense());
        }
        match usize::try_from(announced) {
            Ok(length) if length <= self.limit => Ok(Header::Announces(kind, length)),
            _ => Err(Malformed::TooLarge { length: announced, limit: self.limit }),
        }
    }
}

/// What a line means.
enum Header {
    Message(Message),
    Announces(Kind, usize),
}

/// Plain decimal digits: no sign, no blanks.
fn number(word: &[u8]) -> Option<u64> {
    if word.iter().all(u8::is_ascii_digit) { std::str::from_utf8(word).ok()?.parse().ok() } else { None }
}

/// What tells a command to end.
pub const STOP: &[u8] = b"stop\n";

/// The head of the frame that gives a command a job; the payload follows.
#[must_use]
pub fn job(context: &Context, payload_bytes: usize) -> Bytes {
    let Context { handle, function, unique } = context;
    let line = format!("job {} {} {} {payload_bytes}\n", handle.len(), function.len(), unique.len());
    let mut head = BytesMut::with_capacity(line.len() + handle.len() + function.len() + unique.len());
    for part in [line.as_bytes(), handle, function, unique] {
        head.put_slice(part);
    }
    head.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1000;

    type Read = (Vec<Message>, Option<Malformed>);

    fn all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
        let mut frames = Frames::new(LIMIT);
        let mut found = Vec::new();
        for piece in pieces {
            frames.input().extend_from_slice(piece);
            loop {
                match frames.take() {
                    Ok(Some(message)) => found.push(message),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    fn written(message: &Message) -> Vec<u8> {
        let (word, bytes) = match message {
            Message::Ready => return b"ready 1 check pause\n".to_vec(),
            Message::Progress { numerator, denominator } => {
                return format!("progress {numerator} {denominator}\n").into_bytes();
            }
            Message::Data(bytes) => ("data", bytes),
            Message::Warning(bytes) => ("warning", bytes),
            Message::Complete(bytes) => ("complete", bytes),
            Message::Fail(bytes) => ("fail", bytes),
            Message::Exception(bytes) => ("exception", bytes),
        };
        [format!("{word} {}\n", bytes.len()).as_bytes(), bytes].concat()
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let bytes = prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40).prop_map(Bytes::from);
        prop_oneof![
            Just(Message::Ready),
            any::<(u64, u64)>()
                .prop_map(|(numerator, denominator)| Message::Progress { numerator, denominator }),
            (0..5, bytes).prop_map(|(kind, bytes)| {
                match kind {
                    0 => Message::Data(bytes),
                    1 => Message::Warning(bytes),
                    2 => Message::Complete(bytes),
                    3 => Message::Fail(bytes),
                    _ => Message::Exception(bytes),
                }
            }),
        ]
    }

    fn error(input: &[u8]) -> Malformed {
        let (found, error) = all([input]);
        assert!(found.is_empty(), "{found:?}");
        error.unwrap_or_else(|| panic!("accepted: {}", input.escape_ascii()))
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "",
            " ",
            "hello",
            "ready",
            "ready x",
            "ready 1  x",
            "ready 1 \u{7}",
            "progress 1",
            "progress 1 2 3",
            "data",
            "data x",
            "data -1",
            "data +1",
            "data  1",
            "data 1 ",
            "data 1 2",
            "complete 1\r",
            "COMPLETE 0",
            "done 0",
            "fail 99999999999999999999999",
        ] {
            let input = format!("{line}\n");
            assert_eq!(error(input.as_bytes()), Malformed::Line(Bytes::from(line)), "{line}");
        }
        assert_eq!(error(b"ready 2\n"), Malformed::Version(2));
        assert_eq!(error(b"data 1001\n"), Malformed::TooLarge { length: 1001, limit: LIMIT });
        assert_eq!(error(&[b'x'; HEADER_BYTES]), Malformed::LongLine);
        let longest = [b"ready 1 ", &[b'x'; HEADER_BYTES - 9][..], b"\n"].concat();
        assert_eq!(all([longest.as_slice()]), (vec![Message::Ready], None));
        assert_eq!(error(&longest.strip_suffix(b"\n").unwrap().repeat(2)), Malformed::LongLine);
    }

    #[test]
    fn a_job_says_how_long_its_parts_are() {
        let context = Context {
            handle: Bytes::from_static(b"H:1"),
            function: Bytes::from_static(b"a\nb"),
            unique: Bytes::new(),
        };
        assert_eq!(job(&context, 12), Bytes::from_static(b"job 3 3 0 12\nH:1a\nb"));
    }

    proptest! {
        #[test]
        fn messages_are_read_as_written_at_every_split(
            messages in prop::collection::vec(any_message(), 1..6),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(written).collect();
            for at in 0..=bytes.len() {
                let (left, right) = bytes.split_at(at);
                prop_assert_eq!(&all([left, right]), &(messages.clone(), None));
            }
            prop_assert_eq!(all(bytes.chunks(1)), (messages, None));
        }

        #[test]
        fn any_bytes_mean_the_same_at_every_split(
            input in prop::collection::vec(
                prop_oneof![Just(b'\n'), Just(b' '), b'0'..=b'9', any::<u8>()], 0..300,
            ),
            word in prop::sample::select(vec!["ready 1", "data ", "complete 1", "progress 1 ", ""]),
        ) {
            let input = [word.as_bytes(), &input].concat();
            let whole = all([input.as_slice()]);
            for at in 0..=input.len() {
                let (left, right) = input.split_at(at);
                prop_assert_eq!(&all([left, right]), &whole);
            }
        }
    }
}

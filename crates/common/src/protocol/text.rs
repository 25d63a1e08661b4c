//! Lines of the text admin protocol, typed: what `gearadmin`, monitoring scripts and people on `nc` send.

use crate::limits::LINE_WORDS;
use crate::priority::PerPriority;
use bytes::Bytes;

/// One admin command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Functions with queued, running jobs and workers.
    Status,
    /// Functions with jobs queued by priority, and workers.
    PriorityStatus,
    /// Every connection and what it can do.
    Workers,
    /// The server's version.
    Version,
    /// The server's process id.
    GetPid,
    /// The server's log level.
    Verbose,
    /// Whether background jobs are accepted, and all stored ones read. Only this server knows it.
    Readiness,
    /// Limits the queue of a function; 0 is no limit.
    MaxQueue {
        /// The function; unknown ones are ignored.
        function: Bytes,
        /// Most jobs of the function for a submission of each priority to be accepted.
        limits: PerPriority<u32>,
    },
    /// Makes a function without a worker or a job.
    CreateFunction(Bytes),
    /// Removes a function nobody works on.
    DropFunction(Bytes),
    /// Every unfinished job.
    ShowJobs,
    /// The unique of every unfinished job.
    ShowUniqueJobs,
    /// Gives a job up.
    CancelJob(Bytes),
}

/// A line that is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextError {
    /// A sixth word: the connection has to go.
    TooManyWords,
    /// No such command; holds the first word.
    UnknownCommand(Bytes),
    /// A command of this name needs other arguments.
    IncompleteArguments(&'static str),
    /// `show` of something unknown.
    UnknownShow,
    /// `cancel` of something that is no job.
    UnknownCancel,
}

impl Command {
    /// Reads a line without its line end.
    ///
    /// # Errors
    /// What is wrong with the line; all but one have an answer, see [`TextError::reply`].
    pub fn parse(line: &Bytes) -> Result<Self, TextError> {
        let words = split_words(line)?;
        let mut words = words.iter();
        let first = words.next().cloned().unwrap_or_default();
        let rest = [words.next(), words.next(), words.next(), words.next()];
        match lowercase(&first).as_slice() {
            b"status" => Ok(Self::Status),
            b"prioritystatus" => Ok(Self::PriorityStatus),
            b"workers" => Ok(Self::Workers),
            b"version" => Ok(Self::Version),
            b"getpid" => Ok(Self::GetPid),
            b"verbose" => Ok(Self::Verbose),
            b"readiness" => Ok(Self::Readiness),
            b"maxqueue" => parse_max_queue(rest),
            b"create" => {
                named_function(rest).map(Self::CreateFunction).ok_or(TextError::IncompleteArguments("create"))
            }
            b"drop" => {
                named_function(rest).map(Self::DropFunction).ok_or(TextError::IncompleteArguments("drop"))
            }
            b"show" => parse_show(rest, first),
            b"cancel" => match rest {
                [Some(what), Some(handle), ..] if what.eq_ignore_ascii_case(b"job") => {
                    Ok(Self::CancelJob(handle.clone()))
                }
                [Some(_), Some(_), ..] => Err(TextError::UnknownCancel),
                _ => Err(TextError::UnknownCommand(first)),
            },
            _ => Err(TextError::UnknownCommand(first)),
        }
    }

    /// The line to send, with its line end.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let with = |words: &str, argument: &[u8]| [words.as_bytes(), argument, b"\r\n"].concat();
        match self {
            Self::Status => with("status", b""),
            Self::PriorityStatus => with("prioritystatus", b""),
            Self::Workers => with("workers", b""),
            Self::Version => with("version", b""),
            Self::GetPid => with("getpid", b""),
            Self::Verbose => with("verbose", b""),
            Self::Readiness => with("readiness", b""),
            Self::MaxQueue { function, limits } => {
                let numbers = format!(" {} {} {}", limits.high, limits.normal, limits.low);
                [b"maxqueue ", function.as_ref(), numbers.as_bytes(), b"\r\n"].concat()
            }
            Self::CreateFunction(name) => with("create function ", name),
            Self::DropFunction(name) => with("drop function ", name),
            Self::ShowJobs => with("show jobs", b""),
            Self::ShowUniqueJobs => with("show unique jobs", b""),
            Self::CancelJob(handle) => with("cancel job ", handle),
        }
    }
}

impl TextError {
    /// The answer to the line; none means that the connection is closed without one.
    #[must_use]
    pub fn reply(&self) -> Option<Vec<u8>> {
        let line = |text: &str, argument: &[u8]| Some([text.as_bytes(), argument, b"\r\n"].concat());
        match self {
            Self::TooManyWords => None,
            Self::UnknownCommand(word) => line("ERR UNKNOWN_COMMAND Unknown+server+command", word),
            Self::IncompleteArguments(command) => line(
                "ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+",
                command.as_bytes(),
            ),
            Self::UnknownShow => line("ERR UNKNOWN_SHOW_ARGUMENTS", b""),
            Self::UnknownCancel => line("ERR UNKNOWN_ERROR", b""),
        }
    }
}

/// Words between spaces. A leading space makes the first word empty; spaces at the end make none.
fn split_words(line: &Bytes) -> Result<Vec<Bytes>, TextError> {
    let mut words = Vec::with_capacity(LINE_WORDS);
    let mut start = 0;
    let mut pieces = line.split(|byte| *byte == b' ').peekable();
    while let Some(piece) = pieces.next() {
        let end = start + piece.len();
        if !piece.is_empty() || (start == 0 && pieces.peek().is_some()) {
            if words.len() == LINE_WORDS {
                return Err(TextError::TooManyWords);
            }
            words.push(line.slice(start..end));
        }
        start = end + 1;
    }
    Ok(words)
}

fn lowercase(word: &Bytes) -> Vec<u8> {
    word.to_ascii_lowercase()
}

/// The `F` of `create function F`; nothing for any other form.
fn named_function(rest: [Option<&Bytes>; 4]) -> Option<Bytes> {
    match rest {
        [Some(what), Some(name), None, None] if what.eq_ignore_ascii_case(b"function") => Some(name.clone()),
        _ => None,
    }
}

fn parse_show(rest: [Option<&Bytes>; 4], first: Bytes) -> Result<Command, TextError> {
    match rest {
        [None, ..] => Err(TextError::UnknownCommand(first)),
        [Some(what), ..] if what.eq_ignore_ascii_case(b"jobs") => Ok(Command::ShowJobs),
        [Some(what), Some(jobs), ..]
            if what.eq_ignore_ascii_case(b"unique") && jobs.eq_ignore_ascii_case(b"jobs") =>
        {
            Ok(Command::ShowUniqueJobs)
        }
        _ => Err(TextError::UnknownShow),
    }
}

fn parse_max_queue(rest: [Option<&Bytes>; 4]) -> Result<Command, TextError> {
    let [Some(function), high, normal, low] = rest else {
        return Err(TextError::IncompleteArguments("maxqueue"));
    };
    let number = |word: Option<&Bytes>| word.map_or(0, |word| queue_limit(word));
    let limits = match (high, normal) {
        (Some(_), None) => PerPriority { high: number(high), normal: number(high), low: number(high) },
        _ => PerPriority { high: number(high), normal: number(normal), low: number(low) },
    };
    Ok(Command::MaxQueue { function: function.clone(), limits })
}

/// Negative numbers and words mean no limit, as stock gearmand has it.
fn queue_limit(word: &[u8]) -> u32 {
    let too_large = if word.starts_with(b"-") { 0 } else { i64::from(u32::MAX) };
    let number = super::args::lenient_number(word).unwrap_or(too_large);
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

//! The text admin protocol, from the asking side. Blocking: one question, one answer.

use conveyor_common::protocol::text::Command;
use serde::Serialize;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Most bytes of an answer: a table of ten million jobs fits.
const ANSWER_BYTES: usize = 1 << 30;

/// Why there is no answer.
#[derive(Debug)]
pub enum AdminError {
    /// The server cannot be reached, or was lost.
    Io(io::Error),
    /// The server refused; holds its words.
    Refused(String),
    /// What came back is no answer to the question.
    Nonsense(String),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Refused(text) => write!(f, "the server refused: {text}"),
            Self::Nonsense(text) => write!(f, "the server's answer makes no sense: {text}"),
        }
    }
}

impl std::error::Error for AdminError {}

impl From<io::Error> for AdminError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A row of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionStatus {
    /// Its name.
    pub function: String,
    /// Jobs queued and running.
    pub total: u64,
    /// Jobs running.
    pub running: u64,
    /// Registrations of workers.
    pub workers: u64,
}

/// A row of `prioritystatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriorityStatus {
    /// Its name.
    pub function: String,
    /// Jobs queued at high priority.
    pub high: u64,
    /// Jobs queued at normal priority.
    pub normal: u64,
    /// Jobs queued at low priority.
    pub low: u64,
    /// Registrations of workers.
    pub workers: u64,
}

/// A row of `workers`: any connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// File descriptor in the server.
    pub descriptor: i64,
    /// Address of the peer.
    pub address: String,
    /// What it calls itself; `-` when it does not.
    pub id: String,
    /// What it registered, newest first.
    pub functions: Vec<String>,
}

/// A row of `show jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobRow {
    /// Its handle.
    pub handle: String,
    /// How often it was lost with its worker.
    pub retries: u64,
    /// Nobody waits for it any more, or it was cancelled.
    pub ignored: bool,
    /// It is a background job.
    pub background: bool,
}

/// What a server says to `readiness`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Background jobs are accepted, and all stored ones are there.
    Ready,
    /// Stored jobs are still being read: so many so far.
    Loading(u64),
    /// The store failed: background jobs are refused. What the server says.
    Refusing(String),
    /// The store cannot be reached: background jobs are refused until it can be again. What the server says.
    Away(String),
}

/// A connection for admin commands.
#[derive(Debug)]
pub struct Admin {
    stream: BufReader<TcpStream>,
}

impl Admin {
    /// Connects to `host:port`; each answer must come within `timeout`.
    ///
    /// # Errors
    /// The name cannot be resolved or nobody answers at any of its addresses.
    pub fn connect(address: &str, timeout: Duration) -> Result<Self, AdminError> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(timeout))?;
                    stream.set_write_timeout(Some(timeout))?;
                    return Ok(Self { stream: BufReader::new(stream) });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure.into())
    }

    /// Sends a command that is answered by one line, and returns what follows `OK`.
    ///
    /// # Errors
    /// The server refuses, or is lost.
    pub fn line(&mut self, command: &Command) -> Result<String, AdminError> {
        self.send(command)?;
        let line = self.read_line()?;
        match line.strip_prefix("OK") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(AdminError::Refused(line)),
        }
    }

    /// Sends a command that is answered by a table, and returns its rows.
    ///
    /// # Errors
    /// The server refuses, or is lost.
    pub fn table(&mut self, command: &Command) -> Result<Vec<String>, AdminError> {
        self.send(command)?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        loop {
            let line = self.read_line()?;
            if line == "." {
                return Ok(rows);
            }
            if rows.is_empty() && line.starts_with("ERR ") {
                return Err(AdminError::Refused(line));
            }
            bytes += line.len();
            if bytes > ANSWER_BYTES {
                return Err(AdminError::Nonsense("it does not end".to_owned()));
            }
            rows.push(line);
        }
    }

    /// `status`.
    ///
    /// # Errors
    /// As [`Admin::table`], and rows that are none.
    pub fn status(&mut self) -> Result<Vec<FunctionStatus>, AdminError> {
        self.rows(&Command::Status, |row| {
            let ([total, running, workers], function) = columns(row)?;
            Some(FunctionStatus { function, total, running, workers })
        })
    }

    /// `prioritystatus`.
    ///
    /// # Errors
    /// As [`Admin::status`].
    pub fn priority_status(&mut self) -> Result<Vec<PriorityStatus>, AdminError> {
        self.rows(&Command::PriorityStatus, |row| {
            let ([high, normal, low, workers], function) = columns(row)?;
            Some(PriorityStatus { function, high, normal, low, workers })
        })
    }

    /// `workers`.
    ///
    /// # Errors
    /// As [`Admin::status`].
    pub fn workers(&mut self) -> Result<Vec<Connection>, AdminError> {
        self.rows(&Command::Workers, |row| {
            let (who, functions) = row.split_once(" :")?;
            let mut who = who.splitn(3, ' ');
            Some(Connection {
                descriptor: who.next()?.parse().ok()?,
                address: who.next()?.to_owned(),
                id: who.next()?.to_owned(),
                functions: functions.split_whitespace().map(str::to_owned).collect(),
            })
        })
    }

    /// `show jobs`.
    ///
    /// # Errors
    /// As [`Admin::status`].
    pub fn jobs(&mut self) -> Result<Vec<JobRow>, AdminError> {
        self.rows(&Command::ShowJobs, |row| {
            let ([retries, ignored, background], handle) = columns(row)?;
            Some(JobRow { handle, retries, ignored: ignored > 0, background: background > 0 })
        })
    }

    /// `readiness`, which conveyor knows and gearmand does not.
    ///
    /// # Errors
    /// As [`Admin::line`], and an answer that is none.
    pub fn readiness(&mut self) -> Result<Readiness, AdminError> {
        let answer = match self.line(&Command::Readiness) {
            Ok(answer) => answer,
            Err(AdminError::Refused(line)) if line.starts_with("ERR STORE_FAILED") => {
                return Ok(Readiness::Refusing(line));
            }
            Err(AdminError::Refused(line)) if line.starts_with("ERR STORE_AWAY") => {
                return Ok(Readiness::Away(line));
            }
            Err(error) => return Err(error),
        };
        let loading = answer.strip_prefix("loading ").and_then(|read| read.parse().ok());
        match (answer.as_str(), loading) {
            ("ready", _) => Ok(Readiness::Ready),
            (_, Some(read)) => Ok(Readiness::Loading(read)),
            _ => Err(AdminError::Nonsense(answer)),
        }
    }

    fn rows<T>(
        &mut self,
        command: &Command,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, AdminError> {
        let rows = self.table(command)?;
        rows.into_iter().map(|row| parse(&row).ok_or(AdminError::Nonsense(row))).collect()
    }

    fn send(&mut self, command: &Command) -> Result<(), AdminError> {
        self.stream.get_mut().write_all(&command.to_line())?;
        Ok(())
    }

    fn read_line(&mut self) -> Result<String, AdminError> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            let closed = "the server closed the connection";
            return Err(AdminError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, closed)));
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

/// The `N` numbers at the end of a row, and the name before them, which may hold tabs itself.
fn columns<const N: usize>(row: &str) -> Option<([u64; N], String)> {
    let mut pieces = row.rsplitn(N + 1, '\t');
    let mut numbers = [0; N];
    for number in numbers.iter_mut().rev() {
        *number = pieces.next()?.parse().ok()?;
    }
    Some((numbers, pieces.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_the_right() {
        assert_eq!(columns("f\t3\t1\t2"), Some(([3, 1, 2], "f".to_owned())));
        assert_eq!(columns("a\tb\t3\t1\t2"), Some(([3, 1, 2], "a\tb".to_owned())));
        assert_eq!(columns::<3>("f\t3\t1"), None);
    }
}

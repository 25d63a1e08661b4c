//! gearmand's keys in memcached.
//!
//! ```text
//! PREFIXFUNCTION-UNIQUE             the payload; flags: the priority
//! conveyor_PREFIXFUNCTION-UNIQUE    how many bytes of that are function and unique, where a hyphen hides it
//! ```
//!
//! The second one is ours; gearmand does not see it, since it has another prefix. The client here is one of our own:
//! none in Rust lists keys.

use super::placing::{Places, forget_deleted, plain_name, split};
use super::{Key, Op, Row, StoreError, Table, priority_of};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long the server may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause while somebody else lists keys.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest key, in bytes.
const KEY_BYTES: usize = 250;

/// Steps sent before their answers are read: these have room on the way.
const STEPS: usize = 1000;

/// Keys of one step of reading: with their companions they have room in one line.
const KEYS: usize = 20;

/// Longest line of an answer, in bytes.
const LINE_BYTES: u64 = 4096;

/// What stands before the keys of ours.
const COMPANION: &[u8] = b"conveyor_";

/// The connection to the server.
pub(super) struct MemcachedTable {
    address: String,
    stream: Option<BufReader<TcpStream>>,
    prefix: Vec<u8>,
    places: Places,
}

impl MemcachedTable {
    /// Connects to `HOST` or `HOST:PORT`.
    pub(super) fn open(server: &str, prefix: &str) -> Result<Self, StoreError> {
        let has_port =
            server.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let address = if has_port { server.to_owned() } else { format!("{server}:11211") };
        let prefix = prefix.as_bytes().to_vec();
        let mut table = Self { address, stream: None, prefix, places: Places::default() };
        table.connect().map_err(|error| explain("connect to memcached", &error))?;
        Ok(table)
    }

    fn connect(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.stream.is_none() {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in self.address.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(stream) => {
                        stream.set_read_timeout(Some(PATIENCE))?;
                        stream.set_write_timeout(Some(PATIENCE))?;
                        stream.set_nodelay(true)?;
                        self.stream = Some(BufReader::new(stream));
                        break;
                    }
                    Err(error) => last = error,
                }
            }
            if self.stream.is_none() {
                return Err(last);
            }
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Asks with a connection that is not used again when it fails.
    fn with<T>(&mut self, ask: impl FnOnce(&mut BufReader<TcpStream>) -> io::Result<T>) -> io::Result<T> {
        let answer = self.connect().and_then(ask);
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    /// Appends the commands of a step; how many they are.
    fn command(&mut self, op: &Op, text: &mut Vec<u8>) -> usize {
        match op {
            Op::Put(Row { key, priority, payload, .. }) => {
                let name = self.places.name(key, plain_name(&self.prefix, key));
                let hidden = !self.says(&name, key);
                if hidden {
                    let lengths = format!("{} {}", key.function.len(), key.unique.len());
                    set(&[COMPANION, &name].concat(), 0, lengths.as_bytes(), text);
                }
                set(&name, *priority as u8, payload, text);
                1 + usize::from(hidden)
            }
            Op::Delete(key) => {
                let Some(name) = self.places.find(key) else { return 0 };
                let hidden = !self.says(name, key);
                text.extend([b"delete ", &name[..], b"\r\n"].concat());
                if hidden {
                    text.extend([b"delete ", COMPANION, name, b"\r\n"].concat());
                }
                1 + usize::from(hidden)
            }
        }
    }

    /// Whether the name alone tells the key.
    fn says(&self, name: &[u8], key: &Key) -> bool {
        name.strip_prefix(&self.prefix[..]).and_then(split).is_some_and(|said| said == *key)
    }

    /// Names of jobs, in the order of storage.
    fn names(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let listed = self.with(list)?;
            match listed {
                Some(mut names) => {
                    names.sort_unstable();
                    let prefix = &self.prefix;
                    let ours = |name: &Vec<u8>| name.starts_with(prefix) && !name.starts_with(COMPANION);
                    return Ok(names.into_iter().map(|(_, name)| name).filter(ours).collect());
                }
                None if Instant::now() < end => std::thread::sleep(PAUSE),
                None => return Err(io::Error::other("somebody else keeps listing its keys")),
            }
        }
    }

    fn rows(&mut self, names: &[Vec<u8>]) -> io::Result<Vec<Row>> {
        let mut text = b"get".to_vec();
        for name in names {
            text.extend([b" ", &name[..], b" ", COMPANION, name].concat());
        }
        text.extend(b"\r\n");
        let mut values = self.with(|stream| {
            stream.get_mut().write_all(&text)?;
            read_values(stream)
        })?;
        let mut rows = Vec::new();
        for name in names {
            let Some((flags, payload)) = values.remove(name) else { continue };
            let companion = values.remove(&[COMPANION, name].concat());
            let rest = name.strip_prefix(&self.prefix[..]).unwrap_or_default();
            let said = companion.and_then(|(_, lengths)| cut(rest, &lengths));
            let Some(key) = said.or_else(|| split(rest)) else { continue };
            self.places.note(key.clone(), Bytes::copy_from_slice(name));
            rows.push(Row { key, priority: priority_of(Some(flags)), when: 0, payload: payload.into() });
        }
        Ok(rows)
    }
}

fn set(name: &[u8], flags: u8, value: &[u8], text: &mut Vec<u8>) {
    text.extend([b"set ", name, format!(" {flags} 0 {}\r\n", value.len()).as_bytes()].concat());
    text.extend([value, b"\r\n"].concat());
}

/// Function and unique by their lengths.
fn cut(rest: &[u8], lengths: &[u8]) -> Option<Key> {
    let (function, unique) = std::str::from_utf8(lengths).ok()?.split_once(' ')?;
    let (function, behind) = rest.split_at_checked(function.parse().ok()?)?;
    let unique = behind.strip_prefix(b"-")?.get(..unique.parse().ok()?)?;
    Some(Key { function: Bytes::copy_from_slice(function), unique: Bytes::copy_from_slice(unique) })
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Keys by their numbers of storage.
type Listed = Vec<(u64, Vec<u8>)>;

/// All keys with their numbers of storage; none when the server is busy with another list.
fn list(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Listed>> {
    // A walk through the queues of its items (`all`) misses those that move meanwhile.
    stream.get_mut().write_all(b"lru_crawler metadump hash\r\n")?;
    let mut names = Vec::new();
    loop {
        let line = line(stream)?;
        if line == "END" {
            return Ok(Some(names));
        }
        if line.starts_with("BUSY") {
            return Ok(None);
        }
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name));
        let Some(key) = field("key=") else {
            let what =
                format!("it does not list its keys by `lru_crawler metadump hash`, newer ones do ({line})");
            return Err(io::Error::other(what));
        };
        let number = field("cas=").and_then(|cas| cas.parse().ok()).unwrap_or(0);
        names.push((number, decode(key.as_bytes())));
    }
}

/// `%41` is `A`.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = code.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    bytes
}

type Values = HashMap<Vec<u8>, (i64, Vec<u8>)>;

fn read_values(stream: &mut BufReader<TcpStream>) -> io::Result<Values> {
    let mut values = Values::new();
    loop {
        let mut raw = Vec::new();
        stream.take(LINE_BYTES).read_until(b'\n', &mut raw)?;
        let head = raw.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        if head == b"END" {
            return Ok(values);
        }
        let mut words = head.split(|byte| *byte == b' ').skip(1);
        let name = words.next().unwrap_or_default().to_vec();
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<i64>().ok();
        let (flags, length) = (number(), number());
        let (Some(flags), Some(length)) = (flags, length.and_then(|length| u64::try_from(length).ok()))
        else {
            return Err(io::Error::other(String::from_utf8_lossy(head)));
        };
        let mut value = Vec::new();
        let whole = stream.take(length + 2).read_to_end(&mut value)? as u64 == length + 2;
        if !whole {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        value.truncate(value.len().saturating_sub(2));
        values.insert(name, (flags, value));
    }
}

/// The answers to so many commands; what was said against the first of them that was not done.
fn read_answers(stream: &mut BufReader<TcpStream>, count: usize) -> io::Result<Option<String>> {
    let mut refused = None;
    for _ in 0..count {
        match line(stream)?.as_str() {
            "STORED" | "DELETED" | "NOT_FOUND" => {}
            other => refused = refused.or_else(|| Some(other.to_owned())),
        }
    }
    Ok(refused)
}

impl Table for MemcachedTable {
    fn accepts(&self, row: &Row) -> Result<(), StoreError> {
        let name = plain_name(&self.prefix, &row.key);
        // A name may grow by its companion's prefix and a number.
        let room = KEY_BYTES - COMPANION.len() - 4;
        let what = if name.len() > room {
            format!("function and unique make a key of more than {room} bytes")
        } else if name.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            "memcached has no spaces and control characters in keys".to_owned()
        } else {
            return Ok(());
        };
        Err(StoreError::Refused { what })
    }

    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        for some in ops.chunks(STEPS / 2) {
            let mut text = Vec::new();
            let count = some.iter().map(|op| self.command(op, &mut text)).sum();
            let refused = self.with(|stream| {
                stream.get_mut().write_all(&text)?;
                read_answers(stream, count)
            });
            match refused {
                Ok(None) => {}
                Ok(Some(what)) => {
                    // What else it may have misunderstood, nobody knows.
                    self.stream = None;
                    return Err(StoreError::Refused { what });
                }
                Err(error) => return Err(explain("store jobs in memcached", &error)),
            }
        }
        forget_deleted(&mut self.places, ops);
        Ok(())
    }

    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        let explain = |error| explain("read the jobs in memcached", &error);
        let names = self.names().map_err(explain)?;
        let mut rows = Vec::new();
        for some in names.chunks(KEYS) {
            rows.extend(self.rows(some).map_err(explain)?);
        }
        Ok(rows)
    }
}

fn explain(doing: &'static str, error: &io::Error) -> StoreError {
    StoreError::Failed { doing, what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        assert_eq!(decode(b"gear_f%2Du%"), b"gear_f-u%");
        let key = cut(b"a-b-c-d.1", b"3 3").unwrap();
        assert_eq!((&key.function[..], &key.unique[..]), (&b"a-b"[..], &b"c-d"[..]));
        assert_eq!(cut(b"a-b", b"9 9"), None);
    }
}

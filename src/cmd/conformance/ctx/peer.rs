//! One blocking connection with deadlines: sends bytes as they are, and reads packets or lines.

use super::packet::{ECHO_REQ, ECHO_RES, Packet, RES, body, frame, kind_name, req};
use super::{Bytes, Checked, Failure};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Of a long history of sent bytes only the last part is kept for the report.
const SENT_BYTES: usize = 4096;

/// A connection to the server.
pub(crate) struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    /// Sent since the last answer that was as expected.
    sent: Vec<u8>,
    timeout: Duration,
    echoes: u32,
}

/// What a read brought.
enum Arrival {
    Bytes,
    End,
}

impl Peer {
    /// Connects; every later wait on this connection ends after `timeout`.
    pub(crate) fn connect(address: SocketAddr, timeout: Duration) -> Checked<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)
            .map_err(|error| Failure::new(format!("cannot connect to {address}: {error}")))?;
        let setup = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(timeout)));
        setup.map_err(|error| Failure::new(format!("cannot set up the connection: {error}")))?;
        Ok(Self { stream, input: Vec::new(), sent: Vec::new(), timeout, echoes: 0 })
    }

    /// Sends bytes. A connection that the server has closed is noticed by the next read, not here.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Checked {
        self.sent.extend_from_slice(bytes.get(..SENT_BYTES).unwrap_or(bytes));
        let surplus = self.sent.len().saturating_sub(SENT_BYTES);
        self.sent.drain(..surplus);
        match self.stream.write_all(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(self.failure("the server does not read what is sent"))
            }
            _ => Ok(()),
        }
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, kind: u32, args: &[Bytes]) -> Checked {
        self.raw(&req(kind, args))
    }

    /// The next packet.
    pub(crate) fn packet(&mut self) -> Checked<Packet> {
        let timeout = self.timeout;
        self.packet_within(timeout)?.ok_or_else(|| self.failure("no packet came in time"))
    }

    /// The next packet, or nothing when none came in that time.
    pub(crate) fn packet_within(&mut self, wait: Duration) -> Checked<Option<Packet>> {
        let deadline = Instant::now() + wait;
        loop {
            match Packet::take(&mut self.input) {
                Ok(Some(packet)) => return Ok(Some(packet)),
                Ok(None) => {}
                Err(what) => return Err(self.failure(what)),
            }
            match self.read(deadline)? {
                Some(Arrival::Bytes) => {}
                Some(Arrival::End) => return Err(self.failure("the server closed the connection")),
                None => return Ok(None),
            }
        }
    }

    /// The next packet is this one, byte for byte.
    pub(crate) fn expect(&mut self, kind: u32, args: &[Bytes]) -> Checked {
        let expected = frame(RES, kind, &body(args));
        let received = match self.packet() {
            Ok(packet) if packet.bytes() == expected => {
                self.sent.clear();
                return Ok(());
            }
            Ok(packet) => packet,
            Err(failure) => return Err(Failure { expected, ..failure }),
        };
        let what = format!("expected {}, got {}", kind_name(kind), kind_name(received.kind));
        Err(Failure { expected, received: received.bytes(), ..self.failure(what) })
    }

    /// The next packet is of this type; gives it back.
    pub(crate) fn expect_kind(&mut self, kind: u32) -> Checked<Packet> {
        let expected = frame(RES, kind, &[]);
        let packet = self.packet().map_err(|failure| Failure { expected: expected.clone(), ..failure })?;
        if packet.kind == kind {
            self.sent.clear();
            return Ok(packet);
        }
        let what = format!("expected {}, got {}", kind_name(kind), kind_name(packet.kind));
        Err(Failure { expected, received: packet.bytes(), ..self.failure(what) })
    }

    /// An echo comes back and nothing before it: what was sent is handled, and nothing was answered to it.
    pub(crate) fn sync(&mut self) -> Checked {
        let mark = self.send_echo()?;
        self.expect(ECHO_RES, &[&mark])
    }

    /// As [`Peer::sync`], but gives back what came before the echo.
    pub(crate) fn drain(&mut self) -> Checked<Vec<Packet>> {
        let mark = self.send_echo()?;
        let mut before = Vec::new();
        loop {
            let packet = self.packet()?;
            if packet.kind == ECHO_RES && packet.body == mark.as_bytes() {
                self.sent.clear();
                return Ok(before);
            }
            before.push(packet);
        }
    }

    fn send_echo(&mut self) -> Checked<String> {
        self.echoes = self.echoes.wrapping_add(1);
        let mark = format!("sync-{}", self.echoes);
        self.send(ECHO_REQ, &[&mark])?;
        Ok(mark)
    }

    /// The server closes the connection, and sends nothing before.
    pub(crate) fn closed(&mut self) -> Checked {
        let deadline = Instant::now() + self.timeout;
        loop {
            if !self.input.is_empty() {
                return Err(self.failure("expected the connection to be closed without a reply"));
            }
            match self.read(deadline)? {
                Some(Arrival::Bytes) => {}
                Some(Arrival::End) => return Ok(()),
                None => return Err(self.failure("expected the connection to be closed, it stays open")),
            }
        }
    }

    /// The next line, with its line end.
    pub(crate) fn line(&mut self) -> Checked<String> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            match self.read(deadline)? {
                Some(Arrival::Bytes) => {}
                Some(Arrival::End) => return Err(self.failure("the server closed the connection")),
                None => return Err(self.failure("no line came in time")),
            }
        }
    }

    /// The next line is this one.
    pub(crate) fn expect_line(&mut self, expected: &str) -> Checked {
        let expected_bytes = expected.as_bytes().to_vec();
        let line = self.line().map_err(|failure| Failure { expected: expected_bytes.clone(), ..failure })?;
        if line == expected {
            self.sent.clear();
            return Ok(());
        }
        let what = format!("expected the line {expected:?}, got {line:?}");
        Err(Failure { expected: expected_bytes, received: line.into_bytes(), ..self.failure(what) })
    }

    /// Sends no more, but still listens.
    pub(crate) fn half_close(&self) -> Checked {
        let done = self.stream.shutdown(Shutdown::Write);
        done.map_err(|error| Failure::new(format!("cannot half-close the connection: {error}")))
    }

    /// A failure of this connection, with what was sent and what is left unread.
    pub(crate) fn failure(&self, what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            sent: self.sent.clone(),
            expected: Vec::new(),
            received: self.input.clone(),
        }
    }

    /// Reads once; nothing when the deadline has passed.
    fn read(&mut self, deadline: Instant) -> Checked<Option<Arrival>> {
        let mut buffer = vec![0; 65_536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let setup = self.stream.set_read_timeout(Some(left));
            setup.map_err(|error| self.failure(format!("cannot set a deadline: {error}")))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Some(Arrival::End)),
                Ok(count) => {
                    self.input.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    return Ok(Some(Arrival::Bytes));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if Instant::now() >= deadline => {
                        return Ok(None);
                    }
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Ok(Some(Arrival::End)),
                    _ => return Err(self.failure(format!("cannot read: {error}"))),
                },
            }
        }
    }
}

//! One connection of the load generator: bytes in, bytes out, and nothing allocated a packet.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// Bytes of a packet header.
const HEADER: usize = 12;

/// What is kept of a packet that does not arrive in one piece; the rest of a large one is counted only.
const HEAD_BYTES: usize = 4096;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 512 << 10;

/// Pieces in one system call.
const SLICES: usize = 64;

/// How long a server may take to answer while connections are prepared.
const PATIENCE: Duration = Duration::from_secs(30);

/// One packet; of a large one `body` is the beginning.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) opcode: u32,
    pub(super) body: &'a [u8],
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    stream: TcpStream,
    /// The beginning of a packet whose rest has not arrived.
    held: Vec<u8>,
    /// Bytes of that packet which are not worth keeping.
    skip: usize,
    /// To be sent first.
    bytes: Vec<u8>,
    /// How much of `bytes` is out.
    sent: usize,
    /// To be sent again and again.
    requests: Rc<[Vec<u8>]>,
    /// Which of `requests` is next, how much of it is out, and how many are to be sent.
    next: usize,
    offset: usize,
    due: usize,
    /// The socket takes nothing at the moment.
    pub(super) blocked: bool,
}

impl Peer {
    /// Connects, sends `hello` and an ECHO_REQ, and waits for the answer: the server has accepted and seen it.
    pub(super) fn open(address: SocketAddr, hello: &[u8], requests: Rc<[Vec<u8>]>) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(hello)?;
        stream.write_all(b"\0REQ\0\0\0\x10\0\0\0\0")?;
        let mut answer = [0; HEADER];
        stream.read_exact(&mut answer)?;
        if &answer != b"\0RES\0\0\0\x11\0\0\0\0" {
            return Err(io::Error::other("the server does not answer as a Gearman server does"));
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            held: Vec::new(),
            skip: 0,
            bytes: Vec::new(),
            sent: 0,
            requests,
            next: 0,
            offset: 0,
            due: 0,
            blocked: false,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Sends `count` more of the requests.
    pub(super) const fn request(&mut self, count: usize) {
        self.due += count;
    }

    /// Sends a packet; all but the last of `args` end with NUL.
    pub(super) fn packet(&mut self, opcode: u32, args: &[&[u8]]) {
        write_packet(&mut self.bytes, opcode, args);
    }

    /// Reads what has come, once, and hands every complete packet to `take` together with a place for answers.
    ///
    /// # Errors
    /// The connection is over, or what came is no packet.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Packet<'_>, &mut Vec<u8>),
    ) -> io::Result<()> {
        let start = if self.skip > 0 { 0 } else { self.held.len() };
        let (Some(kept), held) = (buffer.get_mut(..start), self.held.get(..start)) else {
            return Err(io::Error::other("a packet of the server is too large"));
        };
        kept.copy_from_slice(held.unwrap_or_default());
        let read = match self.stream.read(buffer.get_mut(start..).unwrap_or_default()) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed a connection"));
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut rest = buffer.get(..start + read).unwrap_or_default();
        if self.skip > 0 {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = rest.get(skipped..).unwrap_or_default();
            if self.skip == 0 {
                let head = std::mem::take(&mut self.held);
                let (opcode, _) = header(&head)?.ok_or_else(nonsense)?;
                let body = head.get(HEADER..).unwrap_or_default();
                take(Packet { opcode, body }, &mut self.bytes);
            }
        }
        while let Some((opcode, length)) = header(rest)? {
            let Some((packet, behind)) = rest.split_at_checked(HEADER + length) else { break };
            take(Packet { opcode, body: packet.get(HEADER..).unwrap_or_default() }, &mut self.bytes);
            rest = behind;
        }
        self.hold(rest)
    }

    fn hold(&mut self, rest: &[u8]) -> io::Result<()> {
        if self.skip > 0 {
            return Ok(());
        }
        self.held.clear();
        match header(rest)? {
            Some((_, length)) if length > HEAD_BYTES && rest.len() >= HEADER + HEAD_BYTES => {
                self.skip = HEADER + length - rest.len();
                self.held.extend_from_slice(rest.get(..HEADER + HEAD_BYTES).unwrap_or_default());
            }
            _ => self.held.extend_from_slice(rest),
        }
        Ok(())
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.blocked = false;
        while self.sent < self.bytes.len() || self.due > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let first = self.bytes.get(self.sent..).filter(|bytes| !bytes.is_empty());
            let whole = (self.next..self.next + self.due)
                .filter_map(|index| self.requests.get(index % self.requests.len()));
            let pieces = whole.enumerate().map(|(at, request)| match at {
                0 => request.get(self.offset..).unwrap_or_default(),
                _ => request,
            });
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(first.into_iter().chain(pieces)) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            match self.stream.write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(taken) => self.forget(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn forget(&mut self, mut taken: usize) {
        let first = taken.min(self.bytes.len() - self.sent);
        self.sent += first;
        taken -= first;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
        while taken > 0
            && let Some(request) = self.requests.get(self.next % self.requests.len())
        {
            let left = request.len() - self.offset;
            if taken < left {
                self.offset += taken;
                return;
            }
            taken -= left;
            self.offset = 0;
            self.next += 1;
            self.due -= 1;
        }
    }
}

/// Type and length of the packet at the head of `bytes`, when its header is there.
fn header(bytes: &[u8]) -> io::Result<Option<(u32, usize)>> {
    let Some([m0, m1, m2, m3, t0, t1, t2, t3, l0, l1, l2, l3]) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    if [*m0, *m1, *m2, *m3] != *b"\0RES" {
        return Err(nonsense());
    }
    let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]);
    Ok(Some((u32::from_be_bytes([*t0, *t1, *t2, *t3]), length as usize)))
}

fn nonsense() -> io::Error {
    io::Error::other("what the server sent is no Gearman packet")
}

/// Appends a request; all but the last of `args` end with NUL.
pub(super) fn write_packet(out: &mut Vec<u8>, opcode: u32, args: &[&[u8]]) {
    let length = args.iter().map(|arg| arg.len()).sum::<usize>() + args.len().saturating_sub(1);
    out.extend_from_slice(b"\0REQ");
    out.extend_from_slice(&opcode.to_be_bytes());
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            out.push(0);
        }
        out.extend_from_slice(arg);
    }
}

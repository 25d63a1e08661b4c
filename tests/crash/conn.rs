//! A connection to a server that may die at any moment.

use crate::support::{PATIENCE, packet};
use crate::wire::{ERROR, GET_STATUS, JOB_CREATED, STATUS_RES, SUBMIT_JOB_BG};
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection; its errors are those of a server that is gone.
#[derive(Debug)]
pub(crate) struct Conn(BufReader<TcpStream>);

impl Conn {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends a request packet: every argument but the last ends with NUL.
    pub(crate) fn send(&mut self, opcode: u32, args: &[&[u8]]) -> io::Result<()> {
        self.write(&packet(opcode, args))
    }

    /// The next response packet: its type and body.
    pub(crate) fn receive(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut header = [0_u8; 12];
        self.0.read_exact(&mut header)?;
        assert_eq!(&header[..4], b"\0RES", "a response");
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let mut body = vec![0; number(8) as usize];
        self.0.read_exact(&mut body)?;
        Ok((number(4), body))
    }

    /// Whether something can be read within this time.
    pub(crate) fn is_readable(&mut self, within: Duration) -> io::Result<bool> {
        use std::io::BufRead;
        self.0.get_ref().set_read_timeout(Some(within))?;
        let looked = self.0.fill_buf().map(<[u8]>::is_empty);
        self.0.get_ref().set_read_timeout(Some(PATIENCE))?;
        match looked {
            Ok(true) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(false) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Submits a background job: its handle, or the words of the refusal.
    pub(crate) fn submit(
        &mut self,
        function: &str,
        unique: &str,
        payload: &[u8],
    ) -> io::Result<Result<Vec<u8>, String>> {
        self.send(SUBMIT_JOB_BG, &[function.as_bytes(), unique.as_bytes(), payload])?;
        self.created()
    }

    /// The answer to a submission.
    pub(crate) fn created(&mut self) -> io::Result<Result<Vec<u8>, String>> {
        let (opcode, body) = self.receive()?;
        match opcode {
            JOB_CREATED => Ok(Ok(body)),
            ERROR => Ok(Err(String::from_utf8_lossy(&body).into_owned())),
            other => panic!("{other} answers a submission"),
        }
    }

    /// Whether the server knows a job.
    pub(crate) fn knows(&mut self, handle: &[u8]) -> io::Result<bool> {
        self.send(GET_STATUS, &[handle])?;
        let (opcode, body) = self.receive()?;
        assert_eq!(opcode, STATUS_RES);
        let mut parts = body.split(|byte| *byte == 0);
        assert_eq!(parts.next(), Some(handle));
        Ok(parts.next() == Some(b"1"))
    }
}

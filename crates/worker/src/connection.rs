//! A worker's connection: requests out, responses in.

use bytes::BytesMut;
use conveyor_common::protocol::{Decoder, Frame, Request, Response};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room kept free for reading.
const READ_BYTES: usize = 16 * 1024;

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, decoder: Decoder::default(), input: BytesMut::new(), output: BytesMut::new() })
    }

    /// Appends a request to what leaves with the next flush.
    pub(crate) fn queue(&mut self, request: &Request) {
        request.encode(&mut self.output);
    }

    /// Sends what is queued.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.output).await
    }

    /// The next response, after what is queued has been sent; none when the server has closed.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Response>> {
        self.flush().await?;
        loop {
            match self.decoder.decode(&mut self.input).map_err(io::Error::other)? {
                Some(Frame::Packet(packet)) => {
                    return Response::from_packet(packet).map(Some).map_err(io::Error::other);
                }
                Some(Frame::Line(_)) => return Err(io::Error::other("a text line where a packet belongs")),
                None => {}
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }
}

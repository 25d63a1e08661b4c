//! A connection to a server, in the clear or by TLS: how clients and workers get one.

use crate::tls::{self, Tls};
use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;

/// A host counts as dead when it was silent for so long,
const KEEPALIVE: Duration = Duration::from_secs(30);

/// and then to this many questions in the same time again,
const KEEPALIVE_RETRIES: u32 = 3;

/// or when what was sent to it is not acknowledged for so long. Servers have the same limit for their peers.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// ECHO_REQ without payload, and its answer.
const ECHO: &[u8; 12] = b"\0REQ\0\0\0\x10\0\0\0\0";
const ECHOED: &[u8; 12] = b"\0RES\0\0\0\x11\0\0\0\0";

/// A connection to a server. What was written may wait in it until it is flushed.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// By TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to `address`, given as `host:port`, with TLS if it is given, within `limit` in all.
    ///
    /// By TLS the server has also answered an ECHO by then: only so it is known that it takes this side's certificate,
    /// which it may refuse after its own part of the handshake, and that there is a job server behind it.
    ///
    /// # Errors
    /// There is no connection. The error says why in words; dead hosts are errors of the connection later, too.
    pub async fn connect(address: &str, tls: Option<&Tls>, limit: Duration) -> io::Result<Self> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            prepare(&stream)?;
            match tls {
                None => Ok(Self::Plain(stream)),
                Some(tls) => secure(stream, address, tls).await.map_err(explained),
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"));
        tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(late()))
    }

    /// Writes all of `output` and flushes it. May be dropped and called again while there is output or `unflushed` is set:
    /// then something that was written has yet to leave.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(
        writer: &mut (impl AsyncWrite + Unpin),
        output: &mut BytesMut,
        unflushed: &mut bool,
    ) -> io::Result<()> {
        while !output.is_empty() {
            writer.write_buf(output).await?;
            *unflushed = true;
        }
        writer.flush().await?;
        *unflushed = false;
        Ok(())
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / KEEPALIVE_RETRIES)
        .with_retries(KEEPALIVE_RETRIES);
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

async fn secure(stream: TcpStream, address: &str, tls: &Tls) -> io::Result<Stream> {
    let name = tls.name(host(address)).map_err(io::Error::other)?;
    let connector = TlsConnector::from(tls.config.clone());
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(ECHO).await?;
    stream.flush().await?;
    let mut answer = [0; ECHOED.len()];
    stream.read_exact(&mut answer).await?;
    if &answer != ECHOED {
        return Err(io::Error::other("what answers behind TLS is no job server"));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// An error of TLS in words.
fn explained(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let closed = "the server closed the connection during the handshake";
        return io::Error::new(error.kind(), closed);
    }
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(inner) => io::Error::new(error.kind(), tls::explain(inner)),
        None => error,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => match Pin::new(stream).poll_read(context, buffer) {
                // Closing without a farewell is what servers do when they are killed.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read.map_err(explained),
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        let hosts = [("a.b:1", "a.b"), ("127.0.0.1:4730", "127.0.0.1"), ("[::1]:4730", "::1"), ("a", "a")];
        for (address, expected) in hosts {
            assert_eq!(host(address), expected);
        }
    }
}

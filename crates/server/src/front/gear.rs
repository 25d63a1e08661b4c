//! One connection that speaks Gearman, binary or text: its socket and its task.

use crate::config::Keepalive;
use crate::core::Peer;
use crate::engine::{Engine, LINGER};
use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use tokio::net::TcpStream;

/// Starts the task of a new connection.
pub(super) fn start(engine: &Engine, stream: TcpStream, peer: SocketAddr) {
    if let Err(error) = prepare(&stream, engine.keepalive()) {
        tracing::debug!(%peer, %error, "a new connection refuses its options");
    }
    tokio::task::spawn_local(serve(engine.clone(), stream, peer));
}

fn prepare(stream: &TcpStream, keepalive: Keepalive) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.count),
    )?;
    socket.set_tcp_user_timeout(Some(keepalive.user_timeout))
}

async fn serve(engine: Engine, stream: TcpStream, address: SocketAddr) {
    let descriptor = stream.as_raw_fd();
    let (mut reader, writer) = stream.into_split();
    let shown = Bytes::from(address.ip().to_string());
    let conn = engine.connect(writer, Peer { descriptor, address: shown });
    tracing::debug!(?conn, %address, "connected");
    let mut feed = engine.feed();
    let reason = std::future::poll_fn(|cx| engine.poll_connection(cx, conn, &mut reader, &mut feed)).await;
    drop(feed);
    let last_words = engine.disconnect(conn);
    tracing::debug!(?conn, %address, reason, "disconnected");
    if let Some(last_words) = last_words
        && !last_words.is_empty()
        && tokio::time::timeout(LINGER, last_words.finish()).await.is_err()
    {
        tracing::debug!(?conn, "the peer did not take its last words");
    }
}

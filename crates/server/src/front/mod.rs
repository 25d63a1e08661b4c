//! The front door: sockets, and one task a connection.

mod accept;
mod gear;
mod listen;

use crate::engine::Engine;
pub(crate) use listen::Listeners;
use std::io;
use tokio::task::JoinSet;

/// Accepts on every listening socket until the returned set is dropped.
///
/// # Errors
/// The event queue refuses a socket.
pub(crate) fn accept_all(engine: &Engine, listeners: Listeners) -> io::Result<JoinSet<()>> {
    let mut accepting = JoinSet::new();
    for listener in listeners.into_sockets() {
        let listener = tokio::net::TcpListener::from_std(listener.into())?;
        accepting.spawn_local(accept::accept_forever(engine.clone(), listener));
    }
    Ok(accepting)
}

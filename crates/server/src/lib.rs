//! The Conveyor job server as a library.
//!
//! [`Server::bind`] opens the sockets, [`Server::spawn`] serves them on a thread of its own. What happens to jobs
//! is decided by [`core`], a pure state machine; `engine` runs it and `front` talks to the network.

pub mod config;
pub mod core;
mod engine;
pub mod error;
mod front;
mod shutdown;

pub use config::{Config, Keepalive, Limits};
pub use error::Error;
pub use shutdown::{ServerHandle, Stop};

use front::Listeners;
use std::net::SocketAddr;

/// A server whose sockets are open and that does not serve yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listeners: Listeners,
}

impl Server {
    /// Opens every listening socket.
    ///
    /// # Errors
    /// A name that cannot be resolved, or an address that cannot be had.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let listeners = Listeners::open(&config)?;
        Ok(Self { config, listeners })
    }

    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// Serves on a thread of its own until told to stop.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn spawn(self) -> Result<ServerHandle, Error> {
        shutdown::spawn(self.config, self.listeners)
    }
}

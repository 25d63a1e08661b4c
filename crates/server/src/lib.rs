//! The Conveyor job server as a library.
//!
//! [`Server::bind`] opens the sockets, [`Server::spawn`] serves them on a thread of its own. What happens to jobs
//! is decided by [`core`], a pure state machine; `engine` runs it and `front` talks to the network.
//!
//! ```
//! use conveyor_common::HandlePrefix;
//! use conveyor_server::core::{Compat, Durability, Identity, Keeps, Rules, Wakeup};
//! use conveyor_server::{Config, Keepalive, Limits, Server, Stop};
//!
//! # fn main() -> Result<(), conveyor_server::Error> {
//! let server = Server::bind(Config {
//!     listen: vec!["127.0.0.1".to_owned()],
//!     port: 0, // whichever is free
//!     backlog: 128,
//!     rules: Rules {
//!         compat: Compat::V2_0,
//!         round_robin: false,
//!         max_losses: None,
//!         wakeup: Wakeup::AsNeeded,
//!         exceptions: false,
//!         prefix: HandlePrefix::new(b"H:box"),
//!         durability: Durability::Memory,
//!         keeps: Keeps::default(),
//!         queue_bytes: 1 << 30,
//!         identity: Identity { version: "1".to_owned(), pid: std::process::id(), verbose: "ERROR".to_owned() },
//!     },
//!     store: None,
//!     limits: Limits::default(),
//!     keepalive: Keepalive::default(),
//! })?;
//! let server = server.spawn()?;
//! println!("listening on {:?}", server.addresses());
//! // Clients and workers come and go.
//! server.stop(Stop::Drained);
//! server.join();
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod core;
mod engine;
pub mod error;
mod front;
mod shutdown;
pub mod store;

pub use config::{Config, Keepalive, Limits};
pub use engine::Readiness;
pub use error::Error;
pub use shutdown::{ServerHandle, Stop};

use front::Listeners;
use std::net::SocketAddr;

/// A server whose sockets are open and that does not serve yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listeners: Listeners,
    store: Option<store::Opened>,
}

impl Server {
    /// Opens every listening socket, and the store.
    ///
    /// # Errors
    /// A name that cannot be resolved, an address that cannot be had, a store that cannot be used.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let listeners = Listeners::open(&config)?;
        let store = config.store.as_ref().map(store::Backend::open).transpose().map_err(Error::Store)?;
        Ok(Self { config, listeners, store })
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
        shutdown::spawn(self.config, self.listeners, self.store)
    }
}

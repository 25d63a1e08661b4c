//! Why a server does not start.

use crate::store::StoreError;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why a server does not start.
#[derive(Debug)]
pub enum Error {
    /// A name in `listen` stands for no address.
    Resolve {
        /// The name.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// An address cannot be listened on.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime or its thread cannot be started.
    Start(io::Error),
    /// The stored queue cannot be used.
    Store(StoreError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { name, source } => write!(f, "cannot resolve the address '{name}': {source}"),
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Start(source) => write!(f, "cannot start the server thread: {source}"),
            Self::Store(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { source, .. } | Self::Bind { source, .. } | Self::Start(source) => Some(source),
            Self::Store(source) => source.source(),
        }
    }
}

impl Error {
    /// Whether the address is taken by somebody else.
    #[must_use]
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

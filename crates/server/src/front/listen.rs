//! Opening the listening sockets: every address of every name, IPv4 and IPv6.

use crate::config::Config;
use crate::error::Error;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Open listening sockets.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<Socket>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Opens a socket for every address. With port 0 the first one chooses for all.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let mut listeners = Self { sockets: Vec::new(), addresses: Vec::new() };
        if config.listen.is_empty() {
            listeners.open_everywhere(config)?;
        }
        for name in &config.listen {
            for address in resolve(name, config.port)? {
                listeners.add(address, config.backlog)?;
            }
        }
        Ok(listeners)
    }

    /// All addresses of the machine. A machine without IPv6 is served on IPv4 alone, and the reverse.
    fn open_everywhere(&mut self, config: &Config) -> Result<(), Error> {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.port));
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, config.port));
        let first = self.add(v4, config.backlog);
        match self.add(v6, config.backlog) {
            Err(error) if error.is_address_in_use() => Err(error),
            Err(error) => first.inspect(|()| tracing::info!(%error, "IPv6 is not to be had, IPv4 it is")),
            Ok(()) => match first {
                Err(error) if error.is_address_in_use() => Err(error),
                _ => Ok(()),
            },
        }
    }

    fn add(&mut self, mut address: SocketAddr, backlog: i32) -> Result<(), Error> {
        if address.port() == 0
            && let Some(first) = self.addresses.first()
        {
            address.set_port(first.port());
        }
        if self.addresses.contains(&address) {
            return Ok(());
        }
        let (socket, bound) = open(address, backlog).map_err(|source| Error::Bind { address, source })?;
        self.sockets.push(socket);
        self.addresses.push(bound);
        Ok(())
    }

    /// The addresses listened on.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(super) fn into_sockets(self) -> Vec<Socket> {
        self.sockets
    }
}

fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let resolved = (bare, port).to_socket_addrs();
    let addresses: Vec<SocketAddr> =
        resolved.map_err(|source| Error::Resolve { name: name.to_owned(), source })?.collect();
    Ok(addresses)
}

fn open(address: SocketAddr, backlog: i32) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.max(1))?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, bound))
}

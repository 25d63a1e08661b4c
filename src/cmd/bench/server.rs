//! A server under load, as far as it can be seen: where it is, its process, what that process uses.

use super::driver::Driver;
use super::peer::Peer;
use conveyor_client::admin::Admin;
use conveyor_common::protocol::text::Command;
use serde::Serialize;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

/// How long a server may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    /// As it was typed.
    pub(super) name: String,
    /// What it says to `version`.
    version: String,
    /// Its process, when that runs on this machine.
    pid: Option<u32>,
    #[serde(skip)]
    address: SocketAddr,
}

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system time in microseconds.
    pub(super) cpu_us: u64,
    /// Resident bytes.
    pub(super) memory: u64,
}

impl Server {
    /// Asks the server at `name` who it is.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("{name}: {error}\nIs a job server running there? `conveyor server` starts one.")
        };
        let mut addresses = name.to_socket_addrs().map_err(|error| failed(&error))?;
        let address = addresses.next().ok_or_else(|| failed(&"the name stands for no address"))?;
        let mut admin = Admin::connect(name, PATIENCE).map_err(|error| failed(&error))?;
        let version = admin.line(&Command::Version).map_err(|error| failed(&error))?;
        let pid = admin.line(&Command::GetPid).ok().and_then(|pid| pid.parse().ok());
        let pid = pid.filter(|pid| address.ip().is_loopback() && usage(*pid).is_some());
        Ok(Self { name: name.to_owned(), version, pid, address })
    }

    /// What its process uses, if that can be seen.
    pub(super) fn usage(&self) -> Option<Usage> {
        usage(self.pid?)
    }

    /// A connection that has said `hello`.
    pub(super) fn open(&self, hello: &[u8], requests: Rc<[Vec<u8>]>) -> Result<Peer, String> {
        Peer::open(self.address, hello, requests).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Opens connections that say nothing.
    pub(super) fn open_idle(&self, driver: &mut Driver, count: u32) -> Result<(), String> {
        (0..count).try_for_each(|_| driver.add_idle(self.open(b"", Rc::default())?))
    }
}

fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut columns = stat.rsplit_once(')')?.1.split_whitespace();
    // User and system time are columns 14 and 15; the state behind the name is column 3.
    let user: u64 = columns.nth(11)?.parse().ok()?;
    let system: u64 = columns.next()?.parse().ok()?;
    let cpu_us = (user + system) * 1_000_000 / rustix::param::clock_ticks_per_second();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().ok()?;
    Some(Usage { cpu_us, memory: resident * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_looked_at() {
        let Some(usage) = usage(std::process::id()) else { panic!("this very process is not to be seen") };
        assert!(usage.memory > 100 << 10, "{usage:?}");
    }
}

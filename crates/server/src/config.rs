//! What a server is told before it starts. Defaults of the command line are decided elsewhere.

use crate::core::Rules;
use crate::store::Backend;
use conveyor_common::limits::PACKET_BYTES_DEFAULT;
use std::time::Duration;

/// Configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names or numeric addresses to listen on; every address a name stands for is used. Empty means all
    /// addresses of the machine, IPv4 and IPv6.
    pub listen: Vec<String>,
    /// Port; 0 lets the system choose one.
    pub port: u16,
    /// Connections the system may keep waiting for accept.
    pub backlog: i32,
    /// How jobs are handled.
    pub rules: Rules,
    /// Where background jobs are kept; it has to go with `rules.durability` and `rules.keeps`.
    pub store: Option<Backend>,
    /// How much a peer may make the server hold.
    pub limits: Limits,
    /// How a dead peer is found.
    pub keepalive: Keepalive,
}

/// How much a peer may make the server hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet body, in bytes.
    pub packet_bytes: u64,
    /// Reading from a peer pauses while this many bytes wait for it.
    pub pause_bytes: usize,
    /// A peer that takes nothing for `stall` is cut off when more than this many bytes wait for it.
    pub output_bytes: usize,
    /// See `output_bytes`.
    pub stall: Duration,
    /// When more than this many bytes wait for all peers together, the one with the most is cut off.
    pub output_total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes: PACKET_BYTES_DEFAULT,
            pause_bytes: 256 << 20,
            output_bytes: 256 << 20,
            stall: Duration::from_secs(120),
            output_total_bytes: 4 << 30,
        }
    }
}

/// How the system probes a silent peer, and how long it waits for an acknowledgement.
///
/// Silence itself is never held against a peer: a worker in a long callback says and reads nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes until the peer counts as dead.
    pub count: u32,
    /// How long data may stay unacknowledged.
    pub user_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            count: 3,
            user_timeout: Duration::from_secs(60),
        }
    }
}

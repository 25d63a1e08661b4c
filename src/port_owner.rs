//! Who listens on a port, as far as the system lets us see.

use std::fs;
use std::path::Path;

/// Listening, in the tables of the kernel.
const LISTEN: &str = "0A";

/// The process that listens on TCP `port`, such as `gearmand (pid 812)`.
pub(crate) fn find(port: u16) -> Option<String> {
    let sockets: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(|table| listening_inodes(table, port)).collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(process.path().join("fd")).ok()?.flatten().any(|descriptor| {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            sockets.iter().any(|inode| target == Path::new(&format!("socket:[{inode}]")))
        });
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        holds.then(|| format!("{} (pid {pid})", name.trim()))
    })
}

fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let rows = fs::read_to_string(table).unwrap_or_default();
    rows.lines()
        .skip(1)
        .filter_map(|row| {
            let columns: Vec<&str> = row.split_whitespace().collect();
            let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
            (local.ends_with(&port) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

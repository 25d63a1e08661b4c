//! The `conveyor` binary: parses what was typed and hands it to one file under `cmd`.

mod cli;
mod cmd;
mod config;
mod duration;
mod gearmand;
mod logging;
mod port_owner;
mod queues;
mod schedules;
mod settings;
mod signals;
mod sinks;
mod state;
mod storage;

use clap::Parser;
use std::process::ExitCode;

/// A drained backlog is given back to the system within seconds (`.cargo/config.toml` sets how many); the C
/// library's allocator keeps nine tenths of it for ever. See docs/adr/0006-memory.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if gearmand::is_called_gearmand(&name) {
        return gearmand::run(words);
    }
    cli::Cli::parse().run()
}

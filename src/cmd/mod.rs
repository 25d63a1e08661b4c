//! One file (or folder) a subcommand; `servers` is what several of them have in common.

pub(crate) mod admin;
pub(crate) mod all_in_one;
pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod conformance;
pub(crate) mod guard;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod manager;
mod pid_file;
pub(crate) mod schedule;
pub(crate) mod server;
pub(crate) mod servers;
pub(crate) mod store;
pub(crate) mod worker;

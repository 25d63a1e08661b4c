//! The Conveyor job server as a library.

pub mod core;

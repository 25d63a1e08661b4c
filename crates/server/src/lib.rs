//! The Conveyor job server as a library.

//! The journal of a run: a file of lines of JSON, from which a killed run goes on.

/// The open journal of a run.
#[derive(Debug)]
pub struct Journal;

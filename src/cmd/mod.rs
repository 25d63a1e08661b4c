//! One file (or folder) a subcommand.

pub(crate) mod conformance;

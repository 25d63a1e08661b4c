//! The bodies of the fuzz targets, shared with the tests of `tests/wire`.

#[path = "../../tests/wire/targets.rs"]
pub mod targets;

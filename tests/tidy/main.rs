//! Lints the repository: what no compiler checks and everybody forgets. Each failure says what to do.
//!
//! The words that are banned are written here in two halves, so that these files pass their own rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

mod dependencies;
mod documents;
mod repository;
mod sources;

/// Fails with every offender and what to do about them.
fn assert_none(offenders: &[String], what_to_do: &str) {
    assert!(offenders.is_empty(), "{what_to_do}:\n  {}", offenders.join("\n  "));
}

//! How much load there may be: both policies of the load manager, without a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod adaptive;
mod legacy;
mod machine;

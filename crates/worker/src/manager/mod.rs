//! Decides what happens to performer processes. Pure: no process, clock or file in here.

pub mod load;

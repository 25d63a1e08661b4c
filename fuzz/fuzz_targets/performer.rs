//! The messages of a persistent command are the same at any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::performer(data));

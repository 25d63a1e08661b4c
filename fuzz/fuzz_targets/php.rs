//! A PHP value that is accepted is written again byte for byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::php(data));

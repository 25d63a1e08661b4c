//! A task or result that a codec accepts is read back equal after it is written again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::payload(data));

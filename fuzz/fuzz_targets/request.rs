//! A request that is accepted means the same when written again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::request(data));

//! A byte stream gives the same packets and lines at any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::frame(data));

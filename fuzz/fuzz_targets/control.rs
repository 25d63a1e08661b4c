//! Both directions of a control channel mean the same at any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::control(data));

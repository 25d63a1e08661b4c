//! An admin line is a command, has an answer or closes the connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conveyor_fuzz::targets::text(data));

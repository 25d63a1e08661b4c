//! The target `response`; its body is shared with `tests/wire`.

#![no_main]

#[path = "../../tests/wire/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::response(data));

//! The target `text`; its body is shared with `tests/wire`.

#![no_main]

#[path = "../../tests/wire/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::text(data));

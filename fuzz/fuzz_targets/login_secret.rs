#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::login_secret(input));

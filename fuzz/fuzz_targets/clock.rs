//! The codec of `clock`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kvrpc_fuzz::peer::any("clock", data));

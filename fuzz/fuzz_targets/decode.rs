//! The codec of `decode`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kvrpc_fuzz::peer::any("decode", data));

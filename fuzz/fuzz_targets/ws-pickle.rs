//! The codec of `ws-pickle`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kvrpc_fuzz::peer::any("ws-pickle", data));

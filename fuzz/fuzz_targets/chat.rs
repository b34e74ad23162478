//! The codec of `chat`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kvrpc_fuzz::peer::any("chat", data));

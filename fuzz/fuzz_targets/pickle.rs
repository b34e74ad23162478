//! The codec of `pickle`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kvrpc_fuzz::peer::any("pickle", data));

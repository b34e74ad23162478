//! The codecs of the socket dialects: bytes in, bytes out, by the contract.

mod fuzz_corpus;
mod peer;
mod pickle;
mod pickle_hostile;
mod properties;
mod small;
mod ws;

//! The codecs of the socket dialects: bytes in, bytes out, by the contract.

mod fuzz_corpus;
#[allow(unreachable_pub, reason = "the fuzz targets' package includes this file too")]
mod peer;
mod pickle;
mod pickle_hostile;
mod properties;
mod small;
mod text;
mod ws;

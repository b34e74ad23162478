//! The codecs of the legacy protocols, byte for byte.

mod fuzz_corpus;
#[allow(unreachable_pub, reason = "the fuzz targets' package includes this file too")]
mod peer;
mod pickle;
mod pickle_hostile;
mod properties;
mod small;
mod text;
mod ws;

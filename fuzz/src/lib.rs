//! The entry of every fuzz target: the one that the tests run over the committed seeds.

#[path = "../../tests/it/dialect/peer/mod.rs"]
pub mod peer;

//! The limits that the service holds.

pub use crate::model::Limits;

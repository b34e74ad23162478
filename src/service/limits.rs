//! Limits that the service enforces: those of the table in `model::limits`.

pub use crate::model::Limits;

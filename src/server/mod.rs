//! The server: configuration, composition, TLS, admin pages, signals, and the order in which it
//! starts and stops.

pub mod admin;
pub mod app;
mod compat;
pub mod compose;
pub mod config;
mod hash_password;
mod log;
mod notify;
mod run;
mod signals;
pub mod task;
pub mod tls;

pub use run::{ServerExit, run};

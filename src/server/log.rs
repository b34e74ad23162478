//! Where log lines go, and how they look.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::fmt;

use super::config::{Log, LogFormat};

/// Sends what the configuration asks for to stderr from now on. A second call changes nothing.
pub(super) fn start(log: &Log) {
    // It was checked with the rest of the configuration.
    let filter = EnvFilter::builder().parse_lossy(&log.filter);
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that somebody else set up the log already: an embedding program, whose choice
    // it is.
    let _ = match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

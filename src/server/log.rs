//! The destination and format of log lines.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::fmt;

use super::config::{Log, LogFormat};

/// Sends the configured log lines to stderr from now on. A second call has no effect.
pub(super) fn start(log: &Log) {
    // The filter was checked with the rest of the configuration.
    let filter = EnvFilter::builder().parse_lossy(&log.filter);
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that an embedding program has set up logging already; its choice is kept.
    let _ = match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

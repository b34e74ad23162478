//! The command line and its checks.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum, value_parser};
use kvrpc::dialect::grammar::parse_duration;
use kvrpc::model::{MAX_BATCH_OPERATIONS, MAX_VALUE_BYTES, UserName};

use crate::client::Server;

/// Maximum size of a value over a legacy protocol, whose messages have at most 64 KiB.
const MAX_LEGACY_VALUE: usize = 60 << 10;
/// Maximum size of a request over gRPC, and over a legacy protocol.
const MAX_REQUEST: usize = 4 << 20;
const MAX_LEGACY_REQUEST: usize = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  kvrpc-bench unary --connections 8 --in-flight 4 --duration 10s
  kvrpc-bench batch --rate 100000 --plot batch.svg
  kvrpc-bench unary --pid \"$(pidof kvrpc-server)\" -o json
  kvrpc-bench text --manager --other --user adam --password-file password
  kvrpc-bench --server https://kv.example:50051 --ca-cert ca.pem pipeline

Exit codes: 0 done; 1 failed, or an answer was wrong; 2 usage; 8 no answer from the server";

/// Put a load on a kvrpc-server, check every answer, and print latency and throughput
#[derive(Debug, Parser)]
#[command(name = "kvrpc-bench", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Options {
    /// Kind of requests
    #[arg(value_enum)]
    pub(crate) mode: Mode,
    /// Address of gRPC: host:port, http://host:port or https://host:port
    #[arg(long, env = "KVRPC_SERVER", default_value = "127.0.0.1:50051", value_name = "SERVER")]
    pub(crate) server: Server,
    /// Account of --manager
    #[arg(long, env = "KVRPC_USER", value_name = "NAME", value_parser = user_name)]
    pub(crate) user: Option<UserName>,
    /// File whose first line is the password of --user; - is the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Time limit of one request: 250ms, 5s, 1m
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
    /// PEM file of the certificate authorities to trust, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// PEM file of the client's certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file of the key of the client's certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Format of the result
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
    /// Connections, 1 to 10,000
    #[arg(long, value_name = "N", default_value = "8", value_parser = within::<1, 10_000>)]
    pub(crate) connections: usize,
    /// Requests in flight on each gRPC connection, 1 to 128
    #[arg(long, value_name = "N", default_value = "1", value_parser = within::<1, 128>)]
    pub(crate) in_flight: usize,
    /// Operations in a request, 1 to 1,000 [default: 16 for batch and pipeline, else 1]
    #[arg(long, value_name = "N", value_parser = within::<1, MAX_BATCH_OPERATIONS>)]
    batch: Option<usize>,
    /// Length of the run, 1ms to 1h
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = run_time)]
    pub(crate) duration: Duration,
    /// End after this many operations
    #[arg(
        long,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..=1_000_000_000_000)
    )]
    pub(crate) operations: Option<u64>,
    /// Operations a second, however long answers take; latency counts from when each was due
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,
    /// Bytes of a value, up to 1 MiB, over a legacy protocol 60 KiB
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "100",
        value_parser = within::<1, MAX_VALUE_BYTES>
    )]
    pub(crate) value_size: usize,
    /// Keys, 1 to 100,000,000
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = value_parser!(u64).range(1..=100_000_000)
    )]
    pub(crate) keys: u64,
    /// Guests that take turns over gRPC, each with all keys in its store, 1 to 1,000,000
    #[arg(long, value_name = "N", default_value = "1", value_parser = within::<1, 1_000_000>)]
    pub(crate) users: usize,
    /// Process of the server on this machine: print its CPU time an operation
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Writes among a hundred operations
    #[arg(
        long,
        value_name = "PERCENT",
        default_value = "10",
        value_parser = value_parser!(u64).range(0..=100)
    )]
    pub(crate) writes: u64,
    /// Run as the account --user; over pickle and ws-text, as a guest that upgrades itself
    #[arg(long, requires = "user", requires = "password_file")]
    pub(crate) manager: bool,
    /// Read another user's store, which is made for it; no writes
    #[arg(long)]
    pub(crate) other: bool,
    /// Address of the legacy protocol [default: the one that the server reports]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listener: Option<String>,
    /// Write the latency by percentile as an SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

/// Kind of requests that a load makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Get and Put, one a call
    Unary,
    /// Batch
    Batch,
    /// Pipeline
    Pipeline,
    /// The legacy protocol `text`
    Text,
    /// The legacy protocol `pickle`
    Pickle,
    /// The legacy protocol `ws-text`
    WsText,
    /// Chat; a latency is the time from sending a message to its delivery
    Chat,
}

/// Format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Table for people
    Text,
    /// One JSON object
    Json,
}

impl Mode {
    /// Name of the mode, as on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batch => "batch",
            Self::Pipeline => "pipeline",
            Self::Text => "text",
            Self::Pickle => "pickle",
            Self::WsText => "ws-text",
            Self::Chat => "chat",
        }
    }

    /// Returns `true` for a legacy protocol, over which an answer follows its request.
    pub(crate) const fn is_legacy(self) -> bool {
        matches!(self, Self::Text | Self::Pickle | Self::WsText)
    }

    /// Returns `true` for requests that carry several operations.
    const fn is_batched(self) -> bool {
        matches!(self, Self::Batch | Self::Pipeline)
    }
}

impl Options {
    /// Number of operations in a request.
    pub(crate) fn batch(&self) -> usize {
        self.batch.unwrap_or(if self.mode.is_batched() { 16 } else { 1 })
    }

    /// Checks that the options fit the mode and each other.
    ///
    /// # Errors
    /// The first option that the mode would ignore, and requests that are too long for the server.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let wrong = |message| Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        let mode = self.mode;
        if let Some((option, hint)) = self.unused() {
            return wrong(format!("{option} is not used by `{}`{hint}", mode.as_str()));
        }
        if mode.is_legacy() && self.value_size > MAX_LEGACY_VALUE {
            return wrong(format!(
                "--value-size is at most {MAX_LEGACY_VALUE} for `{}`",
                mode.as_str()
            ));
        }
        let bytes = self.batch() * (self.value_size + 64);
        if mode.is_batched() && bytes > MAX_REQUEST
            || mode.is_legacy() && bytes > MAX_LEGACY_REQUEST
        {
            return wrong(format!(
                "--batch: {} operations with {} bytes each are too long a request",
                self.batch(),
                self.value_size
            ));
        }
        Ok(())
    }

    /// The first option that the mode would ignore, and a hint at what to use instead.
    fn unused(&self) -> Option<(&'static str, &'static str)> {
        let mode = self.mode;
        let chat = mode == Mode::Chat;
        let own_guests = !self.manager && !self.other;
        let many_users = matches!(mode, Mode::Unary | Mode::Batch) && own_guests;
        let rules = [
            ("--in-flight", self.in_flight > 1 && (mode.is_legacy() || chat), "; see --batch"),
            ("--batch", self.batch() > 1 && (mode == Mode::Unary || chat), ""),
            ("--users", self.users > 1 && !many_users, "; it is for guests over gRPC"),
            ("--other", self.other && (mode.is_batched() || chat), ""),
            ("--manager", self.manager && chat, ""),
            ("--listener", self.listener.is_some() && !mode.is_legacy(), ""),
        ];
        rules.into_iter().find(|rule| rule.1).map(|(option, _, hint)| (option, hint))
    }
}

fn within<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("it must be a whole number from {LEAST} to {MOST}"))
}

fn user_name(text: &str) -> Result<UserName, String> {
    UserName::new(text).map_err(|error| error.to_string())
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("0 leaves no time; give at least 1ms".to_owned()),
        duration => Ok(duration),
    }
}

fn run_time(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration.is_zero() || duration > Duration::from_secs(3_600) {
        return Err("1ms to 1h is allowed".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn modes_have_their_names_on_the_command_line() {
        for mode in Mode::value_variants() {
            assert_eq!(mode.to_possible_value().unwrap().get_name(), mode.as_str());
        }
    }
}

//! The words and options of `bench`, checked.

use std::path::PathBuf;
use std::time::Duration;

use super::args::Args;
use super::parse_error::excerpt;
use super::{Call, Opt, ParseError, parse_duration};
use crate::model::{MAX_BATCH_OPERATIONS, MAX_VALUE_BYTES};

/// A socket door takes no more in a message.
const MAX_DOOR_VALUE: usize = 60 << 10;

/// What a load runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchMode {
    /// Get and Put, one a call.
    Unary,
    /// Batch.
    Batch,
    /// Pipeline.
    Pipeline,
    /// The dialect `text`.
    Text,
    /// The dialect `pickle`.
    Pickle,
    /// The dialect `ws-text`.
    WsText,
    /// Chat, from a message's sending to its delivery.
    Chat,
    /// Text, WebSocket and gRPC beside each other, as a report.
    Compare,
}

/// A load, with all that it needs within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchCall {
    /// What it runs over.
    pub mode: BenchMode,
    /// How many connections, 1 to 10,000.
    pub connections: usize,
    /// How many requests on their way on each, 1 to 128.
    pub in_flight: usize,
    /// How many operations a request has, 1 to 1,000.
    pub batch: usize,
    /// How long it runs, 1 ms to 1 h.
    pub duration: Duration,
    /// After how many operations it ends, if it is not over before.
    pub operations: Option<u64>,
    /// Operations a second, whatever the answers do; `None`: each request follows an answer.
    pub rate: Option<u64>,
    /// Bytes of a value, 1 to 1 MiB.
    pub value_size: usize,
    /// How many keys, 1 to 100,000,000.
    pub keys: u64,
    /// How many users take turns, 1 to 1,000,000, each with a store of its own.
    pub users: usize,
    /// The server's process on this machine, whose CPU time is measured.
    pub pid: Option<u32>,
    /// How many of a hundred operations write.
    pub writes: u64,
    /// As an account.
    pub manager: bool,
    /// Reads of another user's store.
    pub other: bool,
    /// The socket door's address; `None`: as the server tells it.
    pub door: Option<String>,
    /// Where the plot goes.
    pub plot: Option<PathBuf>,
    /// Where the report of `compare` goes.
    pub report: Option<PathBuf>,
}

impl BenchMode {
    /// Every mode.
    pub const ALL: [Self; 8] = [
        Self::Unary,
        Self::Batch,
        Self::Pipeline,
        Self::Text,
        Self::Pickle,
        Self::WsText,
        Self::Chat,
        Self::Compare,
    ];

    /// The mode's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batch => "batch",
            Self::Pipeline => "pipeline",
            Self::Text => "text",
            Self::Pickle => "pickle",
            Self::WsText => "ws-text",
            Self::Chat => "chat",
            Self::Compare => "compare",
        }
    }

    /// Whether it runs over a socket door, in whose dialect an answer follows its request.
    pub const fn is_door(self) -> bool {
        matches!(self, Self::Text | Self::Pickle | Self::WsText)
    }
}

const fn with_value(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, value: Some(value), help }
}

const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt { name, value: None, help }
}

/// The options of `bench`.
pub(super) const OPTIONS: &[Opt] = &[
    with_value("--connections", "N", "connections, 1 to 10,000; by default 8"),
    with_value(
        "--in-flight",
        "N",
        "requests on their way on each gRPC connection, 1 to 128; by default 1",
    ),
    with_value(
        "--batch",
        "N",
        "operations in a request, 1 to 1,000; by default 16 for batch and pipeline, else 1",
    ),
    with_value("--duration", "DURATION", "how long, 1ms to 1h; by default 5s"),
    with_value("--operations", "N", "end after so many operations"),
    with_value(
        "--rate",
        "N",
        "operations a second, whatever the answers do; latency counts from when each was due",
    ),
    with_value(
        "--value-size",
        "BYTES",
        "bytes of a value, up to 1 MiB, at socket doors 60 KiB; by default 100",
    ),
    with_value("--keys", "N", "how many keys, 1 to 100,000,000; by default 100"),
    with_value(
        "--users",
        "N",
        "over gRPC: guests that take turns, each with all keys in its store; by default 1",
    ),
    with_value(
        "--pid",
        "PID",
        "the server's process on this machine: print its CPU time for each operation",
    ),
    with_value("--writes", "PERCENT", "how many of a hundred operations write; by default 10"),
    flag(
        "--manager",
        "as the account of --user, with its password; at pickle and ws-text by their own upgrade",
    ),
    flag("--other", "read another user's store, which is made for it; no writes"),
    with_value("--door", "ADDRESS", "the socket door, if it is not where the server says"),
    with_value("--plot", "FILE", "write latency by percentile as an SVG"),
    with_value(
        "--report",
        "FILE",
        "compare: write the report there, its plots beside it; by default to the output",
    ),
];

impl Args<'_> {
    pub(super) fn bench(&mut self) -> Result<Call, ParseError> {
        let name = self.text("MODE")?;
        let mode =
            BenchMode::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or_else(|| {
                let names = BenchMode::ALL.map(BenchMode::as_str).join(", ");
                self.invalid("MODE", format!("`{}` is none of {names}", excerpt(&name)))
            })?;
        let max_value = if mode.is_door() { MAX_DOOR_VALUE } else { MAX_VALUE_BYTES };
        let default_batch =
            if matches!(mode, BenchMode::Batch | BenchMode::Pipeline) { 16 } else { 1 };
        let call = BenchCall {
            mode,
            connections: self.in_range("--connections", 1, 10_000, 8)?,
            in_flight: self.in_range("--in-flight", 1, 128, 1)?,
            batch: self.in_range("--batch", 1, MAX_BATCH_OPERATIONS, default_batch)?,
            duration: self.run_time()?,
            operations: self.optional("--operations", 1_000_000_000_000)?,
            rate: self.optional("--rate", 10_000_000)?,
            value_size: self.in_range("--value-size", 1, max_value, 100)?,
            keys: self.in_range("--keys", 1, 100_000_000, 100)? as u64,
            users: self.in_range("--users", 1, 1_000_000, 1)?,
            pid: self.process()?,
            writes: self.in_range("--writes", 0, 100, 10)? as u64,
            manager: self.flag("--manager"),
            other: self.flag("--other"),
            door: self.option("--door").map(str::to_owned),
            plot: self.option("--plot").map(PathBuf::from),
            report: self.option("--report").map(PathBuf::from),
        };
        self.fits(&call)?;
        Ok(Call::Bench(Box::new(call)))
    }

    /// Refuses what would be left out in silence.
    fn fits(&self, call: &BenchCall) -> Result<(), ParseError> {
        let mode = call.mode.as_str();
        let over_grpc = matches!(call.mode, BenchMode::Unary | BenchMode::Batch);
        let refused = [
            (
                "--in-flight",
                call.in_flight > 1 && (call.mode.is_door() || call.mode == BenchMode::Chat),
                "; see --batch",
            ),
            (
                "--batch",
                call.batch > 1 && matches!(call.mode, BenchMode::Unary | BenchMode::Chat),
                "",
            ),
            (
                "--users",
                call.users > 1 && !(over_grpc && !call.manager && !call.other),
                "; it is for guests over gRPC",
            ),
            (
                "--other",
                call.other
                    && matches!(
                        call.mode,
                        BenchMode::Batch | BenchMode::Pipeline | BenchMode::Chat
                    ),
                "",
            ),
            ("--manager", call.manager && call.mode == BenchMode::Chat, ""),
            ("--door", call.door.is_some() && !call.mode.is_door(), ""),
            ("--pid", call.pid.is_some() && call.mode == BenchMode::Compare, ""),
            ("--plot", call.plot.is_some() && call.mode == BenchMode::Compare, "; see --report"),
            ("--report", call.report.is_some() && call.mode != BenchMode::Compare, ""),
        ];
        for (option, given, more) in refused {
            if given {
                return Err(self.invalid(option, format!("`bench {mode}` has no use for it{more}")));
            }
        }
        let bytes = call.batch * (call.value_size + 64);
        if matches!(call.mode, BenchMode::Batch | BenchMode::Pipeline) && bytes > 4 << 20
            || call.mode.is_door() && bytes > 64 << 10
        {
            let why = format!(
                "{} operations with {} bytes each are too long a request",
                call.batch, call.value_size
            );
            return Err(self.invalid("--batch", why));
        }
        Ok(())
    }

    fn process(&self) -> Result<Option<u32>, ParseError> {
        let pid = self.optional("--pid", u32::MAX.into())?;
        Ok(pid.and_then(|pid| u32::try_from(pid).ok()))
    }

    fn run_time(&self) -> Result<Duration, ParseError> {
        let Some(text) = self.option("--duration") else { return Ok(Duration::from_secs(5)) };
        let time = parse_duration(text).map_err(|why| self.invalid("--duration", why))?;
        if time.is_zero() || time > Duration::from_secs(3_600) {
            return Err(self.invalid("--duration", "1ms to 1h is allowed".to_owned()));
        }
        Ok(time)
    }

    fn in_range(
        &self,
        name: &'static str,
        least: usize,
        most: usize,
        default: usize,
    ) -> Result<usize, ParseError> {
        let Some(text) = self.option(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            self.invalid(
                name,
                format!("`{}` is no whole number from {least} to {most}", excerpt(text)),
            )
        })
    }

    fn optional(&self, name: &'static str, most: u64) -> Result<Option<u64>, ParseError> {
        let Some(text) = self.option(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        let number = number.ok_or_else(|| {
            self.invalid(name, format!("`{}` is no whole number from 1 to {most}", excerpt(text)))
        });
        number.map(Some)
    }
}

//! The log: lines in a bounded queue, which a thread of its own writes to stderr.
//!
//! No other thread of the server writes there: a reader that is gone, full or stuck costs lines,
//! which are counted, and nothing else.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{MakeWriter, fmt};

use super::config::{Log, LogFormat};

/// Maximum number and size of the lines that wait to be written.
const QUEUE_LINES: usize = 16_384;
const QUEUE_BYTES: usize = 8 << 20;
/// Minimum interval between two lines about lines that were lost.
const LOSS_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum time for which the end of the process waits for the rest of the lines.
const FLUSH: Duration = Duration::from_secs(1);

/// Number of lines that could not be kept or written; of the process, as is the log.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of lines that were dropped since the start.
pub(super) fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Sends the configured log lines, and the text of every panic, to stderr from now on. In a program
/// that has set up logging already, its choice is kept.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(log: &Log) -> io::Result<LogQueue> {
    let lines = LogQueue::start(io::stderr())?;
    // The filter was checked with the rest of the configuration.
    let filter = EnvFilter::builder().parse_lossy(&log.filter);
    // Without it, a line that cannot be formatted is an `eprintln!`.
    let format = fmt().with_env_filter(filter).log_internal_errors(false);
    let format = format.with_writer(lines.clone());
    // An error means that an embedding program has set up logging.
    let _ = match log.format {
        LogFormat::Text => format.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => format.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(lines)
}

/// Logs a panic. The standard hook would wait for the reader of stderr.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let place = panic.location().map(ToString::to_string);
    let text = panic.payload_as_str().unwrap_or("no text");
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = matches!(backtrace.status(), std::backtrace::BacktraceStatus::Captured)
        .then(|| backtrace.to_string());
    tracing::error!(thread = thread.name(), place, backtrace, "panicked: {text}");
}

/// The lines on their way. Clones share them.
#[derive(Clone)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a line comes into an empty queue.
    filled: Condvar,
    /// Notified when the last line has been written or lost.
    emptied: Condvar,
}

/// Lines that wait, and the size of all that are not written yet.
#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl LogQueue {
    /// Starts the thread that writes.
    fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("kvrpc-log".to_owned()).spawn(move || writer.write_all(to))?;
        Ok(Self(shared))
    }

    /// Queues a line without its newline.
    pub(super) fn push(&self, line: &str) {
        self.0.push(format!("{line}\n").as_bytes());
    }

    /// Waits until all lines are written, for a bounded time.
    pub(super) fn flush(&self) {
        let until = Instant::now() + FLUSH;
        let mut queue = self.0.queue.lock();
        self.0.emptied.wait_while_until(&mut queue, |queue| queue.bytes > 0, until);
    }
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.lines.len() >= QUEUE_LINES || queue.bytes + line.len() > QUEUE_BYTES {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.filled.notify_one();
    }

    /// Writes line after line, for as long as the process lives.
    fn write_all(&self, mut to: impl Write) {
        let mut losses = Losses::default();
        loop {
            let mut queue = self.queue.lock();
            let Some(line) = queue.lines.pop_front() else {
                self.filled.wait(&mut queue);
                continue;
            };
            drop(queue);
            if to.write_all(&line).and_then(|()| to.flush()).is_ok() {
                losses.tell();
            } else {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
            let mut queue = self.queue.lock();
            queue.bytes = queue.bytes.saturating_sub(line.len());
            if queue.bytes == 0 {
                self.emptied.notify_all();
            }
        }
    }
}

/// Number of lost lines that the log has told of.
#[derive(Default)]
struct Losses {
    told: u64,
    last: Option<Instant>,
}

impl Losses {
    /// Logs, once lines can be written again, that some are missing.
    fn tell(&mut self) {
        let dropped = lines_dropped();
        if dropped > self.told && self.last.is_none_or(|last| last.elapsed() >= LOSS_INTERVAL) {
            let lines = dropped - self.told;
            *self = Self { told: dropped, last: Some(Instant::now()) };
            tracing::warn!(lines, "lines of the log were lost: stderr took them too slowly or not");
        }
    }
}

/// One line, which `tracing` writes in one piece.
pub(super) struct LogLine<'a>(&'a Shared);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.0)
    }
}

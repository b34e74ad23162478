//! Schedules the callers, and records the latencies.
//!
//! Closed loop: a caller's next request follows its answer. Fixed rate: requests are due at equal
//! intervals however long answers take, an idle caller takes the next one, and its latency counts
//! from when it was due. A slow answer then shows in every request that waited behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::args::{Mode, Options};
use crate::caller::Caller;
use crate::cpu::Used;
use crate::failure::{Failure, Result};
use kvrpc::model::whole_millis;

/// Maximum latency of the histogram in nanoseconds: an hour, as no run is longer.
const LONGEST: u64 = 3_600_000_000_000;
/// Significant decimal digits of a latency.
const DIGITS: u8 = 3;
/// Maximum number of callers, by the bounds of the options.
const MAX_CALLERS: usize = 10_000 * 128;
const TICK: Duration = Duration::from_millis(100);

/// The result of a load.
pub(crate) struct Measured {
    /// Nanoseconds of each request, or of each delivery of chat.
    pub(crate) latency: Histogram<u64>,
    pub(crate) requests: u64,
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    /// CPU time that the server used during the load.
    pub(crate) server_cpu: Option<Duration>,
}

/// Latencies, recorded by all callers.
pub(crate) struct Times(Mutex<Histogram<u64>>);

impl Times {
    pub(crate) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
        self.0.lock().saturating_record(nanos);
    }
}

/// A load that can start.
pub(crate) struct Run {
    pub(crate) times: Arc<Times>,
    mode: Mode,
    batch: u64,
    /// Time limit of a request.
    timeout: Duration,
    duration: Duration,
    /// Number of requests that ends the run early.
    requests: Option<u64>,
    /// Time between two requests of a fixed rate.
    interval: Option<Duration>,
    pid: Option<u32>,
}

/// State that the callers share.
struct Schedule {
    times: Arc<Times>,
    keeps_times: bool,
    timeout: Duration,
    start: Instant,
    end: Instant,
    requests: u64,
    interval: Option<Duration>,
    next: AtomicU64,
    answered: AtomicU64,
    due: Semaphore,
    over: AtomicBool,
}

impl Run {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let batch = options.batch() as u64;
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        let histogram = histogram
            .map_err(|error| Failure::failed(format!("cannot record latencies: {error}")))?;
        Ok(Self {
            times: Arc::new(Times(Mutex::new(histogram))),
            mode: options.mode,
            batch,
            timeout: options.timeout,
            duration: options.duration,
            requests: options.operations.map(|operations| operations.div_ceil(batch)),
            pid: options.pid,
            interval: options.rate.map(|rate| Duration::from_secs(batch).div_f64(rate as f64)),
        })
    }

    /// Runs the callers until the time or the requests are over.
    pub(crate) async fn drive(self, callers: Vec<Caller>) -> Result<Measured> {
        let used_before = self.pid.map(Used::now).transpose()?;
        let start = Instant::now();
        let end = start + self.duration;
        let by_rate = self.interval.map(|interval| {
            (self.duration.as_secs_f64() / interval.as_secs_f64()).round().max(1.0) as u64
        });
        let requests = by_rate.unwrap_or(u64::MAX).min(self.requests.unwrap_or(u64::MAX));
        let schedule = Arc::new(Schedule {
            times: Arc::clone(&self.times),
            keeps_times: self.mode != Mode::Chat,
            timeout: self.timeout,
            start,
            end,
            requests,
            interval: self.interval,
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            due: Semaphore::new(0),
            over: AtomicBool::new(false),
        });
        let pacer = self.interval.map(|interval| {
            let schedule = Arc::clone(&schedule);
            thread::spawn(move || schedule.pace(interval))
        });
        let ended = schedule.all(callers).await;
        schedule.over.store(true, Ordering::Release);
        if let Some(pacer) = pacer {
            pacer.join().map_err(|_| Failure::failed("the pacing thread failed"))?;
        }
        let elapsed = ended?;
        let requests = schedule.answered.load(Ordering::Acquire);
        let latency = self.times.0.lock().clone();
        let server_cpu = match (self.pid, used_before) {
            (Some(pid), Some(before)) => Used::now(pid)?.since(&before),
            (Some(_) | None, _) => None,
        };
        Ok(Measured { latency, requests, operations: requests * self.batch, elapsed, server_cpu })
    }
}

impl Schedule {
    async fn all(self: &Arc<Self>, callers: Vec<Caller>) -> Result<Duration> {
        let mut running = JoinSet::new();
        for caller in callers {
            let schedule = Arc::clone(self);
            running.spawn(async move { schedule.caller(caller).await });
        }
        let bar = self.bar();
        let mut tick = tokio::time::interval(TICK);
        let mut callers = Vec::with_capacity(running.len());
        // Dropped with the first failure, which ends all callers.
        while !running.is_empty() {
            tokio::select! {
                Some(done) = running.join_next() => {
                    let failed = |_| Err(Failure::failed("a caller of the load failed"));
                    callers.push(done.unwrap_or_else(failed)?);
                }
                _ = tick.tick() => self.show(&bar),
            }
        }
        bar.finish_and_clear();
        let elapsed = self.start.elapsed();
        let sent = self.answered.load(Ordering::Acquire);
        for caller in callers {
            caller.finish(sent).await?;
        }
        Ok(elapsed)
    }

    async fn caller(&self, mut caller: Caller) -> Result<Caller> {
        while let Some((number, due)) = self.next().await {
            match timeout(self.timeout, caller.request(number, due)).await {
                Ok(answered) => answered?,
                Err(_) => {
                    return Err(Failure::unavailable(
                        "a request got no answer in time (see --timeout)",
                    ));
                }
            }
            if self.keeps_times {
                self.times.record(due.elapsed());
            }
            self.answered.fetch_add(1, Ordering::AcqRel);
        }
        Ok(caller)
    }

    /// Waits until the next request is due, and returns its number and due time; `None` at the end.
    async fn next(&self) -> Option<(u64, Instant)> {
        if self.interval.is_some() {
            // The pacing thread adds a permit for each request, and one for each caller at the end.
            self.due.acquire().await.ok()?.forget();
        } else if Instant::now() >= self.end {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        if number >= self.requests {
            return None;
        }
        Some((
            number,
            self.interval.map_or_else(Instant::now, |interval| self.due_at(interval, number)),
        ))
    }

    fn due_at(&self, interval: Duration, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(interval.as_secs_f64() * number as f64)
    }

    /// Adds a permit for each request when it is due. Runs on a thread of its own, because the
    /// runtime's timers count in whole milliseconds.
    fn pace(&self, interval: Duration) {
        let mut number = 0;
        while number < self.requests && !self.over.load(Ordering::Acquire) {
            let due = self.due_at(interval, number);
            let now = Instant::now();
            if let Some(wait) = due.checked_duration_since(now).filter(|wait| !wait.is_zero()) {
                // Short waits, so that the end of a failed run is noticed.
                thread::sleep(wait.min(TICK));
                continue;
            }
            let passed = now.duration_since(self.start).as_secs_f64() / interval.as_secs_f64();
            let until = (passed as u64 + 1).clamp(number + 1, self.requests);
            self.due
                .add_permits(usize::try_from(until - number).unwrap_or(usize::MAX).min(1 << 20));
            number = number.saturating_add((until - number).min(1 << 20));
        }
        // One for each caller, which finds no request left.
        self.due.add_permits(MAX_CALLERS);
    }

    fn bar(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{wide_bar} {msg}, {eta} left");
        let length = whole_millis(self.end.duration_since(self.start));
        // Hidden if the standard error is no terminal.
        ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    fn show(&self, bar: &ProgressBar) {
        if bar.is_hidden() {
            return;
        }
        bar.set_position(whole_millis(self.start.elapsed()));
        bar.set_message(format!("{} requests", self.answered.load(Ordering::Relaxed)));
    }
}

//! Gives the lanes their turns, and keeps how long each took.
//!
//! Closed loop: a lane's next request follows its answer. Fixed rate: requests are due at equal
//! distances whatever the answers do, a free lane takes the next one, and its time counts from when
//! it was due, so that a slow answer is not forgiven those that waited behind it.

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

use super::cpu::Used;
use super::lane::Lane;
use crate::client::failure::{Failure, Result};
use crate::dialect::grammar::{BenchCall, BenchMode};
use crate::model::whole_millis;

/// The longest time that is told apart from longer ones: an hour, as no run is longer.
const LONGEST: u64 = 3_600_000_000_000;
/// Three digits of each time are right.
const DIGITS: u8 = 3;
/// As many lanes as the largest load has.
const MOST_LANES: usize = 10_000 * 128;
const TICK: Duration = Duration::from_millis(100);

/// What came of a load.
pub(super) struct Measured {
    /// Nanoseconds of each request; of chat, of each delivery.
    pub(super) latency: Histogram<u64>,
    pub(super) requests: u64,
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// CPU time that the server used meanwhile.
    pub(super) server_cpu: Option<Duration>,
}

/// The times, from whoever takes them.
pub(super) struct Times(Mutex<Histogram<u64>>);

impl Times {
    pub(super) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
        self.0.lock().saturating_record(nanos);
    }
}

/// A load that is set up.
pub(super) struct Run {
    pub(super) times: Arc<Times>,
    mode: BenchMode,
    batch: u64,
    /// How long a request may take.
    timeout: Duration,
    duration: Duration,
    /// How many requests there are, if that ends the run.
    requests: Option<u64>,
    /// The distance of two requests.
    interval: Option<Duration>,
    pid: Option<u32>,
}

/// What the lanes share.
struct Turns {
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
    pub(super) fn new(call: &BenchCall, timeout: Duration) -> Result<Self> {
        let batch = call.batch as u64;
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        let histogram = histogram
            .map_err(|error| Failure::failed(format!("cannot keep the times: {error}")))?;
        Ok(Self {
            times: Arc::new(Times(Mutex::new(histogram))),
            mode: call.mode,
            batch,
            timeout,
            duration: call.duration,
            requests: call.operations.map(|operations| operations.div_ceil(batch)),
            pid: call.pid,
            interval: call.rate.map(|rate| Duration::from_secs(batch).div_f64(rate as f64)),
        })
    }

    /// Runs the lanes until the time or the requests are over.
    pub(super) async fn drive(self, lanes: Vec<Lane>) -> Result<Measured> {
        let used_before = self.pid.map(Used::now).transpose()?;
        let start = Instant::now();
        let end = start + self.duration;
        let by_rate = self.interval.map(|interval| {
            (self.duration.as_secs_f64() / interval.as_secs_f64()).round().max(1.0) as u64
        });
        let requests = by_rate.unwrap_or(u64::MAX).min(self.requests.unwrap_or(u64::MAX));
        let turns = Arc::new(Turns {
            times: Arc::clone(&self.times),
            keeps_times: self.mode != BenchMode::Chat,
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
            let turns = Arc::clone(&turns);
            thread::spawn(move || turns.pace(interval))
        });
        let ended = turns.all(lanes).await;
        turns.over.store(true, Ordering::Release);
        if let Some(pacer) = pacer {
            // It looks after each wait whether the run is over.
            pacer.join().map_err(|_| Failure::failed("the pace was lost"))?;
        }
        let elapsed = ended?;
        let requests = turns.answered.load(Ordering::Acquire);
        let latency = self.times.0.lock().clone();
        let server_cpu = match (self.pid, used_before) {
            (Some(pid), Some(before)) => Used::now(pid)?.since(&before),
            (Some(_) | None, _) => None,
        };
        Ok(Measured { latency, requests, operations: requests * self.batch, elapsed, server_cpu })
    }
}

impl Turns {
    async fn all(self: &Arc<Self>, lanes: Vec<Lane>) -> Result<Duration> {
        let mut running = JoinSet::new();
        for lane in lanes {
            let turns = Arc::clone(self);
            running.spawn(async move { turns.lane(lane).await });
        }
        let bar = self.bar();
        let mut tick = tokio::time::interval(TICK);
        let mut lanes = Vec::with_capacity(running.len());
        // Dropped with the first failure, which ends all lanes.
        while !running.is_empty() {
            tokio::select! {
                Some(done) = running.join_next() => {
                    lanes.push(done.unwrap_or_else(|_| Err(Failure::failed("a lane of the load failed")))?);
                }
                _ = tick.tick() => self.show(&bar),
            }
        }
        bar.finish_and_clear();
        let elapsed = self.start.elapsed();
        let sent = self.answered.load(Ordering::Acquire);
        for lane in lanes {
            lane.finish(sent).await?;
        }
        Ok(elapsed)
    }

    async fn lane(&self, mut lane: Lane) -> Result<Lane> {
        while let Some((number, due)) = self.next().await {
            match timeout(self.timeout, lane.request(number, due)).await {
                Ok(answered) => answered?,
                Err(_) => {
                    return Err(Failure::new(
                        crate::client::Exit::Unavailable,
                        "a request got no answer in time (see --timeout)",
                    ));
                }
            }
            if self.keeps_times {
                self.times.record(due.elapsed());
            }
            self.answered.fetch_add(1, Ordering::AcqRel);
        }
        Ok(lane)
    }

    /// The next request's number, and when it is due; waits until then.
    async fn next(&self) -> Option<(u64, Instant)> {
        if self.interval.is_some() {
            // The pacer gives one for each request, and closes it behind the last.
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

    /// Lets each request begin when it is due. On a thread of its own: the runtime's timers count
    /// in whole milliseconds.
    fn pace(&self, interval: Duration) {
        let mut number = 0;
        while number < self.requests && !self.over.load(Ordering::Acquire) {
            let due = self.due_at(interval, number);
            let now = Instant::now();
            if let Some(wait) = due.checked_duration_since(now).filter(|wait| !wait.is_zero()) {
                // Not longer at a time, so that a run that failed is noticed.
                thread::sleep(wait.min(TICK));
                continue;
            }
            let passed = now.duration_since(self.start).as_secs_f64() / interval.as_secs_f64();
            let until = (passed as u64 + 1).clamp(number + 1, self.requests);
            self.due
                .add_permits(usize::try_from(until - number).unwrap_or(usize::MAX).min(1 << 20));
            number = number.saturating_add((until - number).min(1 << 20));
        }
        // One for each lane to see that there is no more.
        self.due.add_permits(MOST_LANES);
    }

    fn bar(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{wide_bar} {msg}, {eta} left");
        let length = whole_millis(self.end.duration_since(self.start));
        // Hidden by itself where nobody watches.
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

//! Latency of an unpredictable read of a cache line, by the amount of memory in use: it shows the
//! sizes of this machine's caches.
//!
//! `cargo run --release -p kvrpc-bench --example memory_latency` prints pairs of bytes and
//! nanoseconds, as JSON.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

const READS: u32 = 4_000_000;

/// A line of the processor's caches, which tells the next one to read.
#[derive(Clone)]
#[repr(align(64))]
struct Line {
    next: u32,
}

/// Nanoseconds a read, one after another, over so many lines in an order without a pattern.
fn latency(lines: u32) -> f64 {
    let mut order: Vec<u32> = (0..lines).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(1));
    let mut memory = vec![Line { next: 0 }; order.len()];
    for (&line, &next) in order.iter().zip(order.iter().cycle().skip(1)) {
        memory[line as usize].next = next;
    }
    let walk = |steps: u32| (0..steps).fold(0, |line, _| memory[line as usize].next);
    black_box(walk(lines));
    let begun = Instant::now();
    black_box(walk(READS));
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
}

fn main() -> serde_json::Result<()> {
    let found: Vec<(u32, f64)> =
        (18..=28).map(|bits| (1 << bits, latency(1 << (bits - 6)))).collect();
    serde_json::to_writer(io::stdout(), &found)
}

//! The server.

use kvrpc::server::{Exit, run};
use tikv_jemallocator::Jemalloc;

// Measured: 11 % less CPU a call than the system's allocator.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> Exit {
    run(std::env::args_os())
}

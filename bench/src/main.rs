//! A load generator for kvrpc-server: it checks every answer and reports latency and throughput.
//!
//! A `caller` makes one request at a time: a gRPC connection has one caller for each call in
//! flight, a connection of a legacy protocol has one. `drive` schedules the callers, in a closed
//! loop or at a fixed rate, and records the latencies; `load` derives keys, values and the mix of
//! reads and writes; `users` opens and ends the sessions. All callers share one thread, so the
//! client uses at most one core. A wrong answer ends the run.

mod args;
mod caller;
mod chat;
mod client;
mod cpu;
mod drive;
mod failure;
mod grpc;
mod legacy;
mod load;
mod pickle;
mod pipeline;
mod plot;
mod report;
mod run;
mod users;
mod websocket;

use std::process::ExitCode;

use clap::Parser as _;

use args::Options;
use failure::{Failure, Result};

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = options.check() {
        error.exit();
    }
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(run::run(options))
}

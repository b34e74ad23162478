//! The command line: options, sessions, commands, prompt, output.
//!
//! `main` reads the options (`args`, as typed and as checked), parses the commands with the one
//! grammar, gets together what they need (`input`), and runs them in order (`run`, `commands`,
//! `chat`, `transfer`, `doctor`). A call goes through `session`, which knows the token and what may
//! be repeated; its errors through `explain`, which names the next step. Everything printed goes
//! through `output`, and from there nothing harmful to a terminal. `via` sends the same commands
//! over the older protocols. Absent on purpose: rules about who may do what, which are
//! the server's.

mod args;
mod cache;
mod chat;
mod commands;
mod completions;
mod connect;
mod convert;
mod doctor;
mod exit;
mod explain;
mod failure;
mod help;
mod input;
mod interrupt;
mod man;
mod output;
mod repl;
mod run;
mod script;
mod server;
mod session;
mod transfer;
mod via;

use std::io::IsTerminal as _;

use tokio::signal::unix::{SignalKind, signal};

use kvrpc::dialect::grammar::{Mode, parse};

use args::CommandLine;
use exit::Exit;
use failure::{Failure, Result};
use input::Stdin;
use interrupt::interruptible;
use run::Runner;

fn main() -> Exit {
    let line = match args::read(std::env::args_os()) {
        Ok(line) => line,
        Err(wrong) => {
            // If even this cannot be printed, the exit code tells.
            let _ = wrong.print();
            return if wrong.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(format!("cannot start: {error}")).report(),
    };
    let exit = runtime.block_on(start(line)).unwrap_or_else(|failure| failure.report());
    // A read of the standard input that nobody waits for any more is left alone.
    runtime.shutdown_background();
    exit
}

async fn start(line: CommandLine) -> Result<Exit> {
    // From now on Ctrl-C is ours to see: the terminal gets its echo back before the program ends.
    let _interrupts = signal(SignalKind::interrupt())?;
    if let Some(via) = via::chosen(&line.settings).await {
        return via::run(via, line).await;
    }
    if line.settings.verbose {
        return Err(Failure::usage(
            "--verbose shows what the older dialects say: give --via DIALECT too",
        ));
    }
    if line.words.is_empty() {
        let mut runner = Runner::new(line.settings)?;
        if std::io::stdin().is_terminal() {
            return repl::run(&mut runner).await;
        }
        script::run(&mut runner).await?;
        return Ok(runner.exit());
    }
    let chain = parse(&line.words, Mode::CommandLine)?;
    let mut runner = Runner::new(line.settings)?;
    let steps = input::prepare(chain, &runner.session.settings, Stdin::Free).await?;
    interruptible(runner.run(steps)).await?;
    Ok(runner.exit())
}

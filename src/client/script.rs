//! Commands from the standard input, line by line, when it is no terminal.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::failure::{Failure, Result};
use super::input::{Stdin, prepare};
use super::interrupt::interruptible;
use super::run::Runner;
use crate::dialect::grammar::{Mode, parse, split_quoted};

/// The longest line: a value of 1 MiB with its command, and quotes around all of it.
const MAX_LINE_BYTES: usize = 2 << 20;

/// Runs the lines in order. The first that fails ends it, with its number.
pub(super) async fn run(runner: &mut Runner) -> Result<()> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut limited = (&mut input).take(MAX_LINE_BYTES as u64 + 1);
        let read = async {
            limited
                .read_until(b'\n', &mut line)
                .await
                .map_err(|error| Failure::failed(format!("cannot read the commands: {error}")))
        };
        if interruptible(read).await? == 0 {
            break;
        }
        one(runner, &line).await.map_err(|failure| failure.at(&format!("line {number}")))?;
    }
    Ok(())
}

async fn one(runner: &mut Runner, line: &[u8]) -> Result<()> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Failure::usage("it has more than 2 MiB; put a long value with @FILE"));
    }
    let line = std::str::from_utf8(line).map_err(|_| Failure::usage("it is no UTF-8; put bytes with @FILE"))?;
    let chain = parse(&split_quoted(line)?, Mode::CommandLine)?;
    let steps = prepare(chain, &runner.session.settings, Stdin::Taken).await?;
    interruptible(runner.run(steps)).await
}

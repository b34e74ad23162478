//! Commands from the standard input, line by line, when it is no terminal.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin as Source, stdin};

use super::failure::{Failure, Result};
use super::input::{Stdin, prepare};
use super::interrupt::interruptible;
use super::run::Runner;
use kvrpc::dialect::grammar::{Mode, parse, split_quoted};

/// The longest line: a value of 1 MiB with its command, and quotes around all of it.
const MAX_LINE_BYTES: usize = 2 << 20;

/// The lines of the standard input.
pub(super) struct StdinLines {
    input: BufReader<Source>,
    line: Vec<u8>,
    number: u64,
}

/// One of them, with its end.
pub(super) struct ScriptLine {
    bytes: Vec<u8>,
    number: u64,
}

impl Default for StdinLines {
    fn default() -> Self {
        Self { input: BufReader::new(stdin()), line: Vec::new(), number: 0 }
    }
}

impl StdinLines {
    /// The next line; `None` at the end. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Result<Option<ScriptLine>> {
        let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
        let mut limited = (&mut self.input).take(room as u64);
        let read = limited.read_until(b'\n', &mut self.line).await;
        read.map_err(|error| Failure::failed(format!("cannot read the commands: {error}")))?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(ScriptLine { bytes: std::mem::take(&mut self.line), number: self.number }))
    }
}

impl ScriptLine {
    /// Its text.
    ///
    /// # Errors
    /// It is too long, or no text.
    pub(super) fn text(&self) -> Result<&str> {
        if self.bytes.len() > MAX_LINE_BYTES {
            return Err(Failure::usage("it has more than 2 MiB; put a long value with @FILE"));
        }
        std::str::from_utf8(&self.bytes)
            .map_err(|_| Failure::usage("it is no UTF-8; put bytes with @FILE"))
    }

    /// Its line number, for an error.
    pub(super) fn place(&self) -> String {
        format!("line {}", self.number)
    }
}

/// Runs the lines in order. The first that fails ends it, with its number.
pub(super) async fn run(runner: &mut Runner) -> Result<()> {
    let mut lines = StdinLines::default();
    while let Some(line) = interruptible(lines.next()).await? {
        one(runner, &line).await.map_err(|failure| failure.at(&line.place()))?;
    }
    Ok(())
}

async fn one(runner: &mut Runner, line: &ScriptLine) -> Result<()> {
    let chain = parse(&split_quoted(line.text()?)?, Mode::CommandLine)?;
    let steps = prepare(chain, &runner.session.settings, Stdin::Taken).await?;
    interruptible(runner.run(steps)).await
}

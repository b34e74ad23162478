//! Source of lines and destination of events: a terminal with a line to type in, or plain lines.

use std::io::{IsTerminal as _, Write as _};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Editor, ExternalPrinter};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc;

use super::format::on_screen;
use crate::failure::{Failure, Result};
use crate::output::Output;
use kvrpc::model::MAX_TEXT_BYTES;
use kvrpc::pb::v1::ChatResponse;

/// Lines that were read and not yet said.
const MAX_LINES: usize = 16;
/// A line that is longer than any text may be is cut, and then refused for its length.
const MAX_LINE_BYTES: usize = 4 * MAX_TEXT_BYTES;
const PROMPT: &str = "> ";

/// Output to a terminal, or to a pipe.
pub(super) struct Screen {
    lines: mpsc::Receiver<String>,
    terminal: Option<Terminal>,
}

struct Terminal {
    printer: Box<dyn ExternalPrinter + Send>,
    colours: bool,
    /// Settings of the terminal, restored when the line is left.
    before: Option<Termios>,
}

impl Screen {
    /// A terminal if both ends are one.
    pub(super) fn open() -> Result<Self> {
        let (sender, lines) = mpsc::channel(MAX_LINES);
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            tokio::spawn(read_lines(sender));
            return Ok(Self { lines, terminal: None });
        }
        let failed =
            |error: ReadlineError| Failure::failed(format!("the terminal cannot be used: {error}"));
        let before = tcgetattr(std::io::stdin()).ok();
        let mut editor = Editor::<(), DefaultHistory>::new().map_err(failed)?;
        let printer = Box::new(editor.create_external_printer().map_err(failed)?);
        let plain = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colours =
            !plain("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        // A thread of its own, which may wait for a key for ever.
        std::thread::Builder::new()
            .name("typing".to_owned())
            .spawn(move || type_lines(editor, &sender))?;
        Ok(Self { lines, terminal: Some(Terminal { printer, colours, before }) })
    }

    /// Returns true if notices are shown.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// The next line; `None`: there will be no more.
    pub(super) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Shows an event.
    pub(super) fn show(&mut self, response: &ChatResponse, output: &mut Output) -> Result<()> {
        let Some(terminal) = &self.terminal else {
            let row = super::format::as_row(response)
                .filter(|row| !(output.is_text() && row.text.is_empty()));
            if let Some(row) = row {
                output.row(&row)?;
                output.flush()?;
            }
            return Ok(());
        };
        match response.event.as_ref().and_then(|event| on_screen(event, terminal.colours)) {
            Some(text) => self.print(&text),
            None => Ok(()),
        }
    }

    /// Tells something that is no event: to people on their screen, else beside the output.
    #[allow(clippy::print_stderr, reason = "where notices go that are no output")]
    pub(super) fn notice(&mut self, text: &str) -> Result<()> {
        if self.terminal.is_some() {
            return self.print(text);
        }
        eprintln!("{text}");
        Ok(())
    }

    fn print(&mut self, text: &str) -> Result<()> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        let failed = |error: ReadlineError| {
            Failure::failed(format!("the terminal cannot be written: {error}"))
        };
        terminal.printer.print(format!("{text}\n")).map_err(failed)
    }

    /// Gives the terminal back as it was.
    pub(super) fn close(&mut self) {
        if let Some(before) = self.terminal.as_ref().and_then(|terminal| terminal.before.as_ref()) {
            // It may be gone by now.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Reads lines that are typed. Each is wiped away: what was said comes back as a message like all
/// others.
fn type_lines(mut editor: Editor<(), DefaultHistory>, lines: &mpsc::Sender<String>) {
    loop {
        let Ok(line) = editor.readline(PROMPT) else { return };
        wipe(&line);
        if !line.trim().is_empty() {
            let _ = editor.add_history_entry(&line);
        }
        let over = super::format::TypedLine::of(&line) == super::format::TypedLine::Quit;
        // After the last line nobody types any more: the terminal is left as it was.
        if lines.blocking_send(line).is_err() || over {
            return;
        }
    }
}

/// Takes the line that was just entered from the screen.
fn wipe(line: &str) {
    let mut stdout = std::io::stdout();
    let columns = tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col)).max(1);
    let rows = (PROMPT.len() + line.chars().count()).div_ceil(columns).max(1);
    // Up by so many rows, and all below them empty; a terminal that cannot keeps the line.
    let _ = write!(stdout, "\x1b[{rows}A\r\x1b[J").and_then(|()| stdout.flush());
}

/// Reads lines from a pipe or a file.
async fn read_lines(lines: mpsc::Sender<String>) {
    let mut input = BufReader::new(tokio::io::stdin());
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

//! The prompt: lines are edited on a thread of their own, so that the connection lives while a
//! person thinks.

mod editor;

use tokio::sync::mpsc;

use super::Exit;
use super::failure::Result;
use super::input::{Stdin, prepare};
use super::interrupt::interruptible;
use super::run::Runner;
use kvrpc::dialect::grammar::{Mode, parse, split_quoted};

/// Reads and runs lines until the end of input or `exit`. Errors are shown and end only their line.
pub(super) async fn run(runner: &mut Runner) -> Result<Exit> {
    let (ask, asked) = mpsc::channel(1);
    let (answer, mut lines) = mpsc::channel(1);
    let mut editor =
        editor::Editor::new(runner.session.clone(), tokio::runtime::Handle::current())?;
    let typing = tokio::task::spawn_blocking(move || editor.serve(asked, &answer));
    // The editor prompts only when it is asked to, so nothing is printed into a line that is being
    // typed.
    while ask.send(()).await.is_ok() {
        let Some(line) = lines.recv().await else { break };
        if matches!(line.trim(), "exit" | "quit") {
            break;
        }
        if let Err(failure) = one(runner, &line).await {
            failure.report();
        }
    }
    drop(ask);
    // It has no line to wait for any more.
    let _ = typing.await;
    Ok(Exit::Ok)
}

async fn one(runner: &mut Runner, line: &str) -> Result<()> {
    let chain = parse(&split_quoted(line)?, Mode::CommandLine)?;
    let steps = prepare(chain, &runner.session.settings, Stdin::Taken).await?;
    interruptible(runner.run(steps)).await
}

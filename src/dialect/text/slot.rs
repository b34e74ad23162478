//! What is said to one command: its words when it is done, and for which errors it has words of its own.

use crate::dialect::grammar::{COMMANDS, Call, Mode, Parsed, Source, Spec};
use crate::model::{Command, Reason, Result};

/// A key that is not there, as the command line prints it too.
pub(super) const BLANK: &str = "<blank>";

type Words = &'static [(Reason, &'static str)];

const OF_GET: Words = &[(Reason::KeyNotFound, BLANK)];
const OF_AUTH: Words = &[(Reason::BadCredentials, "Authentication failure")];
const OF_MANAGE: Words = &[
    (Reason::KeyNotFound, BLANK),
    (Reason::ManagerRequired, "Access denied"),
    (Reason::UserNotFound, "No such client"),
];

/// One command's part of the reply.
pub(super) enum Slot {
    /// To be said as it is.
    Words(String),
    /// To be said when the answer comes.
    Answer {
        /// What is said when it was done; `None`: what the reply holds.
        done: Option<String>,
        /// What is said for some errors.
        words: Words,
        /// The command, if it may have to be asked again for the next page.
        listing: Option<Command>,
    },
}

/// The slot of a call, and the command that it runs, if it is one.
///
/// # Errors
/// Those of [`Call::command`].
pub(super) fn of(parsed: Parsed) -> Result<(Slot, Option<Command>)> {
    let done = done(&parsed.call);
    let words = match parsed.spec.name {
        "manage" => OF_MANAGE,
        "get" | "getother" => OF_GET,
        "auth" => OF_AUTH,
        _ => &[],
    };
    let help = help(&parsed.call);
    let Some(command) = parsed.call.command()? else { return Ok((Slot::Words(help), None)) };
    let paged = matches!(
        command,
        Command::ListKeys { .. } | Command::Scan { .. } | Command::ListUsers { .. } | Command::ListAccesses { .. }
    );
    let listing = paged.then(|| command.clone());
    Ok((Slot::Answer { done, words, listing }, Some(command)))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "all others print their reply")]
fn done(call: &Call) -> Option<String> {
    match call {
        Call::Put(put) | Call::PutOther { put, .. } => {
            let Source::Text(value) = &put.value else { return None };
            Some(format!("Successfully set {} as {value}", put.key.as_str()))
        }
        Call::Auth { .. } => Some("Authentication success".to_owned()),
        _ => None,
    }
}

/// The help on one command, or a line for each.
fn help(call: &Call) -> String {
    let line = |spec: &Spec| format!("{}: {}", spec.usage(), spec.help);
    match call {
        Call::Help { command: Some(spec) } => line(spec),
        _ => COMMANDS.iter().filter(|spec| spec.exists_in(Mode::Door)).map(line).collect::<Vec<_>>().join("\n"),
    }
}

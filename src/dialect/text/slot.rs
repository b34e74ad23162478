//! What is said to one command: its words when it is done, and for which errors it has words of its
//! own.

use super::ILLEGAL;
use crate::dialect::grammar::{COMMANDS, Call, Mode, Parsed, Source, Spec};
use crate::model::{Command, Reason, Result};

/// A key that is not there, as the command line prints it too.
pub(super) const BLANK: &str = "<blank>";

type Errors = &'static [(Reason, &'static str)];

const OF_GET: Errors = &[(Reason::KeyNotFound, BLANK)];
const OF_AUTH: Errors = &[(Reason::BadCredentials, "Authentication failure")];
const OF_MANAGE: Errors = &[
    (Reason::KeyNotFound, BLANK),
    (Reason::ManagerRequired, "Access denied"),
    (Reason::UserNotFound, "No such client"),
];

/// One command of a line.
pub(super) enum Slot {
    /// To be said as it is.
    Words(String),
    /// To be run, and said so.
    Run(Command, Wording),
}

/// How a command is answered.
pub(super) struct Wording {
    /// What is said when it was done; `None`: what the reply holds.
    pub(super) done: Option<String>,
    /// What is said for some errors.
    pub(super) errors: Errors,
    /// The command, if it may have to be asked again for the next page.
    pub(super) listing: Option<Box<Command>>,
}

/// The slot of a call.
///
/// # Errors
/// Those of [`Call::command`].
pub(super) fn of(parsed: Parsed) -> Result<Slot> {
    let done = done(&parsed.call);
    let errors = match parsed.spec.name {
        "manage" => OF_MANAGE,
        "get" | "getother" => OF_GET,
        "auth" => OF_AUTH,
        _ => &[],
    };
    if let Call::Help { command } = parsed.call {
        return Ok(Slot::Words(help(command)));
    }
    let Some(command) = parsed.call.command()? else { return Ok(Slot::Words(ILLEGAL.to_owned())) };
    let paged = matches!(
        command,
        Command::ListKeys(_) | Command::Scan(_) | Command::ListUsers(_) | Command::ListAccesses(_)
    );
    let listing = paged.then(|| Box::new(command.clone()));
    Ok(Slot::Run(command, Wording { done, errors, listing }))
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
fn help(command: Option<&Spec>) -> String {
    let line = |spec: &Spec| format!("{}: {}", spec.usage(), spec.help);
    match command {
        Some(spec) => line(spec),
        None => COMMANDS
            .iter()
            .filter(|spec| spec.exists_in(Mode::Door))
            .map(line)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

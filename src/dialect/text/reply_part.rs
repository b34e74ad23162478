//! Parts of a reply: one for each command of a line, with the command's own wording of its result
//! and errors.

use super::ILLEGAL;
use crate::dialect::grammar::{COMMANDS, Call, InputSource, Mode, ParsedCommand, Spec};
use crate::dialect::render::BLANK;
use crate::model::{Command, Reason, Result};

type Errors = &'static [(Reason, &'static str)];

const OF_GET: Errors = &[(Reason::KeyNotFound, BLANK)];
const OF_AUTH: Errors = &[(Reason::BadCredentials, "Authentication failure")];
const OF_MANAGE: Errors = &[
    (Reason::KeyNotFound, BLANK),
    (Reason::ManagerRequired, "Access denied"),
    (Reason::UserNotFound, "No such client"),
];

/// Part of a reply.
pub(super) enum ReplyPart {
    /// A text that is already known.
    Text(String),
    /// A command to run, and the wording of its result.
    Run(Command, ReplyWording),
}

/// Wording of a command's result.
pub(super) struct ReplyWording {
    /// Text on success; `None` prints the content of the reply.
    pub(super) done: Option<String>,
    /// Texts for some errors.
    pub(super) errors: Errors,
    /// The command, if further pages may have to be requested with it.
    pub(super) listing: Option<Box<Command>>,
}

/// Returns the reply part of a parsed command.
///
/// # Errors
/// Those of [`Call::command`].
pub(super) fn of(parsed: ParsedCommand) -> Result<ReplyPart> {
    let done = done(&parsed.call);
    let errors = match parsed.spec.name {
        "manage" => OF_MANAGE,
        "get" | "getother" => OF_GET,
        "auth" => OF_AUTH,
        _ => &[],
    };
    if let Call::Help { command } = parsed.call {
        return Ok(ReplyPart::Text(help(command)));
    }
    let Some(command) = parsed.call.command()? else {
        return Ok(ReplyPart::Text(ILLEGAL.to_owned()));
    };
    let paged = matches!(
        command,
        Command::ListKeys(_) | Command::Scan(_) | Command::ListUsers(_) | Command::ListAccesses(_)
    );
    let listing = paged.then(|| Box::new(command.clone()));
    Ok(ReplyPart::Run(command, ReplyWording { done, errors, listing }))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "all others print their reply")]
fn done(call: &Call) -> Option<String> {
    match call {
        Call::Put(put) | Call::PutOther { put, .. } => {
            let InputSource::Text(value) = &put.value else { return None };
            Some(format!("Successfully set {} as {value}", put.key.as_str()))
        }
        Call::Auth { .. } => Some("Authentication success".to_owned()),
        _ => None,
    }
}

/// Returns the help for one command, or one line for each command.
fn help(command: Option<&Spec>) -> String {
    let line = |spec: &Spec| format!("{}: {}", spec.usage(), spec.help);
    match command {
        Some(spec) => line(spec),
        None => COMMANDS
            .iter()
            .filter(|spec| spec.exists_in(Mode::TextProtocol))
            .map(line)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

//! `text`: a line a command, in the words of its first clients where they have some.

use bytes::BytesMut;

use super::error_text;
use super::line;
use super::protocol_client::{
    DecodedReply, OutgoingMessage, ProtocolClient, ReplyOutcome, text, unsupported, value,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use crate::output::BLANK;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::{Call, Mode, PutCall, find};
use kvrpc::dialect::line::is_http;
use kvrpc::model::{Expiry, Reason, RequestId};

const NAME: &str = "text";
const ERROR: &str = "Error: ";

/// Commands that the command line and the protocol share.
pub(super) const COMMANDS: &[&str] = &[
    "get",
    "put",
    "delete",
    "getother",
    "putother",
    "manage",
    "keys",
    "scan",
    "auth",
    "upgrade",
    "downgrade",
    "whoami",
    "users",
    "accesses",
    "encode",
    "decode",
    "now",
    "calc",
    "info",
];

/// The dialect.
pub(super) struct TextClient;

impl ProtocolClient for TextClient {
    fn encode(&self, call: &Call, given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        let words = words_of(call, given)?;
        if let Some(word) = words
            .iter()
            .find(|word| word.is_empty() || word.contains(|c: char| c.is_ascii_whitespace()))
        {
            return Err(Failure::usage(format!(
                "the dialect `{NAME}` parts words at blanks and knows no quotes: {word:?} cannot \
                 be sent as one word"
            )));
        }
        let line = words.join(" ");
        if is_http(line.as_bytes()) {
            return Err(Failure::usage(format!(
                "the server would take this line for the first of a web page's request, and close \
                 the connection: {line:?}"
            )));
        }
        let hidden = if let Call::Auth { user, .. } = call {
            Some(format!("auth {user} ***\n"))
        } else {
            None
        };
        let shown = hidden.map(String::into_bytes);
        Ok(vec![OutgoingMessage { message: Message::Text(line + "\n"), shown }])
    }

    fn decode(
        &mut self,
        call: Option<&Call>,
        input: &mut BytesMut,
        event: Input,
    ) -> Result<DecodedReply> {
        Ok(if call.is_some_and(has_lines) {
            line::many(input, event)
        } else {
            line::one(input, event)
        })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "all others print what was said")]
    fn interpret(&self, call: &Call, replies: &[Message]) -> ReplyOutcome {
        let said = text(replies.first());
        if let Some(sentence) = said.strip_prefix(ERROR) {
            return ReplyOutcome::Failed(error_text::failure(sentence));
        }
        match (call, said) {
            (_, "Illegal command") => {
                ReplyOutcome::Failed(Failure::usage("the server does not know this command"))
            }
            (Call::GetOther { .. } | Call::PutOther { .. }, "Access denied") => {
                ReplyOutcome::Failed(Failure::of(
                    Reason::ManagerRequired,
                    "only a manager may use another user's store",
                ))
            }
            (Call::GetOther { user, .. } | Call::PutOther { user, .. }, "No such client") => {
                let message = format!("there is no user {:?}", user.as_str());
                ReplyOutcome::Failed(Failure::of(Reason::UserNotFound, message))
            }
            (Call::Auth { .. }, "Authentication failure") => {
                ReplyOutcome::Failed(Failure::of(Reason::BadCredentials, "wrong user or password"))
            }
            (Call::Get { .. } | Call::GetOther { .. }, BLANK) => ReplyOutcome::Missing,
            (Call::Get { .. } | Call::GetOther { .. }, _) => replies
                .first()
                .map_or(ReplyOutcome::Missing, |reply| ReplyOutcome::Value(reply.clone())),
            (Call::Put(_) | Call::PutOther { .. }, _) if said.starts_with("Successfully set ") => {
                ReplyOutcome::Done
            }
            _ => ReplyOutcome::Text(said.to_owned()),
        }
    }
}

/// Returns true if the reply may have several lines: that of a value stored over another
/// protocol, and of a listing.
fn has_lines(call: &Call) -> bool {
    matches!(
        call,
        Call::Get { .. }
            | Call::GetOther { .. }
            | Call::Keys { .. }
            | Call::Scan { .. }
            | Call::Users
            | Call::Accesses
            | Call::Decode { .. }
            | Call::Info
    )
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the others are not in COMMANDS")]
fn words_of(call: &Call, given: &CommandInput) -> Result<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let user_option = |all: &mut Vec<String>, user: &Option<kvrpc::model::UserName>| {
        if let Some(user) = user {
            all.extend(["--user".to_owned(), user.as_str().to_owned()]);
        }
    };
    Ok(match call {
        Call::Get { key } => words(&["get", key.as_str()]),
        Call::Put(put) => put_words(put, given)?,
        Call::GetOther { user, key } => words(&["manage", user.as_str(), "get", key.as_str()]),
        Call::PutOther { user, put } => {
            [words(&["manage", user.as_str()]), put_words(put, given)?].concat()
        }
        Call::Delete { key, if_revision, request_id } => {
            let mut all = words(&["delete", key.as_str()]);
            add_conditions(&mut all, *if_revision, request_id.as_ref());
            all
        }
        Call::Keys { prefix, user } => {
            let mut all = [words(&["keys"]), optional(prefix.as_str())].concat();
            user_option(&mut all, user);
            all
        }
        Call::Scan { prefix, user, keys_only } => {
            let mut all = [words(&["scan"]), optional(prefix.as_str())].concat();
            user_option(&mut all, user);
            all.extend(keys_only.then(|| "--keys-only".to_owned()));
            all
        }
        Call::Auth { user, .. } => {
            let CommandInput::Password(password) = given else {
                return Err(Failure::failed("the password was not read"));
            };
            if password.contains(|c: char| c.is_ascii_whitespace()) {
                return Err(Failure::usage(format!(
                    "the dialect `{NAME}` parts words at blanks: a password with one in it \
                     cannot be sent"
                )));
            }
            words(&["auth", user, password])
        }
        Call::Upgrade { user } => {
            [words(&["upgrade"]), optional(user.as_ref().map_or("", |user| user.as_str()))].concat()
        }
        Call::Downgrade { user, end_sessions } => {
            let mut all = words(&["downgrade", user.as_str()]);
            all.extend(end_sessions.then(|| "--end-sessions".to_owned()));
            all
        }
        Call::WhoAmI => words(&["whoami"]),
        Call::Users => words(&["users"]),
        Call::Accesses => words(&["accesses"]),
        Call::Now => words(&["now"]),
        Call::Info => words(&["info"]),
        Call::Encode { text } => words(&["encode", text]),
        Call::Decode { bits } => {
            [words(&["decode"]), words(&bits.split(' ').collect::<Vec<_>>())].concat()
        }
        Call::Calc { expression } => {
            [words(&["calc"]), words(&expression.split(' ').collect::<Vec<_>>())].concat()
        }
        _ => return Err(unsupported()),
    })
}

fn put_words(put: &PutCall, given: &CommandInput) -> Result<Vec<String>> {
    let mut all =
        vec!["put".to_owned(), put.key.as_str().to_owned(), value(given, NAME)?.to_owned()];
    match put.expiry {
        Some(Expiry::After(ttl)) => {
            all.extend(["--ttl".to_owned(), format!("{}ms", ttl.as_millis())])
        }
        Some(Expiry::At(time)) => {
            let time = i64::try_from(time.as_u64())
                .ok()
                .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
            let time = time.ok_or_else(|| Failure::usage("--expire-time is too far away"))?;
            all.extend(["--expire-time".to_owned(), time.to_string()]);
        }
        None => {}
    }
    add_conditions(&mut all, put.if_revision, put.request_id.as_ref());
    Ok(all)
}

fn add_conditions(all: &mut Vec<String>, if_revision: Option<u64>, request_id: Option<&RequestId>) {
    if let Some(revision) = if_revision {
        all.extend(["--if-revision".to_owned(), revision.to_string()]);
    }
    if let Some(id) = request_id {
        all.extend(["--request-id".to_owned(), id.as_str().to_owned()]);
    }
}

/// A word that may be left out, marked as one where it could be taken for a command or an option.
fn optional(word: &str) -> Vec<String> {
    match word {
        "" => Vec::new(),
        _ if word.starts_with("--") || find(word, Mode::TextProtocol).is_some() => {
            vec!["--".to_owned(), word.to_owned()]
        }
        _ => vec![word.to_owned()],
    }
}

#[cfg(test)]
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it wants, and fails on the rest"
)]
mod tests {
    use super::*;
    use kvrpc::dialect::grammar::{ParsedCommand, parse, split_blanks};
    use kvrpc::model::Value;

    /// A line that is sent means the same to the server.
    #[test]
    fn the_server_reads_what_was_meant() {
        for line in [
            "get city",
            "get -- --odd",
            "put city Kolkata",
            "put code 1234 --ttl 5m --if-revision 3 --request-id r1",
            "put code 1234 --expire-time 2036-01-01T00:00:00Z",
            "getother anuran city",
            "manage 48106 get city",
            "putother anuran city Mumbai --ttl 1s",
            "keys",
            "keys user/ --user anuran",
            "keys -- get",
            "scan -- --x --keys-only",
            "delete city --if-revision 3",
            "upgrade",
            "upgrade -- get",
            "downgrade anuran --end-sessions",
            "whoami",
            "users",
            "accesses",
            "encode comm",
            "decode 01101000 01101001",
            "calc 12 + 13",
            "now",
            "info",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let ParsedCommand { call, .. } = parse(&words, Mode::CommandLine).unwrap().remove(0);
            let given = match &call {
                Call::Put(put) | Call::PutOther { put, .. } => match &put.value {
                    kvrpc::dialect::grammar::InputSource::Text(text) => {
                        CommandInput::Value(Value::text(text.clone()).unwrap())
                    }
                    other => panic!("{other:?}"),
                },
                _ => CommandInput::Nothing,
            };
            let requests = TextClient.encode(&call, &given).unwrap();
            let Message::Text(sent) = &requests[0].message else { panic!("{line}: no text") };
            let words: Vec<&str> = split_blanks(sent).collect();
            let read = parse(&words, Mode::TextProtocol)
                .unwrap_or_else(|wrong| panic!("{line}: {sent:?}: {wrong}"));
            assert_eq!(
                read.into_iter().map(|parsed| parsed.call).collect::<Vec<_>>(),
                [call],
                "{line}: {sent:?}"
            );
        }
    }

    #[test]
    fn what_a_line_cannot_carry_is_refused() {
        let ask = |words: &[&str], value: &str| {
            let parsed = parse(words, Mode::CommandLine).unwrap().remove(0);
            TextClient
                .encode(&parsed.call, &CommandInput::Value(Value::text(value).unwrap()))
                .map(|_| ())
                .unwrap_err()
        };
        for (words, value, part) in [
            (&["put", "city", "New Delhi"][..], "New Delhi", "parts words at blanks"),
            (&["put", "a", "b\nput c d"], "b\nput c d", "parts words at blanks"),
            (&["put", "a", "HTTP/1.1"], "HTTP/1.1", "a web page's request"),
            (&["put", "a", ""], "", "cannot be sent as one word"),
        ] {
            let failure = ask(words, value);
            assert!(failure.message().contains(part), "{words:?}: {}", failure.message());
            assert_eq!(failure.exit, crate::Exit::Usage);
        }
    }
}

//! `ws-text`: a name, then words in messages.

use super::error_text;
use super::protocol_client::{
    ClientHandshake, OutgoingMessage, ProtocolClient, ReplyOutcome, plain_put, say, text,
    unsupported, value,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use kvrpc::dialect::codec::Message;
use kvrpc::dialect::grammar::Call;
use kvrpc::model::{Reason, UserName};

const NAME: &str = "ws-text";

/// The dialect.
#[derive(Default)]
pub(super) struct WsTextClient {
    user: String,
}

impl ProtocolClient for WsTextClient {
    fn handshake(&mut self, user: &UserName) -> Option<ClientHandshake> {
        user.as_str().clone_into(&mut self.user);
        Some(ClientHandshake { message: Message::Text(user.as_str().to_owned()), answered: true })
    }

    fn check_handshake(&self, reply: &Message, user: &UserName) -> Result<()> {
        let name = user.as_str();
        match text(Some(reply)) {
            "success" => Ok(()),
            "duplicate user name" => Err(error_text::name_taken(name)),
            "invalid user name" => Err(Failure::of(
                Reason::InvalidName,
                format!("the server does not allow the name `{name}`"),
            )),
            said => Err(error_text::failure(said.strip_prefix("error: ").unwrap_or(said))),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn encode(&self, call: &Call, given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        let words = match call {
            Call::Get { key } => vec!["get", key.as_str()],
            Call::Put(put) => {
                plain_put(put, NAME)?;
                vec!["put", put.key.as_str(), value(given, NAME)?]
            }
            Call::GetOther { user, key } => vec!["get", user.as_str(), key.as_str()],
            Call::Upgrade { user: None } => vec!["upgrade"],
            Call::Upgrade { user: Some(_) } => {
                return Err(Failure::usage(format!(
                    "the dialect `{NAME}` can upgrade only oneself"
                )));
            }
            _ => return Err(unsupported()),
        };
        match words
            .iter()
            .find(|word| word.is_empty() || word.contains(|c: char| c.is_ascii_whitespace()))
        {
            Some(word) => Err(Failure::usage(format!(
                "the dialect `{NAME}` parts words at blanks and knows no quotes: {word:?} cannot \
                 be sent as one word"
            ))),
            None => Ok(vec![say(words.join(" "))]),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn interpret(&self, call: &Call, replies: &[Message]) -> ReplyOutcome {
        let said = text(replies.first());
        if let Some(sentence) = said.strip_prefix("error: ") {
            return ReplyOutcome::Failed(error_text::failure(sentence));
        }
        // Those that are bytes are so by the dialect.
        let denied = matches!(replies.first(), Some(Message::Binary(_)));
        match (call, said) {
            (_, "wrong message format") => {
                ReplyOutcome::Failed(Failure::usage("the server takes this for no request"))
            }
            (Call::GetOther { .. }, "you are not allowed to access keys of other users")
                if denied =>
            {
                ReplyOutcome::Failed(Failure::of(
                    Reason::ManagerRequired,
                    "only a manager may read another user's store",
                ))
            }
            (Call::GetOther { user, .. }, "user not found") => {
                let message = format!("there is no user {:?}", user.as_str());
                ReplyOutcome::Failed(Failure::of(Reason::UserNotFound, message))
            }
            (Call::Upgrade { .. }, "you are not allowed to upgrade") => ReplyOutcome::Failed(
                Failure::of(Reason::UpgradeNotAllowed, "only a manager may make you one"),
            ),
            (Call::Upgrade { .. }, "upgraded to manager" | "already a manager") => {
                ReplyOutcome::Text(format!("{} (manager)", self.user))
            }
            (Call::Get { .. } | Call::GetOther { .. }, "key not found") => ReplyOutcome::Missing,
            (Call::Get { .. } | Call::GetOther { .. }, _) => replies
                .first()
                .map_or(ReplyOutcome::Missing, |reply| ReplyOutcome::Value(reply.clone())),
            (Call::Put(_), "done") => ReplyOutcome::Done,
            _ => ReplyOutcome::Failed(Failure::failed(format!("the server answered {said:?}"))),
        }
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::Text("q".to_owned()))
    }
}

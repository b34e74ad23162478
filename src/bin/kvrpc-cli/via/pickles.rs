//! `pickle` and `ws-pickle`: a name, then a pickled list of one request a command.

use bytes::BytesMut;

use super::error_text;
use super::protocol_client::{
    ClientHandshake, DecodedReply, OutgoingMessage, ProtocolClient, ReplyOutcome, plain_put, text,
    unsupported, value,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;
use kvrpc::dialect::pickle::{Replies, request};
use kvrpc::model::{Reason, UserName};

/// The dialect, on either transport.
pub(super) struct PickleClient {
    name: &'static str,
    user: String,
    replies: Replies,
}

impl PickleClient {
    pub(super) fn on_tcp() -> Self {
        Self { name: "pickle", user: String::new(), replies: Replies::default() }
    }

    pub(super) fn on_websocket() -> Self {
        Self { name: "ws-pickle", ..Self::on_tcp() }
    }

    /// The one string that a list of one request is answered by.
    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>> {
        match self.replies.next(input) {
            Ok(None) => Ok(None),
            Ok(Some(mut strings)) if strings.len() == 1 => Ok(strings.pop().map(Message::Text)),
            Ok(Some(strings)) => Err(Failure::failed(format!(
                "the server's reply has {} strings where one was asked for",
                strings.len()
            ))),
            Err(why) => Err(Failure::failed(format!("the server's reply is unreadable: {why}"))),
        }
    }
}

impl ProtocolClient for PickleClient {
    fn handshake(&mut self, user: &UserName) -> Option<ClientHandshake> {
        user.as_str().clone_into(&mut self.user);
        Some(ClientHandshake { message: Message::Text(user.as_str().to_owned()), answered: false })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn encode(&self, call: &Call, given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        let pickle = match call {
            Call::Get { key } => request(&[("method", "get"), ("key", key.as_str())]),
            Call::Put(put) => {
                plain_put(put, self.name)?;
                request(&[
                    ("method", "put"),
                    ("key", put.key.as_str()),
                    ("value", value(given, self.name)?),
                ])
            }
            Call::GetOther { user, key } => request(&[
                ("method", "getother"),
                ("username", user.as_str()),
                ("key", key.as_str()),
            ]),
            Call::Upgrade { user: None } => request(&[("method", "upgrade")]),
            Call::Upgrade { user: Some(_) } => {
                return Err(Failure::usage(format!(
                    "the dialect `{}` can upgrade only oneself",
                    self.name
                )));
            }
            _ => return Err(unsupported()),
        };
        Ok(vec![OutgoingMessage { message: Message::Binary(pickle), shown: None }])
    }

    fn decode(
        &mut self,
        _call: Option<&Call>,
        input: &mut BytesMut,
        _event: Input,
    ) -> Result<DecodedReply> {
        Ok(self.next(input)?.map_or(DecodedReply::Incomplete { quiet: None }, DecodedReply::Reply))
    }

    fn message(&mut self, message: Message) -> Result<Message> {
        let mut input = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => BytesMut::from(text.as_bytes()),
        };
        self.next(&mut input)?.ok_or_else(|| Failure::failed("the server's reply is cut short"))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are no commands of this dialect")]
    fn interpret(&self, call: &Call, replies: &[Message]) -> ReplyOutcome {
        let said = text(replies.first());
        if let Some(sentence) = said.strip_prefix("Error: ") {
            return ReplyOutcome::Failed(error_text::failure(sentence));
        }
        match (call, said) {
            (_, "Illegal request") => {
                ReplyOutcome::Failed(Failure::usage("the server takes this for no request"))
            }
            (Call::GetOther { user, .. }, "Invalid username") => {
                let message = format!(
                    "there is no user {:?}, or `{}` is in use already",
                    user.as_str(),
                    self.user
                );
                ReplyOutcome::Failed(Failure::of(Reason::UserNotFound, message))
            }
            (_, "Invalid username") => ReplyOutcome::Failed(error_text::name_taken(&self.user)),
            (Call::GetOther { .. }, "Access Denied") => ReplyOutcome::Failed(Failure::of(
                Reason::ManagerRequired,
                "only a manager may read another user's store",
            )),
            (Call::Upgrade { .. }, "Access Denied") => ReplyOutcome::Failed(Failure::of(
                Reason::UpgradeNotAllowed,
                "only a manager may make you one",
            )),
            (Call::Get { .. } | Call::GetOther { .. }, "Invalid key") => ReplyOutcome::Missing,
            (Call::Get { .. } | Call::GetOther { .. }, _) => {
                ReplyOutcome::Value(Message::Text(said.to_owned()))
            }
            (Call::Put(_), "Successful") => ReplyOutcome::Done,
            (Call::Upgrade { .. }, "mode change successfull") => {
                ReplyOutcome::Text(format!("{} (manager)", self.user))
            }
            _ => ReplyOutcome::Failed(Failure::failed(format!("the server answered {said:?}"))),
        }
    }
}

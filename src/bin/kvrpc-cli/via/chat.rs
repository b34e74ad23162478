//! `chat`: a login name, then lines both ways.

use std::time::Duration;

use bytes::BytesMut;
use serde_json::json;
use tokio::time::timeout;

use super::connection::ProtocolConnection;
use super::error_text;
use super::line;
use super::protocol_client::{
    ClientHandshake, DecodedReply, OutgoingMessage, ProtocolClient, ReplyOutcome, say, unsupported,
};
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use crate::output::{Output, Row};
use crate::script::StdinLines;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;
use kvrpc::model::{LOBBY, Reason, RoomName, UserName};

/// Time for which a refusal of the name is awaited: a name that is taken in gets no answer, and a
/// line that came too early would be the next name.
const REFUSAL: Duration = Duration::from_millis(300);
/// Time for which others' messages are awaited after the last line.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The dialect.
pub(super) struct ChatClient;

impl ProtocolClient for ChatClient {
    fn handshake(&mut self, user: &UserName) -> Option<ClientHandshake> {
        Some(ClientHandshake {
            message: Message::Text(format!("{}\n", user.as_str())),
            answered: false,
        })
    }

    fn encode(&self, _call: &Call, _given: &CommandInput) -> Result<Vec<OutgoingMessage>> {
        Err(unsupported())
    }

    fn decode(
        &mut self,
        _call: Option<&Call>,
        input: &mut BytesMut,
        event: Input,
    ) -> Result<DecodedReply> {
        Ok(line::one(input, event))
    }

    fn interpret(&self, _call: &Call, _replies: &[Message]) -> ReplyOutcome {
        ReplyOutcome::Done
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::Text("quit\n".to_owned()))
    }
}

/// The dialect has one room.
pub(super) fn check(room: &RoomName) -> Result<Vec<OutgoingMessage>> {
    if room.as_str() == LOBBY {
        return Ok(Vec::new());
    }
    Err(Failure::usage(format!(
        "the dialect `chat` has one room, `{LOBBY}`, and none called `{}`",
        room.as_str()
    )))
}

/// Next event of the chat.
enum ChatLine {
    Typed(Option<String>),
    Received(Option<String>),
}

/// Talks until the input ends or the server closes.
pub(super) async fn talk(connection: &mut ProtocolConnection, output: &mut Output) -> Result<()> {
    if let Ok(first) = timeout(REFUSAL, connection.line()).await {
        match first?.as_deref() {
            Some(b"Name is already taken") => {
                return Err(Failure::of(
                    Reason::NameInUse,
                    "the name is in use; take another with --user NAME",
                ));
            }
            Some(b"Invalid name") => {
                return Err(Failure::of(
                    Reason::InvalidName,
                    "the server does not allow the name; see --user",
                ));
            }
            Some(line) => match line.strip_prefix(b"error: ") {
                Some(sentence) => {
                    return Err(error_text::failure(&String::from_utf8_lossy(sentence)));
                }
                None => show(&String::from_utf8_lossy(line), output)?,
            },
            None => return Ok(()),
        }
    }
    let mut lines = StdinLines::default();
    loop {
        let turn = tokio::select! {
            said = lines.next() => {
                let text = said?.map(|line| line.text().map(str::to_owned));
                ChatLine::Typed(text.transpose()?)
            }
            heard = connection.line() => {
                let text = heard?.map(|line| String::from_utf8_lossy(&line).into_owned());
                ChatLine::Received(text)
            }
        };
        match turn {
            ChatLine::Typed(Some(text)) => {
                connection.send(&say(format!("{}\n", text.trim_end_matches(['\r', '\n'])))).await?
            }
            ChatLine::Typed(None) => break,
            ChatLine::Received(Some(line)) => show(&line, output)?,
            ChatLine::Received(None) => return Ok(()),
        }
    }
    while let Ok(Ok(Some(line))) = timeout(LAST_WORDS, connection.line()).await {
        show(&String::from_utf8_lossy(&line), output)?;
    }
    Ok(())
}

fn show(line: &str, output: &mut Output) -> Result<()> {
    Ok(output.result(&Row { text: line.to_owned(), json: json!({ "line": line }) })?)
}

//! `chat`: a login name, then lines both ways.

use std::time::Duration;

use bytes::BytesMut;
use serde_json::json;
use tokio::time::timeout;

use super::line;
use super::link::Link;
use super::speaker::{Answer, Greeting, Request, Speaker, Taken, lacks, say};
use super::words;
use crate::failure::{Failure, Result};
use crate::input::Input as Given;
use crate::output::{Output, Row};
use crate::script::Lines;
use kvrpc::dialect::codec::{Input, Message};
use kvrpc::dialect::grammar::Call;
use kvrpc::model::{LOBBY, Reason, RoomName, UserName};

/// How long a refusal of the name is waited for: a name that is taken in gets no answer, and a line
/// that came too early would be the next name.
const REFUSAL: Duration = Duration::from_millis(300);
/// How long the others' words are waited for once there is nothing more to say.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The dialect.
pub(super) struct Chat;

impl Speaker for Chat {
    fn greeting(&mut self, user: &UserName) -> Option<Greeting> {
        Some(Greeting { message: Message::Text(format!("{}\n", user.as_str())), answered: false })
    }

    fn ask(&self, _call: &Call, _given: &Given) -> Result<Vec<Request>> {
        Err(lacks())
    }

    fn take(&mut self, _call: Option<&Call>, input: &mut BytesMut, event: Input) -> Result<Taken> {
        Ok(line::one(input, event))
    }

    fn read(&self, _call: &Call, _replies: &[Message]) -> Answer {
        Answer::Done
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::Text("quit\n".to_owned()))
    }
}

/// The dialect has one room.
pub(super) fn check(room: &RoomName) -> Result<Vec<Request>> {
    if room.as_str() == LOBBY {
        return Ok(Vec::new());
    }
    Err(Failure::usage(format!(
        "the dialect `chat` has one room, `{LOBBY}`, and none called `{}`",
        room.as_str()
    )))
}

/// What happens next.
enum Turn {
    Said(Option<String>),
    Heard(Option<String>),
}

/// Talks until the input ends or the server closes.
pub(super) async fn talk(link: &mut Link, output: &mut Output) -> Result<()> {
    if let Ok(first) = timeout(REFUSAL, link.line()).await {
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
                Some(sentence) => return Err(words::sentence(&String::from_utf8_lossy(sentence))),
                None => show(&String::from_utf8_lossy(line), output)?,
            },
            None => return Ok(()),
        }
    }
    let mut lines = Lines::default();
    loop {
        let turn = tokio::select! {
            said = lines.next() => Turn::Said(said?.map(|line| line.text().map(str::to_owned)).transpose()?),
            heard = link.line() => Turn::Heard(heard?.map(|line| String::from_utf8_lossy(&line).into_owned())),
        };
        match turn {
            Turn::Said(Some(text)) => {
                link.send(&say(format!("{}\n", text.trim_end_matches(['\r', '\n'])))).await?
            }
            Turn::Said(None) => break,
            Turn::Heard(Some(line)) => show(&line, output)?,
            Turn::Heard(None) => return Ok(()),
        }
    }
    while let Ok(Ok(Some(line))) = timeout(LAST_WORDS, link.line()).await {
        show(&String::from_utf8_lossy(&line), output)?;
    }
    Ok(())
}

fn show(line: &str, output: &mut Output) -> Result<()> {
    Ok(output.result(&Row { text: line.to_owned(), json: json!({ "line": line }) })?)
}

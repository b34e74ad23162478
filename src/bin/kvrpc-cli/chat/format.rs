//! Meaning of a typed line, and text of an event.

use std::fmt::Write as _;

use serde_json::json;

use crate::convert;
use crate::output::Row;
use kvrpc::dialect::sanitize;
use kvrpc::model::RoomName;
use kvrpc::pb::v1::chat_response::Event;
use kvrpc::pb::v1::{ChatResponse, User};

pub(super) const HELP: &str = "\
/who         who is here
/rooms       which rooms there are
/join ROOM   go to another room
/quit        leave, as Ctrl-D does
//TEXT       say /TEXT";

/// A line that was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TypedLine {
    Nothing,
    Text(String),
    Who,
    Rooms,
    Join(RoomName),
    Quit,
    Help,
    /// No command, or one with a wrong word; why.
    Invalid(String),
}

impl TypedLine {
    pub(super) fn of(line: &str) -> Self {
        let line = line.trim_end_matches(['\r', '\n']);
        let Some(command) = line.strip_prefix('/') else {
            return if line.trim().is_empty() {
                Self::Nothing
            } else {
                Self::Text(line.to_owned())
            };
        };
        if command.starts_with('/') {
            return Self::Text(command.to_owned());
        }
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("who", "") => Self::Who,
            ("rooms", "") => Self::Rooms,
            ("quit" | "exit", "") => Self::Quit,
            ("help" | "?", "") => Self::Help,
            ("join", room) => RoomName::new(room)
                .map_or_else(|error| Self::Invalid(error.to_string()), Self::Join),
            _ => Self::Invalid(format!("`/{name}` is no command here; /help lists them")),
        }
    }
}

/// A user's name as it may be shown.
pub(super) fn name(user: Option<&User>) -> String {
    user.map_or_else(|| "?".to_owned(), |user| sanitize::text(&user.name).into_owned())
}

/// An event for a terminal: the time, the name in its colour, the text.
pub(super) fn on_screen(event: &Event, colours: bool) -> Option<String> {
    let coloured = |user: Option<&User>| {
        let name = name(user);
        if colours { format!("\x1b[{}m{name}\x1b[0m", colour(&name)) } else { name }
    };
    let dim = |text: String| if colours { format!("\x1b[2m{text}\x1b[0m") } else { text };
    Some(match event {
        Event::Message(message) => {
            let time = dim(message.send_time.as_ref().map(clock).unwrap_or_default());
            format!("{time} {}: {}", coloured(message.user.as_ref()), sanitize::text(&message.text))
        }
        Event::Joined(joined) => {
            format!("{} {}", coloured(joined.user.as_ref()), dim("has joined".to_owned()))
        }
        Event::Left(left) => {
            format!("{} {}", coloured(left.user.as_ref()), dim("has left".to_owned()))
        }
        Event::Gap(_) => dim("- some of what was said is missing here -".to_owned()),
        Event::Rejected(rejected) => format!("not sent: {}", sanitize::text(&rejected.message)),
        Event::Welcome(_) | Event::Ack(_) | Event::Heartbeat(_) | Event::Closing(_) => return None,
    })
}

/// An event as a row of an output: text for what was said, JSON for all that happened.
pub(super) fn as_row(response: &ChatResponse) -> Option<Row> {
    let sequence = response.position.map_or(0, |position| position.sequence);
    let named = |user: &Option<User>| user.as_ref().map(|user| user.name.clone());
    let mut text = String::new();
    let json = match response.event.as_ref()? {
        Event::Message(message) => {
            // A line is one message, whatever is in it.
            let _ =
                write!(text, "{}: {}", name(message.user.as_ref()), sanitize::text(&message.text));
            json!({
                "event": "message",
                "sequence": sequence,
                "user": named(&message.user),
                "text": message.text,
                "send_time": convert::time(message.send_time),
            })
        }
        Event::Joined(joined) => {
            json!({ "event": "joined", "sequence": sequence, "user": named(&joined.user) })
        }
        Event::Left(left) => {
            json!({ "event": "left", "sequence": sequence, "user": named(&left.user) })
        }
        Event::Gap(_) => json!({ "event": "gap", "sequence": sequence }),
        Event::Welcome(_)
        | Event::Ack(_)
        | Event::Rejected(_)
        | Event::Heartbeat(_)
        | Event::Closing(_) => {
            return None;
        }
    };
    Some(Row { text, json })
}

/// The time of day, where the person is.
fn clock(time: &prost_types::Timestamp) -> String {
    let time = jiff::Timestamp::new(time.seconds, time.nanos).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M").to_string()
}

/// One of the colours that can be read on dark and on light: always the same for a name (FNV-1a,
/// whose values do not change).
fn colour(name: &str) -> u8 {
    const COLOURS: [u8; 10] = [31, 32, 33, 34, 35, 36, 91, 92, 94, 95];
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    COLOURS.get(usize::try_from(hash % 10).unwrap_or_default()).copied().unwrap_or(36)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvrpc::pb::v1::{Message, Role};

    #[test]
    fn lines_are_texts_or_commands() {
        let room = |name: &str| RoomName::new(name).unwrap();
        for (line, want) in [
            ("hello /who\n", TypedLine::Text("hello /who".to_owned())),
            ("  \r\n", TypedLine::Nothing),
            ("/who", TypedLine::Who),
            ("/rooms ", TypedLine::Rooms),
            ("/join tea time", TypedLine::Join(room("tea time"))),
            ("/join", TypedLine::Join(room("lobby"))),
            ("/quit", TypedLine::Quit),
            ("/help", TypedLine::Help),
            ("//quit", TypedLine::Text("/quit".to_owned())),
            (
                "/dance",
                TypedLine::Invalid("`/dance` is no command here; /help lists them".to_owned()),
            ),
        ] {
            assert_eq!(TypedLine::of(line), want, "{line:?}");
        }
        assert!(matches!(TypedLine::of("/join a\u{202e}"), TypedLine::Invalid(_)));
    }

    #[test]
    fn nothing_from_others_gives_a_terminal_orders() {
        let user = Some(User { name: "a\u{1b}[2J".to_owned(), role: Role::Guest.into() });
        let message = Message { user, text: "x\ny\u{202e}z".to_owned(), send_time: None };
        let event = Event::Message(message);
        assert_eq!(on_screen(&event, false).unwrap(), " a\\u{1b}[2J: x\\u{a}y\\u{202e}z");
        let row = as_row(&ChatResponse { position: None, event: Some(event) }).unwrap();
        assert_eq!(row.text, "a\\u{1b}[2J: x\\u{a}y\\u{202e}z");
    }

    #[test]
    fn a_name_keeps_its_colour() {
        assert_eq!((colour("adam"), colour("anuran")), (colour("adam"), colour("anuran")));
        let all: std::collections::HashSet<_> =
            (0..100).map(|number| colour(&format!("user {number}"))).collect();
        assert_eq!(all.len(), 10);
    }
}

//! Replies as the command line prints them.

use super::info;
use super::slot::BLANK;
use crate::model::{Key, Millis, Reply, User, Value};

/// A reply that is no listing.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other replies print nothing")]
pub(super) fn reply(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Get(entry) | Reply::GetOther(entry) => return entry.value.as_bytes().to_vec(),
        Reply::Delete(done) => if done.deleted { "deleted" } else { BLANK }.to_owned(),
        Reply::Upgrade(user) | Reply::Downgrade(user) => named(&user),
        Reply::WhoAmI(identity) => named(&identity.user),
        Reply::Encode(text) | Reply::Decode(text) => text,
        Reply::Calculate(calculated) => calculated.text,
        Reply::Now(time) => format!("{} {}", time.date, time.time_of_day),
        Reply::GetServerInfo(server) => info::print(&server),
        // Writes and Auth have words of their own, listings their rows; the rest answers no command
        // of this protocol.
        _ => String::new(),
    }
    .into_bytes()
}

fn named(user: &User) -> String {
    format!("{} ({})", user.name, user.role.as_str())
}

/// An entry in a line among others.
pub(super) fn in_line(key: &Key, value: Option<&Value>) -> String {
    let key = key.as_str();
    match value.map(|value| value.as_text().ok_or(value)) {
        Some(Ok(text)) => format!("{key}  {text}"),
        Some(Err(blob)) => format!("{key}  <blob of {} bytes>", blob.as_bytes().len()),
        None => key.to_owned(),
    }
}

/// A time as `2026-11-21T18:00:00Z`, without the parts of a second.
pub(super) fn seconds(time: Millis) -> String {
    let time = i64::try_from(time / 1_000)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

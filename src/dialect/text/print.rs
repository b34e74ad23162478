//! Replies as the command line prints them.

use super::info;
use super::slot::BLANK;
use crate::model::{Key, Reply, UnixMillis, User, Value};

/// A reply that is no listing.
pub(super) fn reply(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Entry(entry) => return entry.value.as_bytes().to_vec(),
        Reply::Delete { deleted, .. } => if deleted { "deleted" } else { BLANK }.to_owned(),
        Reply::User(user) | Reply::WhoAmI { user, .. } => named(&user),
        Reply::Encoded { bits: text }
        | Reply::Decoded { text }
        | Reply::Calculated { text, .. } => text,
        Reply::Now { date, time_of_day, .. } => format!("{date} {time_of_day}"),
        Reply::ServerInfo(server) => info::print(&server),
        // Those of writes and of Auth have words of their own, listings their rows; the rest
        // answers no command here.
        Reply::Put { .. }
        | Reply::Session(_)
        | Reply::Keys { .. }
        | Reply::Entries { .. }
        | Reply::Users { .. }
        | Reply::Accesses { .. }
        | Reply::Batch { .. }
        | Reply::Sent { .. }
        | Reply::Members { .. }
        | Reply::Rooms { .. }
        | Reply::SignedOut => String::new(),
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
pub(super) fn seconds(time: UnixMillis) -> String {
    let time = i64::try_from(time.as_u64() / 1_000)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

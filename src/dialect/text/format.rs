//! Replies in the form in which the command line prints them.

use super::info;
use crate::dialect::render::{BLANK, in_line};
use crate::dialect::sanitize;
use crate::model::{Key, Reply, UnixMillis, User, Value};

/// Returns the text of a reply that is not a listing.
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
        // Writes and Auth have their own wording (`reply_part`), listings their rows (`listing`);
        // the other replies belong to commands that this protocol lacks.
        _ => String::new(),
    }
    .into_bytes()
}

fn named(user: &User) -> String {
    format!("{} ({})", sanitize::text(&user.name), user.role.as_str())
}

/// Returns an entry as a line of a listing; without a value it is the key alone.
pub(super) fn entry_line(key: &Key, value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("{}  {}", key.as_str(), in_line(value)),
        None => key.as_str().to_owned(),
    }
}

/// Returns a time in UTC as `2026-11-21T18:00:00Z`, without fractions of a second.
pub(super) fn seconds(time: UnixMillis) -> String {
    let time = i64::try_from(time.as_u64() / 1_000)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

//! Listings of several pages, collected into one reply.

use super::{PREFIX, format};
use crate::dialect::codec::MAX_REPLY_BYTES;
pub(super) use crate::dialect::render::aligned;
use crate::dialect::{error_text, sanitize};
use crate::model::{Access, Command, EntryPage, KeyPage, ListedEntry, Listing, Reply, User};

/// Rows collected so far.
#[derive(Default)]
pub(super) struct ListingReply {
    // Form of the rows; `None` before the first page.
    layout: Option<Layout>,
    rows: Vec<Vec<String>>,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Layout {
    /// Rows are sorted at the end, since pages are not in order.
    Sorted,
    AsTheyCome,
    Table(&'static [&'static str]),
}

const USERS: &[&str] = &["USER", "ROLE"];
const ACCESSES: &[&str] =
    &["USER", "ROLE", "ACCOUNT", "PROTOCOL", "METHOD", "KEY", "COUNT", "FIRST", "LAST"];

impl ListingReply {
    /// Adds a page of the listing that `command` requested, and returns the command for the next
    /// page. Returns `None` after the last page, when the listing has exceeded its limit, or if the
    /// reply is not a page of a listing.
    pub(super) fn add(&mut self, reply: &Reply, command: Option<&Command>) -> Option<Command> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "only listings have pages")]
        let next = match reply {
            Reply::ListKeys(KeyPage { keys, next_page_token, .. }) => {
                self.extend(Layout::Sorted, keys.iter().map(|key| vec![key.as_str().to_owned()]));
                Some(next_page_token.clone()).filter(|token| !token.is_empty())
            }
            Reply::Scan(EntryPage { entries, cursor, .. }) => {
                let line =
                    |row: &ListedEntry| vec![format::entry_line(&row.key, row.value.as_ref())];
                self.extend(Layout::AsTheyCome, entries.iter().map(line));
                cursor.clone()
            }
            Reply::ListUsers(Listing { rows, next_page_token }) => {
                self.extend(Layout::Table(USERS), rows.iter().map(user));
                Some(next_page_token.clone()).filter(|token| !token.is_empty())
            }
            Reply::ListAccesses(Listing { rows, next_page_token }) => {
                self.extend(Layout::Table(ACCESSES), rows.iter().map(access));
                Some(next_page_token.clone()).filter(|token| !token.is_empty())
            }
            _ => return None,
        };
        if self.bytes > MAX_REPLY_BYTES { None } else { after(command?, next?) }
    }

    fn extend(&mut self, layout: Layout, rows: impl Iterator<Item = Vec<String>>) {
        self.layout = Some(layout);
        for row in rows {
            self.bytes += row.iter().map(String::len).sum::<usize>();
            self.rows.push(row);
        }
    }

    /// Returns the whole listing, or `None` if there was no page.
    pub(super) fn print(mut self) -> Option<String> {
        let layout = self.layout?;
        if self.bytes > MAX_REPLY_BYTES {
            return Some(format!("{PREFIX}{}", error_text::REPLY_TOO_LONG));
        }
        Some(match layout {
            Layout::Sorted => {
                self.rows.sort_unstable();
                self.rows.concat().join("\n")
            }
            Layout::AsTheyCome => self.rows.concat().join("\n"),
            Layout::Table(heads) => aligned(heads, self.rows),
        })
    }
}

/// Returns the command for the page after the one that returned `token`.
fn after(command: &Command, token: String) -> Option<Command> {
    let mut command = command.clone();
    #[allow(clippy::wildcard_enum_match_arm, reason = "only listings have pages")]
    match &mut command {
        Command::ListKeys(listing) => listing.page.token = token,
        Command::ListUsers(listing) => listing.page.token = token,
        Command::ListAccesses(listing) => listing.page.token = token,
        Command::Scan(scan) => scan.cursor = Some(token),
        _ => return None,
    }
    Some(command)
}

fn user(user: &User) -> Vec<String> {
    vec![sanitize::text(&user.name).into_owned(), user.role.as_str().to_owned()]
}

fn access(access: &Access) -> Vec<String> {
    vec![
        sanitize::text(&access.user.name).into_owned(),
        access.user.role.as_str().to_owned(),
        sanitize::text(&access.account).into_owned(),
        access.protocol.to_string(),
        access.method.to_owned(),
        sanitize::text(&access.key).into_owned(),
        access.count.to_string(),
        format::seconds(access.first_time),
        format::seconds(access.last_time),
    ]
}

//! Listings of several pages, gathered into one reply.

use comfy_table::{Table, presets};

use super::{PREFIX, print};
use crate::dialect::codec::MAX_REPLY_BYTES;
use crate::dialect::words;
use crate::model::{Access, Command, ListedEntry, Page, Reply, User};

/// The rows so far.
#[derive(Default)]
pub(super) struct Listing {
    // What the rows are; `None` before the first page.
    kind: Option<Kind>,
    rows: Vec<Vec<String>>,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Pages do not come in order.
    Sorted,
    AsTheyCome,
    Table(&'static [&'static str]),
}

const USERS: &[&str] = &["USER", "ROLE"];
const ACCESSES: &[&str] =
    &["USER", "ROLE", "ACCOUNT", "DOOR", "METHOD", "KEY", "COUNT", "FIRST", "LAST"];

impl Listing {
    /// Adds a page of what `command` asked for, and gives the command for the next; `None` when it
    /// was the last, the listing has become too long, or the reply is none of a listing.
    pub(super) fn add(&mut self, reply: &Reply, command: Option<&Command>) -> Option<Command> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "only listings have pages")]
        let next = match reply {
            Reply::Keys { keys, next_page_token, .. } => {
                self.extend(Kind::Sorted, keys.iter().map(|key| vec![key.as_str().to_owned()]));
                Some(next_page_token.clone()).filter(|token| !token.is_empty())
            }
            Reply::Entries { entries, cursor, .. } => {
                let line = |row: &ListedEntry| vec![print::in_line(&row.key, row.value.as_ref())];
                self.extend(Kind::AsTheyCome, entries.iter().map(line));
                cursor.clone()
            }
            Reply::Users { users, next_page_token } => {
                self.extend(Kind::Table(USERS), users.iter().map(user));
                Some(next_page_token.clone()).filter(|token| !token.is_empty())
            }
            Reply::Accesses { accesses, next_page_token } => {
                self.extend(Kind::Table(ACCESSES), accesses.iter().map(access));
                Some(next_page_token.clone()).filter(|token| !token.is_empty())
            }
            _ => return None,
        };
        if self.bytes > MAX_REPLY_BYTES { None } else { after(command?, next?) }
    }

    fn extend(&mut self, kind: Kind, rows: impl Iterator<Item = Vec<String>>) {
        self.kind = Some(kind);
        for row in rows {
            self.bytes += row.iter().map(String::len).sum::<usize>();
            self.rows.push(row);
        }
    }

    /// The whole listing; `None` if there was no page.
    pub(super) fn print(mut self) -> Option<String> {
        let kind = self.kind?;
        if self.bytes > MAX_REPLY_BYTES {
            return Some(format!("{PREFIX}{}", words::REPLY_TOO_LONG));
        }
        Some(match kind {
            Kind::Sorted => {
                self.rows.sort_unstable();
                self.rows.concat().join("\n")
            }
            Kind::AsTheyCome => self.rows.concat().join("\n"),
            Kind::Table(heads) => aligned(heads, self.rows),
        })
    }
}

/// The same command, for what comes after the page that gave `token`.
fn after(command: &Command, token: String) -> Option<Command> {
    let mut command = command.clone();
    #[allow(clippy::wildcard_enum_match_arm, reason = "only listings have pages")]
    match &mut command {
        Command::ListKeys { page, .. }
        | Command::ListUsers { page }
        | Command::ListAccesses { page } => {
            *page = Page { token, ..page.clone() };
        }
        Command::Scan { cursor, .. } => *cursor = Some(token),
        _ => return None,
    }
    Some(command)
}

/// Columns under their heads, as the command line aligns them.
pub(super) fn aligned(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !heads.is_empty() {
        table.set_header(heads.iter().copied());
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn user(user: &User) -> Vec<String> {
    vec![user.name.clone(), user.role.as_str().to_owned()]
}

fn access(access: &Access) -> Vec<String> {
    vec![
        access.user.name.clone(),
        access.user.role.as_str().to_owned(),
        access.account.clone(),
        access.door.to_string(),
        access.method.to_owned(),
        access.key.clone(),
        access.count.to_string(),
        print::seconds(access.first_time),
        print::seconds(access.last_time),
    ]
}

//! Listings: pages of keys, and scans step by step.

use super::Service;
use super::authorize::Caller;
use super::method::Method;
use super::page_token::Question;
use super::user::User;
use crate::model::{
    DEFAULT_PAGE_SIZE, Error, Key, MAX_PAGE_SIZE, Page, Position, Prefix, Reason, Reply, Result,
    UserName,
};
use crate::store::{ListQuery, Listed, Store};

/// A step of a scan is one message: small enough to flow, large enough to be worth it.
const SCAN_BYTES: usize = 64 << 10;
const SCAN_ROWS: usize = 1_000;
/// The keys of a page at most: 1,000 of the longest fit.
const PAGE_BYTES: usize = 2 << 20;

/// How many rows a page has.
pub(super) fn page_size(page: &Page) -> usize {
    let size = if page.size == 0 { DEFAULT_PAGE_SIZE } else { page.size.min(MAX_PAGE_SIZE) };
    size as usize
}

/// Where a listing stands between two pages: where the store stood at its start, and the last row
/// looked at.
struct Cursor {
    start: Position,
    after: Key,
}

impl Cursor {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.after.as_str().len());
        bytes.extend_from_slice(&self.start.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.start.sequence.to_le_bytes());
        bytes.extend_from_slice(self.after.as_str().as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let unreadable = || Error::internal("a sealed page token holds no cursor");
        let (epoch, rest) = bytes.split_first_chunk().ok_or_else(unreadable)?;
        let (sequence, key) = rest.split_first_chunk().ok_or_else(unreadable)?;
        let start =
            Position { epoch: u64::from_le_bytes(*epoch), sequence: u64::from_le_bytes(*sequence) };
        let key = std::str::from_utf8(key).map_err(Error::internal)?;
        Ok(Self { start, after: Key::new(key)? })
    }
}

/// Which rows a page or step wants, and where the listing is sealed for.
struct Wanted<'a> {
    question: Question<'a>,
    prefix: &'a Prefix,
    token: &'a str,
    max_rows: usize,
    max_bytes: usize,
    keys_only: bool,
}

impl Service {
    pub(super) async fn list_keys(
        &self,
        caller: &Caller,
        user: Option<&UserName>,
        prefix: &Prefix,
        page: &Page,
    ) -> Result<Reply> {
        let method = Method::ListKeys;
        let owner = self.authorize(caller, method, user).await?;
        self.record_access(caller, &owner, method, prefix.as_str()).await?;
        let question = Question { method: method.name(), owner: owner.id, prefix: prefix.as_str() };
        let wanted = Wanted {
            question,
            prefix,
            token: &page.token,
            max_rows: page_size(page),
            max_bytes: PAGE_BYTES,
            keys_only: true,
        };
        let (listed, next_page_token, position) = self.rows(&owner, wanted).await?;
        let keys = listed.rows.into_iter().map(|row| row.key).collect();
        Ok(Reply::Keys { keys, next_page_token, position })
    }

    pub(super) async fn scan(
        &self,
        caller: &Caller,
        user: Option<&UserName>,
        prefix: &Prefix,
        keys_only: bool,
        cursor: Option<&str>,
    ) -> Result<Reply> {
        let method = Method::Scan;
        let owner = self.authorize(caller, method, user).await?;
        if cursor.is_none() {
            self.record_access(caller, &owner, method, prefix.as_str()).await?;
        }
        let question = Question { method: method.name(), owner: owner.id, prefix: prefix.as_str() };
        let wanted = Wanted {
            question,
            prefix,
            token: cursor.unwrap_or_default(),
            max_rows: SCAN_ROWS,
            max_bytes: SCAN_BYTES,
            keys_only,
        };
        let (listed, next, position) = self.rows(&owner, wanted).await?;
        let cursor = Some(next).filter(|next| !next.is_empty());
        Ok(Reply::Entries { entries: listed.rows, cursor, position })
    }

    async fn rows(&self, owner: &User, wanted: Wanted<'_>) -> Result<(Listed, String, Position)> {
        let Wanted { question, prefix, token, max_rows, max_bytes, keys_only } = wanted;
        let cursor = match token {
            "" => None,
            token => Some(Cursor::from_bytes(&self.page_tokens.open(&question, token)?)?),
        };
        let after = cursor.as_ref().map(|cursor| &cursor.after);
        let mut listed =
            owner.store.list(ListQuery { prefix, after, max_rows, max_bytes, keys_only }).await?;
        let start = cursor.map_or(listed.position, |cursor| cursor.start);
        let token = match listed.next.take() {
            Some(after) => self.page_tokens.seal(&question, &Cursor { start, after }.to_bytes())?,
            None => String::new(),
        };
        Ok((listed, token, start))
    }

    pub(super) async fn list_users(&self, caller: &Caller, page: &Page) -> Result<Reply> {
        self.authorize_own(caller, Method::ListUsers)?;
        let question = Question { method: Method::ListUsers.name(), owner: 0, prefix: "" };
        let after = self.open_number(&question, &page.token)?.unwrap_or(0);
        let size = page_size(page);
        if let Some(shared) = &self.shared {
            let mut found = shared.users_behind(after, size + 1).await?;
            let next_page_token = self.next_token(&question, &mut found, size)?;
            return Ok(Reply::Users {
                users: found.into_iter().filter_map(|(_, user)| user).collect(),
                next_page_token,
            });
        }
        let mut found: Vec<_> =
            self.directory.page(after, size + 1).into_iter().map(|user| (user.id, user)).collect();
        let next_page_token = self.next_token(&question, &mut found, size)?;
        let now = self.clock.now();
        let live = found.iter().map(|(_, user)| user).filter(|user| user.is_there(now));
        Ok(Reply::Users { users: live.map(|user| user.view()).collect(), next_page_token })
    }

    pub(super) async fn list_accesses(&self, caller: &Caller, page: &Page) -> Result<Reply> {
        let owner = self.authorize_own(caller, Method::ListAccesses)?;
        let question =
            Question { method: Method::ListAccesses.name(), owner: owner.id, prefix: "" };
        let before = self.open_number(&question, &page.token)?;
        let (accesses, next) = match &self.shared {
            None => owner.accesses().page(before, page_size(page)),
            Some(shared) => shared.accesses(&owner, before, page_size(page)).await?,
        };
        let next_page_token = match next {
            Some(order) => self.page_tokens.seal(&question, &order.to_le_bytes())?,
            None => String::new(),
        };
        Ok(Reply::Accesses { accesses, next_page_token })
    }

    /// Cuts a page of rows with their numbers to its size, and gives the token of the next one;
    /// empty without one.
    pub(super) fn next_token<T>(
        &self,
        question: &Question<'_>,
        found: &mut Vec<(u64, T)>,
        size: usize,
    ) -> Result<String> {
        let more = found.len() > size;
        found.truncate(size);
        match found.last() {
            Some((last, _)) if more => self.page_tokens.seal(question, &last.to_le_bytes()),
            Some(_) | None => Ok(String::new()),
        }
    }

    pub(super) fn open_number(&self, question: &Question<'_>, token: &str) -> Result<Option<u64>> {
        if token.is_empty() {
            return Ok(None);
        }
        let state = self.page_tokens.open(question, token)?;
        let bytes = state.try_into().map_err(|_| {
            Error::new(Reason::InvalidPageToken, "page_token is not one of this listing")
                .in_field("page_token")
        })?;
        Ok(Some(u64::from_le_bytes(bytes)))
    }
}

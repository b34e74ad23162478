//! Listings: pages of keys, and scans step by step.

use super::Service;
use super::authorize::{Handle, Subject};
use super::page_token::TokenScope;
use super::user::User as Owner;
use crate::model::request::{ListAccesses, ListKeys, ListUsers, Scan};
use crate::model::{
    Access, DEFAULT_PAGE_SIZE, EntryPage, Error, Key, KeyPage, Listing, MAX_PAGE_SIZE, Page,
    Position, Prefix, Reason, Result, User,
};
use crate::store::{ListParts, ListQuery, Listed, Store};

/// Maximum size of one message of a scan, in bytes.
const SCAN_BYTES: usize = 64 << 10;
const SCAN_ROWS: usize = 1_000;
/// Maximum size of a page of keys, in bytes: 1,000 of the longest fit.
const PAGE_BYTES: usize = 2 << 20;

/// Returns the number of rows of a page.
pub(super) fn page_size(page: &Page) -> usize {
    let size = if page.size == 0 { DEFAULT_PAGE_SIZE } else { page.size.min(MAX_PAGE_SIZE) };
    size as usize
}

/// State of a listing between two pages: the store's position at its start, and the last row
/// examined.
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

/// Rows that a page or a scan step asks for, and the listing that its token belongs to.
struct Wanted<'a> {
    scope: TokenScope<'a>,
    prefix: &'a Prefix,
    token: &'a str,
    max_rows: usize,
    max_bytes: usize,
    parts: ListParts,
}

impl Handle<ListKeys> for Service {
    async fn handle(&self, subject: Subject<'_>, request: ListKeys) -> Result<KeyPage> {
        let ListKeys { prefix, page, .. } = request;
        let owner = self.owner(&subject).await?;
        self.record_access(&subject, &owner, prefix.as_str()).await?;
        let method = subject.method().name();
        let scope = TokenScope { method, owner: owner.id, prefix: prefix.as_str() };
        let wanted = Wanted {
            scope,
            prefix: &prefix,
            token: &page.token,
            max_rows: page_size(&page),
            max_bytes: PAGE_BYTES,
            parts: ListParts::Keys,
        };
        let (listed, next_page_token, position) = self.rows(&owner, wanted).await?;
        let keys = listed.rows.into_iter().map(|row| row.key).collect();
        Ok(KeyPage { keys, next_page_token, position })
    }
}

impl Handle<Scan> for Service {
    async fn handle(&self, subject: Subject<'_>, request: Scan) -> Result<EntryPage> {
        let Scan { prefix, keys_only, page_token, cursor, .. } = request;
        let owner = self.owner(&subject).await?;
        // A scan that resumes another is an access of its own: the token may be somebody else's.
        if cursor.is_none() {
            self.record_access(&subject, &owner, prefix.as_str()).await?;
        }
        let method = subject.method().name();
        let scope = TokenScope { method, owner: owner.id, prefix: prefix.as_str() };
        let wanted = Wanted {
            scope,
            prefix: &prefix,
            token: cursor.as_deref().unwrap_or(&page_token),
            max_rows: SCAN_ROWS,
            max_bytes: SCAN_BYTES,
            parts: if keys_only { ListParts::Headers } else { ListParts::Entries },
        };
        let (listed, next, position) = self.rows(&owner, wanted).await?;
        let cursor = Some(next).filter(|next| !next.is_empty());
        Ok(EntryPage { entries: listed.rows, cursor, position })
    }
}

impl Handle<ListUsers> for Service {
    async fn handle(&self, subject: Subject<'_>, request: ListUsers) -> Result<Listing<User>> {
        let page = request.page;
        let scope = TokenScope { method: subject.method().name(), owner: 0, prefix: "" };
        let after = self.open_number(&scope, &page.token)?.unwrap_or(0);
        let size = page_size(&page);
        let mut found = self.registry.users_after(after, size + 1).await?;
        let next_page_token = self.next_token(&scope, &mut found, size)?;
        Ok(Listing {
            rows: found.into_iter().filter_map(|(_, user)| user).collect(),
            next_page_token,
        })
    }
}

impl Handle<ListAccesses> for Service {
    async fn handle(&self, subject: Subject<'_>, request: ListAccesses) -> Result<Listing<Access>> {
        let (owner, page) = (&subject.session()?.user, request.page);
        let scope = TokenScope { method: subject.method().name(), owner: owner.id, prefix: "" };
        let before = self.open_number(&scope, &page.token)?;
        let (rows, next) = self.registry.accesses(owner, before, page_size(&page)).await?;
        let next_page_token = match next {
            Some(order) => self.page_tokens.seal(&scope, &order.to_le_bytes())?,
            None => String::new(),
        };
        Ok(Listing { rows, next_page_token })
    }
}

impl Service {
    async fn rows(&self, owner: &Owner, wanted: Wanted<'_>) -> Result<(Listed, String, Position)> {
        let Wanted { scope, prefix, token, max_rows, max_bytes, parts } = wanted;
        let cursor = match token {
            "" => None,
            token => Some(Cursor::from_bytes(&self.page_tokens.open(&scope, token)?)?),
        };
        let after = cursor.as_ref().map(|cursor| &cursor.after);
        let mut listed =
            owner.store.list(ListQuery { prefix, after, max_rows, max_bytes, parts }).await?;
        let start = cursor.map_or(listed.position, |cursor| cursor.start);
        let token = match listed.next.take() {
            Some(after) => self.page_tokens.seal(&scope, &Cursor { start, after }.to_bytes())?,
            None => String::new(),
        };
        Ok((listed, token, start))
    }

    /// Truncates a page of numbered rows to its size. Returns the token of the next page, or an
    /// empty one.
    pub(super) fn next_token<T>(
        &self,
        scope: &TokenScope<'_>,
        found: &mut Vec<(u64, T)>,
        size: usize,
    ) -> Result<String> {
        let more = found.len() > size;
        found.truncate(size);
        match found.last() {
            Some((last, _)) if more => self.page_tokens.seal(scope, &last.to_le_bytes()),
            Some(_) | None => Ok(String::new()),
        }
    }

    pub(super) fn open_number(&self, scope: &TokenScope<'_>, token: &str) -> Result<Option<u64>> {
        if token.is_empty() {
            return Ok(None);
        }
        let state = self.page_tokens.open(scope, token)?;
        let bytes = state.try_into().map_err(|_| {
            Error::new(Reason::InvalidPageToken, "page_token is not one of this listing")
                .in_field("page_token")
        })?;
        Ok(Some(u64::from_le_bytes(bytes)))
    }
}

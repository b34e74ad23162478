//! Operations of a batch, which stay in the message that they came in.

use std::fmt;

use bytes::Bytes;

use super::{Delete, Expiry, Operation, Put, Result, UnixMillis, key, value};

/// Operations of a batch.
///
/// Keys and values stay in the message that they came in; an operation is a row of offsets into it.
/// So a thousand operations are one allocation, and no key or value is moved on the way to the
/// store.
#[derive(Clone, Default)]
pub struct Operations {
    message: Bytes,
    /// Keys and values that are not in the message. Their offsets count on from its end.
    more: Vec<u8>,
    rows: Vec<OperationRow>,
    /// Fields that few operations have, in the order of their rows.
    extras: Vec<OperationExtra>,
    /// Bytes of all keys and values.
    bytes: usize,
}

#[derive(Clone, Copy)]
struct OperationRow {
    key_at: usize,
    value_at: usize,
    value_len: u32,
    key_len: u16,
    kind: OperationKind,
    has_extra: bool,
}

#[derive(Clone, Copy)]
enum OperationKind {
    Get,
    PutText,
    PutBlob,
    Delete,
}

#[derive(Clone, Copy)]
struct OperationExtra {
    operation: usize,
    expiry: Option<Expiry>,
    expire_time: Option<UnixMillis>,
    if_revision: Option<u64>,
}

/// Borrowed view of one of [`Operations`]. Keys are the bytes of a [`Key`](super::Key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the operation of its name")]
pub enum OperationRef<'a> {
    Get { key: &'a [u8] },
    Put(PutRef<'a>),
    Delete { key: &'a [u8], if_revision: Option<u64> },
}

/// Borrowed view of a put, with its expiry resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutRef<'a> {
    /// Bytes of the [`Key`](super::Key).
    pub key: &'a [u8],
    /// Bytes of the value: UTF-8 if it is text.
    pub value: &'a [u8],
    /// True if the value is put as text.
    pub text: bool,
    /// Expiry as it was asked for; `None`: never, or only `expire_time` is known.
    pub expiry: Option<Expiry>,
    /// Resolved expiry; `None`: never, or [`Operations::resolve`] was not called.
    pub expire_time: Option<UnixMillis>,
    /// Revision that the key must have; 0: it must not exist.
    pub if_revision: Option<u64>,
}

impl<'a> OperationRef<'a> {
    /// Bytes of the operation's key.
    pub const fn key(&self) -> &'a [u8] {
        match self {
            Self::Get { key } | Self::Delete { key, .. } | Self::Put(PutRef { key, .. }) => key,
        }
    }
}

impl PutRef<'_> {
    /// Returns true if an expiry that has passed is refused, since it was given as a point in time.
    /// Otherwise such a put is a removal.
    pub const fn refuses_passed(&self) -> bool {
        matches!(self.expiry, Some(Expiry::At(_)))
    }
}

impl Operations {
    /// Makes an empty list for a message that has `about` this many operations.
    pub(crate) fn of(message: &Bytes, about: usize) -> Self {
        Self { message: message.clone(), rows: Vec::with_capacity(about), ..Self::default() }
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns true if there are no operations.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Iterates over the operations, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = OperationRef<'_>> {
        let mut extras = self.extras.iter();
        self.rows.iter().map(move |row| {
            let extra = if row.has_extra { extras.next() } else { None };
            self.read(row, extra)
        })
    }

    /// Adds a get of a key in the message.
    ///
    /// # Errors
    /// `INVALID_KEY`.
    #[inline]
    pub(crate) fn get(&mut self, key: &str) -> Result<()> {
        key::check_key(key)?;
        self.add(self.place(key.as_bytes()), key.len(), (0, 0), OperationKind::Get, None);
        Ok(())
    }

    /// Adds a put of a key and a value in the message.
    ///
    /// # Errors
    /// `INVALID_KEY`, `INVALID_VALUE`.
    #[inline]
    pub(crate) fn put(
        &mut self,
        key: &str,
        value: &[u8],
        text: bool,
        expiry: Option<Expiry>,
        if_revision: Option<u64>,
    ) -> Result<()> {
        Self::check_value(value, text)?;
        key::check_key(key)?;
        let kind = if text { OperationKind::PutText } else { OperationKind::PutBlob };
        let value = (self.place(value), value.len());
        self.add(
            self.place(key.as_bytes()),
            key.len(),
            value,
            kind,
            OperationExtra::new(expiry, None, if_revision),
        );
        Ok(())
    }

    /// Checks the size of a put's value.
    ///
    /// # Errors
    /// `INVALID_VALUE`.
    #[inline]
    pub(crate) fn check_value(value: &[u8], text: bool) -> Result<()> {
        value::check(value.len()).map_err(|error| if text { error } else { error.in_field("blob") })
    }

    /// Adds a delete of a key in the message.
    ///
    /// # Errors
    /// `INVALID_KEY`.
    pub(crate) fn delete(&mut self, key: &str, if_revision: Option<u64>) -> Result<()> {
        key::check_key(key)?;
        self.add(
            self.place(key.as_bytes()),
            key.len(),
            (0, 0),
            OperationKind::Delete,
            OperationExtra::new(None, None, if_revision),
        );
        Ok(())
    }

    /// Adds a copy of an operation.
    pub fn push(&mut self, operation: OperationRef<'_>) {
        match operation {
            OperationRef::Get { key } => {
                let key_at = self.copy(key);
                self.add(key_at, key.len(), (0, 0), OperationKind::Get, None);
            }
            OperationRef::Put(put) => {
                let (key_at, value_at) = (self.copy(put.key), self.copy(put.value));
                let kind = if put.text { OperationKind::PutText } else { OperationKind::PutBlob };
                let extra = OperationExtra::new(put.expiry, put.expire_time, put.if_revision);
                self.add(key_at, put.key.len(), (value_at, put.value.len()), kind, extra);
            }
            OperationRef::Delete { key, if_revision } => {
                let key_at = self.copy(key);
                self.add(
                    key_at,
                    key.len(),
                    (0, 0),
                    OperationKind::Delete,
                    OperationExtra::new(None, None, if_revision),
                );
            }
        }
    }

    /// Resolves all expiries, for writes at `now`.
    ///
    /// # Errors
    /// `INVALID_TTL`, as [`Expiry::resolve`], with the operation's index.
    pub fn resolve(&mut self, now: impl Fn() -> UnixMillis) -> Result<()> {
        for extra in &mut self.extras {
            if let Some(expiry) = extra.expiry {
                let time =
                    expiry.resolve(now()).map_err(|error| error.in_operation(extra.operation))?;
                extra.expire_time = Some(time);
            }
        }
        Ok(())
    }

    /// Offset of a part of the message.
    fn place(&self, part: &[u8]) -> usize {
        // An empty part may point anywhere: nothing is read from it.
        part.as_ptr().addr().wrapping_sub(self.message.as_ptr().addr())
    }

    fn copy(&mut self, bytes: &[u8]) -> usize {
        let at = self.message.len() + self.more.len();
        self.more.extend_from_slice(bytes);
        at
    }

    #[inline]
    fn add(
        &mut self,
        key_at: usize,
        key_len: usize,
        value: (usize, usize),
        kind: OperationKind,
        extra: Option<OperationExtra>,
    ) {
        let (value_at, value_len) = value;
        self.bytes += key_len + value_len;
        let has_extra = extra.is_some();
        if let Some(extra) = extra {
            self.extras.push(OperationExtra { operation: self.rows.len(), ..extra });
        }
        // Keys have at most 1,024 bytes and values 1 MiB: they were checked.
        let key_len = u16::try_from(key_len).unwrap_or(u16::MAX);
        let value_len = u32::try_from(value_len).unwrap_or(u32::MAX);
        self.rows.push(OperationRow { key_at, value_at, value_len, key_len, kind, has_extra });
    }

    fn read(&self, row: &OperationRow, extra: Option<&OperationExtra>) -> OperationRef<'_> {
        let key = self.part(row.key_at, usize::from(row.key_len));
        let if_revision = extra.and_then(|extra| extra.if_revision);
        match row.kind {
            OperationKind::Get => OperationRef::Get { key },
            OperationKind::Delete => OperationRef::Delete { key, if_revision },
            OperationKind::PutText | OperationKind::PutBlob => OperationRef::Put(PutRef {
                key,
                value: self.part(row.value_at, row.value_len as usize),
                text: matches!(row.kind, OperationKind::PutText),
                expiry: extra.and_then(|extra| extra.expiry),
                expire_time: extra.and_then(|extra| extra.expire_time),
                if_revision,
            }),
        }
    }

    #[inline]
    fn part(&self, at: usize, len: usize) -> &[u8] {
        let (from, at) = match at.checked_sub(self.message.len()) {
            None => (&self.message[..], at),
            Some(at) => (&self.more[..], at),
        };
        from.get(at..).and_then(|rest| rest.get(..len)).unwrap_or_default()
    }
}

impl OperationExtra {
    #[inline]
    fn new(
        expiry: Option<Expiry>,
        expire_time: Option<UnixMillis>,
        if_revision: Option<u64>,
    ) -> Option<Self> {
        let is_any = expiry.is_some() || expire_time.is_some() || if_revision.is_some();
        is_any.then_some(Self { operation: 0, expiry, expire_time, if_revision })
    }
}

impl Operation {
    /// Borrows the operation.
    pub fn to_ref(&self) -> OperationRef<'_> {
        match self {
            Self::Get { key } => OperationRef::Get { key: key.as_str().as_bytes() },
            Self::Put(put) => OperationRef::Put(put.to_ref()),
            Self::Delete(delete) => delete.to_ref(),
        }
    }
}

impl Put {
    /// Borrows the put. Its expiry is not resolved.
    pub fn to_ref(&self) -> PutRef<'_> {
        PutRef {
            key: self.key.as_str().as_bytes(),
            value: self.value.as_bytes(),
            text: self.value.is_text(),
            expiry: self.expiry,
            expire_time: None,
            if_revision: self.if_revision,
        }
    }
}

impl Delete {
    /// Borrows the removal.
    pub fn to_ref(&self) -> OperationRef<'_> {
        OperationRef::Delete { key: self.key.as_str().as_bytes(), if_revision: self.if_revision }
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut this = Self::default();
        operations.into_iter().for_each(|operation| this.push(operation.to_ref()));
        this
    }
}

impl PartialEq for Operations {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Operations {}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

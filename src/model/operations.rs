//! The operations of a batch, which stay in the message that asked for them.

use std::fmt;

use bytes::Bytes;

use super::{Delete, Expiry, Operation, Put, Result, UnixMillis, key, value};

/// The operations of a batch.
///
/// Keys and values lie where they came, in one message; an operation is a row that says where. So a
/// thousand operations are one allocation, and nothing of them is moved on the way to the store.
#[derive(Clone, Default)]
pub struct Operations {
    message: Bytes,
    /// What is not in the message lies here, numbered as if it stood behind it.
    more: Vec<u8>,
    rows: Vec<Row>,
    /// What few operations have, in their order.
    extras: Vec<Extra>,
    /// Of all keys and values.
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Row {
    key_at: usize,
    value_at: usize,
    value_len: u32,
    key_len: u16,
    kind: Kind,
    has_extra: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Get,
    PutText,
    PutBlob,
    Delete,
}

#[derive(Clone, Copy)]
struct Extra {
    operation: usize,
    expiry: Option<Expiry>,
    expire_time: Option<UnixMillis>,
    if_revision: Option<u64>,
}

/// One of [`Operations`]. Keys are the bytes of a [`Key`](super::Key).
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
    /// What to write to: the bytes of a [`Key`](super::Key).
    pub key: &'a [u8],
    /// What to write: UTF-8 if it is text.
    pub value: &'a [u8],
    /// Whether it is put as text.
    pub text: bool,
    /// When the key goes, as it was asked for; `None`: never, or only the time is known.
    pub expiry: Option<Expiry>,
    /// When the key goes, once [`Operations::resolve`] has worked it out.
    pub expire_time: Option<UnixMillis>,
    /// Only if this is the key's revision; 0: only if there is no such key.
    pub if_revision: Option<u64>,
}

impl<'a> OperationRef<'a> {
    /// The bytes of the key that it is about.
    pub const fn key(&self) -> &'a [u8] {
        match self {
            Self::Get { key } | Self::Delete { key, .. } | Self::Put(PutRef { key, .. }) => key,
        }
    }
}

impl PutRef<'_> {
    /// Whether an expiry that has passed is refused, and not taken for a removal: it was given as a
    /// point in time.
    pub const fn refuses_passed(&self) -> bool {
        matches!(self.expiry, Some(Expiry::At(_)))
    }
}

impl Operations {
    /// None yet, of a message that has about so many.
    pub(crate) fn of(message: &Bytes, about: usize) -> Self {
        Self { message: message.clone(), rows: Vec::with_capacity(about), ..Self::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The operations, one after another.
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
    /// As [`Key::new`](super::Key::new).
    #[inline]
    pub(crate) fn get(&mut self, key: &str) -> Result<()> {
        key::check_key(key)?;
        self.add(self.place(key.as_bytes()), key.len(), (0, 0), Kind::Get, None);
        Ok(())
    }

    /// Adds a put of a key and a value in the message.
    ///
    /// # Errors
    /// As [`Value::text`](super::Value::text) or [`Value::blob`](super::Value::blob), and
    /// [`Key::new`](super::Key::new).
    #[inline]
    pub(crate) fn put(
        &mut self,
        key: &str,
        value: &[u8],
        text: bool,
        if_revision: Option<u64>,
    ) -> Result<()> {
        value::check(value.len())
            .map_err(|error| if text { error } else { error.in_field("blob") })?;
        key::check_key(key)?;
        let kind = if text { Kind::PutText } else { Kind::PutBlob };
        let value = (self.place(value), value.len());
        self.add(
            self.place(key.as_bytes()),
            key.len(),
            value,
            kind,
            Extra::new(None, None, if_revision),
        );
        Ok(())
    }

    /// Adds a delete of a key in the message.
    ///
    /// # Errors
    /// As [`Key::new`](super::Key::new).
    pub(crate) fn delete(&mut self, key: &str, if_revision: Option<u64>) -> Result<()> {
        key::check_key(key)?;
        self.add(
            self.place(key.as_bytes()),
            key.len(),
            (0, 0),
            Kind::Delete,
            Extra::new(None, None, if_revision),
        );
        Ok(())
    }

    /// Adds a copy of an operation.
    pub fn push(&mut self, operation: OperationRef<'_>) {
        match operation {
            OperationRef::Get { key } => {
                let key_at = self.copy(key);
                self.add(key_at, key.len(), (0, 0), Kind::Get, None);
            }
            OperationRef::Put(put) => {
                let (key_at, value_at) = (self.copy(put.key), self.copy(put.value));
                let kind = if put.text { Kind::PutText } else { Kind::PutBlob };
                let extra = Extra::new(put.expiry, put.expire_time, put.if_revision);
                self.add(key_at, put.key.len(), (value_at, put.value.len()), kind, extra);
            }
            OperationRef::Delete { key, if_revision } => {
                let key_at = self.copy(key);
                self.add(
                    key_at,
                    key.len(),
                    (0, 0),
                    Kind::Delete,
                    Extra::new(None, None, if_revision),
                );
            }
        }
    }

    /// Works out the times at which keys go, for writes at `now`.
    ///
    /// # Errors
    /// As [`Expiry::resolve`], with the operation's number.
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

    /// Where a part of the message begins.
    fn place(&self, part: &[u8]) -> usize {
        // An empty part may point anywhere: nothing is read of it.
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
        kind: Kind,
        extra: Option<Extra>,
    ) {
        let (value_at, value_len) = value;
        self.bytes += key_len + value_len;
        let has_extra = extra.is_some();
        if let Some(extra) = extra {
            self.extras.push(Extra { operation: self.rows.len(), ..extra });
        }
        // Keys have at most 1,024 bytes and values 1 MiB: they were checked.
        let key_len = u16::try_from(key_len).unwrap_or(u16::MAX);
        let value_len = u32::try_from(value_len).unwrap_or(u32::MAX);
        self.rows.push(Row { key_at, value_at, value_len, key_len, kind, has_extra });
    }

    fn read(&self, row: &Row, extra: Option<&Extra>) -> OperationRef<'_> {
        let key = self.part(row.key_at, usize::from(row.key_len));
        let if_revision = extra.and_then(|extra| extra.if_revision);
        match row.kind {
            Kind::Get => OperationRef::Get { key },
            Kind::Delete => OperationRef::Delete { key, if_revision },
            Kind::PutText | Kind::PutBlob => OperationRef::Put(PutRef {
                key,
                value: self.part(row.value_at, row.value_len as usize),
                text: matches!(row.kind, Kind::PutText),
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

impl Extra {
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
    /// The same, without its keys and values.
    pub fn to_ref(&self) -> OperationRef<'_> {
        match self {
            Self::Get { key } => OperationRef::Get { key: key.as_str().as_bytes() },
            Self::Put(put) => OperationRef::Put(put.to_ref()),
            Self::Delete(delete) => delete.to_ref(),
        }
    }
}

impl Put {
    /// The same, without its key and value.
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
    /// The same, without its key.
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Reason, Value};

    fn put(key: &str, value: Value, expiry: Option<Expiry>, if_revision: Option<u64>) -> Operation {
        Operation::Put(Put { key: Key::new(key).unwrap(), value, expiry, if_revision })
    }

    #[test]
    fn operations_of_a_message_and_copied_ones_are_read_alike() {
        let message = Bytes::from_static(b"cityKolkata\xff");
        let (city, kolkata, blob) =
            (std::str::from_utf8(&message[..4]).unwrap(), &message[4..11], &message[11..]);
        let key = Key::new("city").unwrap();
        let text = Value::text("Kolkata").unwrap();
        let wanted = [
            Operation::Get { key: key.clone() },
            put("city", text.clone(), None, None),
            put("city", Value::blob(vec![0xff]).unwrap(), None, Some(7)),
            put("city", text, Some(Expiry::At(UnixMillis::new(9))), None),
            Operation::Delete(Delete { key: key.clone(), if_revision: None }),
            Operation::Delete(Delete { key, if_revision: Some(0) }),
            put("empty", Value::text("").unwrap(), None, None),
        ];
        let mut operations = Operations::of(&message, wanted.len());
        operations.get(city).unwrap();
        operations.put(city, kolkata, true, None).unwrap();
        operations.put(city, blob, false, Some(7)).unwrap();
        operations.push(wanted[3].to_ref());
        operations.delete(city, None).unwrap();
        operations.delete(city, Some(0)).unwrap();
        operations.push(wanted[6].to_ref());

        assert_eq!(operations, wanted.iter().cloned().collect());
        assert!(operations.iter().eq(wanted.iter().map(Operation::to_ref)));
        assert_eq!((operations.len(), operations.bytes()), (7, 4 + 11 + 5 + 11 + 4 + 4 + 5));
    }

    #[test]
    fn what_is_wrong_is_not_added() {
        let long_key = "k".repeat(MAX_KEY_BYTES + 1);
        let long_value = vec![b'v'; MAX_VALUE_BYTES + 1];
        let mut operations = Operations::default();
        for (wrong, reason) in [
            (operations.get(""), Reason::InvalidKey),
            (operations.get(&long_key), Reason::InvalidKey),
            (operations.delete("a\u{1}", None), Reason::InvalidKey),
            (operations.put("k", &long_value, true, None), Reason::InvalidValue),
            (operations.put("", b"", false, None), Reason::InvalidKey),
        ] {
            assert_eq!(wrong.unwrap_err().reason(), reason);
        }
        assert!(operations.is_empty());
        assert_eq!(operations.bytes(), 0);
    }

    #[test]
    fn expiries_become_times_and_the_wrong_one_is_named() {
        let value = || Value::text("v").unwrap();
        let after = |millis| Some(Expiry::After(Duration::from_millis(millis)));
        let all = [
            put("a", value(), None, Some(1)),
            put("b", value(), after(5), None),
            put("c", value(), None, None),
        ];
        let mut operations: Operations = all.iter().cloned().collect();
        operations.resolve(|| UnixMillis::new(100)).unwrap();
        let times = operations.iter().map(|operation| match operation {
            OperationRef::Put(put) => put.expire_time,
            OperationRef::Get { .. } | OperationRef::Delete { .. } => None,
        });
        assert_eq!(times.collect::<Vec<_>>(), [None, Some(UnixMillis::new(105)), None]);

        let mut operations: Operations =
            all.into_iter().chain([put("d", value(), after(0), None)]).collect();
        let error = operations.resolve(|| UnixMillis::new(100)).unwrap_err();
        assert_eq!(
            (error.reason(), error.field()),
            (Reason::InvalidTtl, Some("operations[3].ttl"))
        );
    }
}

//! Fingerprints that distinguish the payloads of one request id.

use sha2::{Digest as _, Sha256};

use crate::model::{Delete, Expiry, OperationRef, Operations, Put, PutRef};

/// Hash of a payload. Each part has a fixed width or is preceded by its length, so that no two
/// payloads have the same input.
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Starts a payload for the store of the user with this id.
    pub(super) fn of(method: &'static str, owner: u64) -> Self {
        let mut this = Self(Sha256::new());
        this.bytes(method.as_bytes());
        this.number(owner);
        this
    }

    /// Starts a payload for the store of the user of this name.
    pub(super) fn named(method: &'static str, folded: &str) -> Self {
        let mut this = Self(Sha256::new());
        this.bytes(method.as_bytes());
        this.bytes(folded.as_bytes());
        this
    }

    pub(super) fn put(mut self, put: &Put) -> Self {
        self.add_put(&put.to_ref());
        self
    }

    pub(super) fn delete(mut self, delete: &Delete) -> Self {
        self.add_delete(delete.key.as_str().as_bytes(), delete.if_revision);
        self
    }

    pub(super) fn operations(mut self, operations: &Operations) -> Self {
        for operation in operations.iter() {
            match operation {
                OperationRef::Get { key } => {
                    self.number(0);
                    self.bytes(key);
                }
                OperationRef::Put(put) => {
                    self.number(1);
                    self.add_put(&put);
                }
                OperationRef::Delete { key, if_revision } => {
                    self.number(2);
                    self.add_delete(key, if_revision);
                }
            }
        }
        self
    }

    pub(super) fn finish(self) -> [u8; 16] {
        let mut out = [0; 16];
        out.iter_mut().zip(self.0.finalize()).for_each(|(to, from)| *to = from);
        out
    }

    fn add_put(&mut self, put: &PutRef<'_>) {
        self.bytes(put.key);
        self.number(u64::from(put.text));
        self.bytes(put.value);
        match put.expiry {
            None => self.number(0),
            Some(Expiry::After(ttl)) => {
                self.number(1);
                self.bytes(&ttl.as_nanos().to_le_bytes());
            }
            Some(Expiry::At(time)) => {
                self.number(2);
                self.number(time.as_u64());
            }
        }
        self.condition(put.if_revision);
    }

    fn add_delete(&mut self, key: &[u8], if_revision: Option<u64>) {
        self.bytes(key);
        self.condition(if_revision);
    }

    fn condition(&mut self, if_revision: Option<u64>) {
        self.number(u64::from(if_revision.is_some()));
        self.number(if_revision.unwrap_or_default());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }
}

//! Bearer tokens: 256 random bits, of which the server keeps only the SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::model::{Error, Reason, Result};

/// Length of a token in characters: base64url without padding (RFC 4648, section 5) of 32 bytes.
pub const TOKEN_CHARACTERS: usize = 43;

/// SHA-256 of a token; the server keeps nothing else of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Returns the hash of a token that a client sent.
    ///
    /// # Errors
    /// `SESSION_REQUIRED` for a malformed token.
    pub fn of(token: &str) -> Result<Self> {
        let mut secret = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(token, &mut secret) {
            Ok(32) if token.len() == TOKEN_CHARACTERS => Ok(Self(Sha256::digest(secret).into())),
            Ok(_) | Err(_) => Err(Error::new(
                Reason::SessionRequired,
                "the token is malformed; sign in and send `authorization: Bearer TOKEN` with the \
                 token of the reply",
            )),
        }
    }

    /// Returns the hash as base64url text, for engines that several servers share.
    pub(super) fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns 64 of its bits, which are random, as a hash for tables.
    pub fn bits(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Returns a new token and its hash.
pub(super) fn generate() -> (String, TokenHash) {
    let secret: [u8; 32] = rand::random();
    (URL_SAFE_NO_PAD.encode(secret), TokenHash(Sha256::digest(secret).into()))
}

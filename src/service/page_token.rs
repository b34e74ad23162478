//! Page tokens: opaque to clients, and refused unless this server made them for the same scope.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::{Error, Reason, Result};

/// Length of the authentication code, in bytes.
const MAC_BYTES: usize = 16;
/// Maximum length of a token: the base64 of a position, a key and the code, rounded up.
const MAX_CHARACTERS: usize = 2_048;

/// Creates and verifies page tokens. A server that shares nothing has a random key, so that tokens
/// of another server or of an earlier run are refused; servers on one engine share the key.
pub(super) struct PageTokens {
    key: [u8; 32],
}

/// Listing that a token belongs to. A token of one listing is refused for another.
pub(super) struct TokenScope<'a> {
    /// RPC of the listing.
    pub(super) method: &'static str,
    /// Id of the user whose rows are listed; 0 if they are nobody's.
    pub(super) owner: u64,
    /// Prefix of the rows, or the room's name.
    pub(super) prefix: &'a str,
}

impl PageTokens {
    pub(super) fn with_key(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Returns the token that carries `state` to the next page of this listing.
    pub(super) fn seal(&self, scope: &TokenScope<'_>, state: &[u8]) -> Result<String> {
        let mac = self.mac(scope, state)?.finalize().into_bytes();
        let mut token = Vec::with_capacity(MAC_BYTES + state.len());
        token.extend(mac.iter().take(MAC_BYTES));
        token.extend_from_slice(state);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Returns the state that a token carries.
    ///
    /// # Errors
    /// `INVALID_PAGE_TOKEN` for a token that was not made for this listing.
    pub(super) fn open(&self, scope: &TokenScope<'_>, token: &str) -> Result<Vec<u8>> {
        let invalid = || {
            Error::new(
                Reason::InvalidPageToken,
                "page_token is not one of this listing; send the next_page_token of the page \
                 before with the same user and prefix, or none",
            )
            .in_field("page_token")
        };
        if token.len() > MAX_CHARACTERS {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let (mac, state) = bytes.split_at_checked(MAC_BYTES).ok_or_else(invalid)?;
        self.mac(scope, state)?.verify_truncated_left(mac).map_err(|_| invalid())?;
        Ok(state.to_vec())
    }

    fn mac(&self, scope: &TokenScope<'_>, state: &[u8]) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(Error::internal)?;
        // Each part is preceded by its length, so that no two listings have the same input.
        for part in
            [scope.method.as_bytes(), &scope.owner.to_le_bytes(), scope.prefix.as_bytes(), state]
        {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_for_its_own_question() {
        let tokens = PageTokens::with_key([1; 32]);
        let scope = |owner, prefix| TokenScope { method: "ListKeys", owner, prefix };
        let token = tokens.seal(&scope(1, "a"), b"state").unwrap();
        assert_eq!(tokens.open(&scope(1, "a"), &token).unwrap(), b"state");
        for (what, other) in [("owner", scope(2, "a")), ("prefix", scope(1, "b"))] {
            assert_eq!(
                tokens.open(&other, &token).unwrap_err().reason(),
                Reason::InvalidPageToken,
                "{what}"
            );
        }
        assert_eq!(
            PageTokens::with_key([2; 32]).open(&scope(1, "a"), &token).unwrap_err().reason(),
            Reason::InvalidPageToken,
            "another server"
        );
        for end in 0..token.len() {
            assert!(tokens.open(&scope(1, "a"), &token[..end]).is_err(), "cut at {end}");
        }
    }
}

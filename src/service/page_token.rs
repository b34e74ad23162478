//! Page tokens: opaque to clients, and refused unless this server made them for the same question.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::{Error, Reason, Result};

/// Enough that nobody guesses one.
const MAC_BYTES: usize = 16;
/// A position, a key and the MAC, in base64, and some room.
const MAX_CHARACTERS: usize = 2_048;

/// Makes and checks tokens. The key is drawn at start, so that a token of another server, or of an
/// earlier life of this one, is refused; servers that share an engine share the key.
pub(super) struct PageTokens {
    key: [u8; 32],
}

/// What a token is for: one made for one question is refused for another.
pub(super) struct TokenScope<'a> {
    /// The RPC.
    pub(super) method: &'static str,
    /// Whose rows.
    pub(super) owner: u64,
    /// Which of them.
    pub(super) prefix: &'a str,
}

impl PageTokens {
    pub(super) fn with_key(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The token that carries `state` to the next page of this listing.
    pub(super) fn seal(&self, question: &TokenScope<'_>, state: &[u8]) -> Result<String> {
        let mac = self.mac(question, state)?.finalize().into_bytes();
        let mut token = Vec::with_capacity(MAC_BYTES + state.len());
        token.extend(mac.iter().take(MAC_BYTES));
        token.extend_from_slice(state);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// What a token carries.
    ///
    /// # Errors
    /// `INVALID_PAGE_TOKEN` for one that was not made here for this question.
    pub(super) fn open(&self, question: &TokenScope<'_>, token: &str) -> Result<Vec<u8>> {
        let invalid = || {
            Error::new(
                Reason::InvalidPageToken,
                "page_token is not one of this listing; send the next_page_token of the page before with the same user and prefix, or none",
            )
            .in_field("page_token")
        };
        if token.len() > MAX_CHARACTERS {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let (mac, state) = bytes.split_at_checked(MAC_BYTES).ok_or_else(invalid)?;
        self.mac(question, state)?.verify_truncated_left(mac).map_err(|_| invalid())?;
        Ok(state.to_vec())
    }

    fn mac(&self, question: &TokenScope<'_>, state: &[u8]) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(Error::internal)?;
        // Each part with its length, so that no two questions run together.
        for part in [
            question.method.as_bytes(),
            &question.owner.to_le_bytes(),
            question.prefix.as_bytes(),
            state,
        ] {
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
        let question = |owner, prefix| TokenScope { method: "ListKeys", owner, prefix };
        let token = tokens.seal(&question(1, "a"), b"state").unwrap();
        assert_eq!(tokens.open(&question(1, "a"), &token).unwrap(), b"state");
        for (what, other) in [("owner", question(2, "a")), ("prefix", question(1, "b"))] {
            assert_eq!(
                tokens.open(&other, &token).unwrap_err().reason(),
                Reason::InvalidPageToken,
                "{what}"
            );
        }
        assert_eq!(
            PageTokens::with_key([2; 32]).open(&question(1, "a"), &token).unwrap_err().reason(),
            Reason::InvalidPageToken,
            "another server"
        );
        for end in 0..token.len() {
            assert!(tokens.open(&question(1, "a"), &token[..end]).is_err(), "cut at {end}");
        }
    }
}

//! The caller of a connection's last call, found again by its header without a look-up.

use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use crate::service::Caller;

/// Longest header that is kept, in bytes; one with a token and single blanks has 50.
const HEADER_BYTES: usize = 55;

/// The caller of the last call of one connection, with the header that opened its session.
#[derive(Default)]
pub(crate) struct LastCaller(Mutex<Option<Known>>);

/// The header is a copy that lies beside the rest: a clone of the header itself would be another
/// cache miss for each connection.
struct Known {
    header: [u8; HEADER_BYTES],
    length: u8,
    caller: Arc<Caller>,
}

impl LastCaller {
    /// Returns the caller, if it came with this header.
    pub(crate) fn find(&self, header: &HeaderValue) -> Option<Arc<Caller>> {
        let last = self.0.lock();
        let known = last.as_ref()?;
        let kept = known.header.get(..usize::from(known.length)).unwrap_or_default();
        is_same(kept, header.as_bytes()).then(|| Arc::clone(&known.caller))
    }

    /// Keeps a caller, unless its header is too long to keep.
    pub(crate) fn keep(&self, header: &HeaderValue, caller: &Arc<Caller>) {
        let mut kept = [0; HEADER_BYTES];
        let (Some(place), Ok(length)) = (kept.get_mut(..header.len()), u8::try_from(header.len()))
        else {
            return;
        };
        place.copy_from_slice(header.as_bytes());
        *self.0.lock() = Some(Known { header: kept, length, caller: Arc::clone(caller) });
    }
}

/// Compares two headers in constant time: behind a proxy, one connection may carry the calls of
/// many clients.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    // By words: a byte at a time takes eight times as long.
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let words = one
        .iter()
        .zip(other)
        .map(|(one, other)| u64::from_ne_bytes(*one).ct_eq(&u64::from_ne_bytes(*other)));
    let same = words.fold(one_rest.ct_eq(other_rest), |all, word| all & word);
    one.len() == other.len() && bool::from(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_the_same_byte_by_byte() {
        for (one, other, same) in [
            ("Bearer abcdefgh", "Bearer abcdefgh", true),
            ("Bearer abcdefgh", "Bearer abcdefgi", false),
            ("Bearer abcdefgh", "bearer abcdefgh", false),
            ("Bearer abcdefgh", "Bearer abcdefg", false),
            ("Bearer a", "Bearer aBearer a", false),
            ("", "", true),
        ] {
            assert_eq!(is_same(one.as_bytes(), other.as_bytes()), same, "{one} and {other}");
        }
    }
}

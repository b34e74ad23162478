//! One connection: what its calls have in common.

use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use super::PROTOCOL;
use crate::listen::ConnInfo;
use crate::model::{Method, Permission, Result};
use crate::service::{Caller, Service, TokenHash};

/// A connection, and who made its last call.
pub(super) struct Conn {
    pub(super) service: Arc<Service>,
    pub(super) info: ConnInfo,
    anybody: Arc<Caller>,
    last: Mutex<Option<Authorized>>,
}

/// The longest header that is kept; one with a token and nothing to spare has 50 bytes.
const HEADER_BYTES: usize = 55;

/// A caller with a session, and the header that opened it. The header is a copy, beside the rest:
/// kept as it came, it would be somewhere in memory of its own for each connection.
struct Authorized {
    header: [u8; HEADER_BYTES],
    length: u8,
    caller: Arc<Caller>,
}

impl Authorized {
    /// `None`: the header is longer than those that are kept.
    fn new(header: &HeaderValue, caller: &Arc<Caller>) -> Option<Self> {
        let mut kept = [0; HEADER_BYTES];
        kept.get_mut(..header.len())?.copy_from_slice(header.as_bytes());
        Some(Self {
            header: kept,
            length: u8::try_from(header.len()).ok()?,
            caller: Arc::clone(caller),
        })
    }

    fn header(&self) -> &[u8] {
        self.header.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Conn {
    pub(super) fn new(service: Arc<Service>, info: ConnInfo) -> Self {
        let anybody =
            Arc::new(Caller { session: None, protocol: PROTOCOL, source: info.peer.ip() });
        Self { service, info, anybody, last: Mutex::default() }
    }

    /// Who makes a call that came `at` this time, with the session that its token opens; the call
    /// counts as the session's use.
    ///
    /// The token is looked up only if it is another than that of the connection's last call. That
    /// the session has not ended is looked at each time.
    ///
    /// # Errors
    /// As [`Service::authenticate`].
    pub(super) fn caller(
        &self,
        method: Method,
        headers: &HeaderMap,
        at: Instant,
    ) -> Result<Arc<Caller>> {
        if self.service.permission(method) == Permission::Open {
            return Ok(Arc::clone(&self.anybody));
        }
        let header = headers.get(AUTHORIZATION);
        if let Some(known) = header.and_then(|header| self.known(header))
            && known
                .session
                .as_ref()
                .is_none_or(|session| self.service.use_again(session, at).is_ok())
        {
            return Ok(known);
        }
        let session = self.service.authenticate(method, header.map(bearer))?;
        let (Some(header), Some(session)) = (header, session) else {
            return Ok(Arc::clone(&self.anybody));
        };
        let caller = Arc::new(Caller { session: Some(session), ..Caller::clone(&self.anybody) });
        *self.last.lock() = Authorized::new(header, &caller);
        Ok(caller)
    }

    /// The token of a call that has to wait until its session was looked up; `None`: it need not.
    pub(super) fn must_look_up(&self, method: Method, headers: &HeaderMap) -> Option<TokenHash> {
        if !self.service.shares_sessions() || self.service.permission(method) == Permission::Open {
            return None;
        }
        let header = headers.get(AUTHORIZATION)?;
        if let Some(known) = self.known(header)
            && known.session.as_ref().is_none_or(|session| self.service.is_fresh(session))
        {
            return None;
        }
        let token = TokenHash::of(bearer(header)).ok()?;
        let known = self.service.known_session(token);
        known.is_none_or(|session| !self.service.is_fresh(&session)).then_some(token)
    }

    /// The caller of the connection's last call, if this header is the same.
    fn known(&self, header: &HeaderValue) -> Option<Arc<Caller>> {
        let last = self.last.lock();
        last.as_ref()
            .filter(|last| same(last.header(), header.as_bytes()))
            .map(|last| Arc::clone(&last.caller))
    }
}

/// Whether two headers are the same, in constant time: behind a proxy, one connection may carry the
/// calls of many clients.
fn same(one: &[u8], other: &[u8]) -> bool {
    // By words: a byte at a time takes eight times as long.
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let words = one
        .iter()
        .zip(other)
        .map(|(one, other)| u64::from_ne_bytes(*one).ct_eq(&u64::from_ne_bytes(*other)));
    let same = words.fold(one_rest.ct_eq(other_rest), |all, word| all & word);
    one.len() == other.len() && bool::from(same)
}

/// The token of `authorization: Bearer TOKEN` (RFC 6750, section 2.1; the scheme in any case, RFC
/// 9110, section 11.1). A header that is there and no bearer token is a malformed token, not an
/// absent one.
pub(super) fn bearer(header: &HeaderValue) -> &str {
    let Ok(text) = header.to_str() else { return "" };
    match text.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim_start(),
        Some(_) | None => "",
    }
}

//! One connection: what its calls have in common.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use crate::listen::ConnInfo;
use crate::model::Result;
use crate::service::{Access, Method, Service, Session, TokenHash};

/// A connection, and the session that its last call used.
pub(super) struct Conn {
    pub(super) service: Arc<Service>,
    pub(super) info: ConnInfo,
    last: Mutex<Option<Authorized>>,
}

/// A session, with the header that opened it.
struct Authorized {
    header: HeaderValue,
    session: Arc<Session>,
}

impl Conn {
    pub(super) fn new(service: Arc<Service>, info: ConnInfo) -> Self {
        Self { service, info, last: Mutex::default() }
    }

    /// The session that a call's token opens; the call counts as its use.
    ///
    /// The token is looked up only if it is another than that of the connection's last call. That the session has not ended is looked at each time.
    ///
    /// # Errors
    /// As [`Service::authenticate`].
    pub(super) fn authenticate(&self, method: Method, headers: &HeaderMap) -> Result<Option<Arc<Session>>> {
        if method.access() == Access::Open {
            return Ok(None);
        }
        let header = headers.get(AUTHORIZATION);
        if let Some(session) = header.and_then(|header| self.last_of(header))
            && self.service.use_again(&session).is_ok()
        {
            return Ok(Some(session));
        }
        let found = self.service.authenticate(method, header.map(bearer))?;
        if let (Some(header), Some(session)) = (header, &found) {
            *self.last.lock() = Some(Authorized { header: header.clone(), session: Arc::clone(session) });
        }
        Ok(found)
    }

    /// The token of a call that has to wait until its session was looked up; `None`: it need not.
    pub(super) fn must_look_up(&self, method: Method, headers: &HeaderMap) -> Option<TokenHash> {
        if !self.service.shares_sessions() || method.access() == Access::Open {
            return None;
        }
        let header = headers.get(AUTHORIZATION)?;
        if let Some(session) = self.last_of(header)
            && self.service.knows_enough_of(&session)
        {
            return None;
        }
        let token = TokenHash::of(bearer(header)).ok()?;
        let known = self.service.session_known_here(token);
        known.is_none_or(|session| !self.service.knows_enough_of(&session)).then_some(token)
    }

    /// The session of the connection's last call, if that had the same header.
    fn last_of(&self, header: &HeaderValue) -> Option<Arc<Session>> {
        let last = self.last.lock();
        // In constant time: behind a proxy, one connection may carry the calls of many clients.
        let same = |last: &&Authorized| bool::from(last.header.as_bytes().ct_eq(header.as_bytes()));
        last.as_ref().filter(same).map(|last| Arc::clone(&last.session))
    }
}

/// The token of `authorization: Bearer TOKEN` (RFC 6750, section 2.1; the scheme in any case, RFC 9110, section 11.1). A header that is there and no
/// bearer token is a malformed token, not an absent one.
pub(super) fn bearer(header: &HeaderValue) -> &str {
    let Ok(text) = header.to_str() else { return "" };
    match text.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim_start(),
        Some(_) | None => "",
    }
}

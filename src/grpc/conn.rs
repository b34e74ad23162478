//! One connection: the parts that its calls share.

use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::PROTOCOL;
use crate::fast_path::caller::LastCaller;
use crate::listen::ConnInfo;
use crate::model::{Method, Permission, Result};
use crate::service::{Caller, Service, TokenHash};

/// A connection of the gRPC protocol.
pub(super) struct Conn {
    pub(super) service: Arc<Service>,
    pub(super) info: ConnInfo,
    /// A caller without a session.
    anonymous: Arc<Caller>,
    last: LastCaller,
}

impl Conn {
    pub(super) fn new(service: Arc<Service>, info: ConnInfo) -> Self {
        let anonymous =
            Arc::new(Caller { session: None, protocol: PROTOCOL, source: info.peer.ip() });
        Self { service, info, anonymous, last: LastCaller::default() }
    }

    /// Returns the caller of a call that came `at` this time, with the session that its token
    /// opens. The call counts as the session's use.
    ///
    /// # Errors
    /// `SESSION_REQUIRED`, `SESSION_EXPIRED`.
    pub(super) fn caller(
        &self,
        method: Method,
        headers: &HeaderMap,
        at: Instant,
    ) -> Result<Arc<Caller>> {
        if self.service.permission(method) == Permission::Open {
            return Ok(Arc::clone(&self.anonymous));
        }
        let header = headers.get(AUTHORIZATION);
        // The last caller's session may have ended since.
        if let Some(known) = header.and_then(|header| self.last.find(header))
            && known
                .session
                .as_ref()
                .is_none_or(|session| self.service.use_again(session, at).is_ok())
        {
            return Ok(known);
        }
        let session = self.service.authenticate(method, header.map(bearer))?;
        let (Some(header), Some(session)) = (header, session) else {
            return Ok(Arc::clone(&self.anonymous));
        };
        let caller = Arc::new(Caller { session: Some(session), ..Caller::clone(&self.anonymous) });
        self.last.keep(header, &caller);
        Ok(caller)
    }

    /// Returns the token of a call whose session has to be looked up in the engine first, or `None`
    /// if this server knows enough of it.
    pub(super) fn needs_remote_lookup(
        &self,
        method: Method,
        headers: &HeaderMap,
    ) -> Option<TokenHash> {
        if !self.service.shares_sessions() || self.service.permission(method) == Permission::Open {
            return None;
        }
        let header = headers.get(AUTHORIZATION)?;
        if let Some(known) = self.last.find(header)
            && known.session.as_ref().is_none_or(|session| self.service.is_fresh(session))
        {
            return None;
        }
        let token = TokenHash::of(bearer(header)).ok()?;
        let known = self.service.known_session(token);
        known.is_none_or(|session| !self.service.is_fresh(&session)).then_some(token)
    }
}

/// Returns the token of `authorization: Bearer TOKEN` (RFC 6750, section 2.1; the scheme in any
/// case, RFC 9110, section 11.1). A header without a bearer token gives a malformed token, not an
/// absent one.
pub(super) fn bearer(header: &HeaderValue) -> &str {
    let Ok(text) = header.to_str() else { return "" };
    match text.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim_start(),
        Some(_) | None => "",
    }
}

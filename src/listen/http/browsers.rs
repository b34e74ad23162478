//! The rule for requests that a browser may have sent, the same for gRPC, gRPC-Web, the admin pages
//! and WebSockets.
//!
//! A page of another site must not even have its request run, whatever it could read of the answer:
//! an `Origin` that is not allowed is refused. A page whose own name was made to resolve to this
//! machine (DNS rebinding) sends that name as the host: on loopback, only the names in the rule are
//! served. With TLS the certificate already says which names are.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// Pages that may call, with which headers, and the names that the server has on loopback.
#[derive(Clone, Debug, Default)]
pub struct Browsers {
    /// Origins of the pages that may call, as browsers send them.
    pub origins: Vec<HeaderValue>,
    /// Names of the headers that pages may send, beside those of gRPC-Web and of tracing.
    pub headers: Vec<HeaderName>,
    /// Host names in lower case that are served on loopback, beside `localhost`.
    pub hosts: Vec<String>,
}

/// Reason for which a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// The page's origin is not allowed.
    Origin,
    /// The host is not allowed on loopback.
    Host(String),
}

/// Maximum length of a host name that is quoted in a message, in bytes.
const MAX_QUOTED: usize = 64;

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => f.write_str(
                "this origin is not allowed; the server's --allow-origin lists those that are",
            ),
            Self::Host(host) => write!(
                f,
                "the host {host:?} is not served on a loopback address without TLS; allowed are IP \
                 addresses, localhost, names that end in .localhost, and those of the server's \
                 --allow-host"
            ),
        }
    }
}

/// The rule for the requests of one connection.
#[derive(Clone, Debug)]
pub struct RequestRule {
    browsers: Arc<Browsers>,
    checks_host: bool,
    /// The first host that was found allowed: nearly all requests of a connection have the same.
    allowed: OnceLock<Authority>,
}

impl RequestRule {
    /// Creates the rule for a connection to the address `local`.
    pub fn new(browsers: Arc<Browsers>, local: SocketAddr, tls: bool) -> Self {
        let checks_host = !tls && local.ip().to_canonical().is_loopback();
        Self { browsers, checks_host, allowed: OnceLock::new() }
    }

    /// Checks a request by its target and headers. This is the only look at either for browsers'
    /// sake, since it is taken for every call: one look-up, and another for the host where it is no
    /// part of the target (HTTP/1).
    ///
    /// # Errors
    /// The reason for which it is refused.
    #[inline]
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), NotAllowed> {
        if self.checks_host {
            self.check_host(uri, headers)?;
        }
        if headers.contains_key(ORIGIN) { self.check_origin(headers) } else { Ok(()) }
    }

    #[inline]
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), NotAllowed> {
        match uri.authority() {
            Some(authority) if self.allowed.get() == Some(authority) => Ok(()),
            Some(authority) => self.check_authority(authority.clone()),
            None => match headers.get(HOST) {
                Some(host) if self.allowed.get().is_some_and(|known| known.as_str() == host) => {
                    Ok(())
                }
                Some(host) => match Authority::try_from(host.as_bytes()) {
                    Ok(authority) => self.check_authority(authority),
                    Err(_) => Err(not_served(&String::from_utf8_lossy(host.as_bytes()))),
                },
                // No browser; HTTP/1.0 has no host.
                None => Ok(()),
            },
        }
    }

    #[cold]
    fn check_authority(&self, authority: Authority) -> Result<(), NotAllowed> {
        if !self.serves(authority.host()) {
            return Err(not_served(authority.host()));
        }
        // Another host may have been kept meanwhile; either is allowed.
        let _ = self.allowed.set(authority);
        Ok(())
    }

    fn serves(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if address.unwrap_or(host).parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.browsers.hosts.contains(&name)
    }

    #[cold]
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), NotAllowed> {
        let allowed = &self.browsers.origins;
        if headers.get_all(ORIGIN).iter().all(|origin| allowed.contains(origin)) {
            Ok(())
        } else {
            Err(NotAllowed::Origin)
        }
    }
}

#[cold]
fn not_served(host: &str) -> NotAllowed {
    NotAllowed::Host(host.get(..MAX_QUOTED).unwrap_or(host).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(local: &str, tls: bool, host: &str) -> bool {
        let hosts = vec!["kvrpc.example".to_owned()];
        let browsers = Arc::new(Browsers { hosts, ..Browsers::default() });
        let rule = RequestRule::new(browsers, local.parse().unwrap(), tls);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        let in_target = Uri::builder().scheme("http").authority(host).path_and_query("/x").build();
        let by_header = rule.check(&Uri::from_static("/x"), &headers).is_ok();
        if let Ok(target) = in_target {
            assert_eq!(rule.check(&target, &HeaderMap::new()).is_ok(), by_header, "{host}");
        }
        // The answer for a host that was kept is the same.
        assert_eq!(rule.check(&Uri::from_static("/x"), &headers).is_ok(), by_header, "{host}");
        by_header
    }

    #[test]
    fn only_names_of_this_machine_are_served_on_loopback() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:50051",
            "[::1]:50051",
            "192.0.2.1",
            "localhost",
            "LOCALHOST:50051",
            "localhost.:80",
            "app.localhost",
            "kvrpc.example",
            "KVRPC.example:50051",
        ] {
            assert!(check("127.0.0.1:50051", false, host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:50051",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "a.kvrpc.example",
        ] {
            assert!(!check("127.0.0.1:50051", false, host), "{host}");
            assert!(!check("[::1]:50051", false, host), "{host}");
            assert!(check("127.0.0.1:50051", true, host), "{host} by TLS");
            assert!(check("192.0.2.1:50051", false, host), "{host} beyond loopback");
        }
        assert!(!check("[::ffff:127.0.0.1]:50051", false, "evil.example"));
        assert!(!check("127.0.0.1:50051", false, "two words"));
    }
}

//! The server's address as people write it.

use std::fmt;

use http::Uri;

/// The port of a gRPC server that the address does not tell.
pub(super) const DEFAULT_PORT: u16 = 50051;

/// Address of the server, and its use of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) tls: bool,
    /// A name or an address; an IPv6 one in brackets.
    host: String,
    port: u16,
}

impl Server {
    /// Reads `host`, `host:port`, `http://host:port` or `https://host:port`; `usual` is the port of
    /// an address without one.
    pub(super) fn parse(text: &str, usual: Option<u16>) -> Result<Self, String> {
        let allowed = || {
            format!("`{text}` is no server; write host:port, http://host:port or https://host:port")
        };
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(allowed()),
            None => (false, text),
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| allowed())?;
        let authority = uri.authority().ok_or_else(allowed)?;
        let host = authority.host();
        if host.is_empty()
            || authority.as_str().contains('@')
            || !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
        {
            return Err(allowed());
        }
        // `host:` and a port over 65535 leave none behind.
        let port = match authority.port_u16() {
            Some(0) => return Err(allowed()),
            Some(port) => port,
            None if authority.as_str().len() == host.len() => usual.ok_or_else(|| {
                format!("`{text}` lacks its port, and the dialect has no usual one")
            })?,
            None => return Err(allowed()),
        };
        Ok(Self { tls, host: host.to_ascii_lowercase(), port })
    }

    /// `host:port`, as one connects to it.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The same place with the other scheme.
    pub(super) fn other_scheme(&self) -> Self {
        Self { tls: !self.tls, ..self.clone() }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_PORT, Server};

    #[test]
    fn forms_of_an_address() {
        for (text, want) in [
            ("127.0.0.1:50051", Some("http://127.0.0.1:50051")),
            ("Localhost:1", Some("http://localhost:1")),
            ("example.org", Some("http://example.org:50051")),
            ("http://h:80/", Some("http://h:80")),
            ("https://h", Some("https://h:50051")),
            ("[::1]:7", Some("http://[::1]:7")),
            ("ftp://h:1", None),
            ("h:0", None),
            ("h:", None),
            ("h:65536", None),
            ("h:x", None),
            ("", None),
            ("http://", None),
            ("h:1/path", None),
            ("h:1?q", None),
            ("me@h:1", None),
            ("a b:1", None),
        ] {
            assert_eq!(
                Server::parse(text, Some(DEFAULT_PORT))
                    .ok()
                    .map(|server| server.to_string())
                    .as_deref(),
                want,
                "{text}"
            );
        }
    }
}

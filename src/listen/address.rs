//! Listen addresses: `host:port` or `interface:port`.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

/// An address to listen on, as it was written: `127.0.0.1:50051`, `[::1]:0`, `localhost:5555`,
/// `lo:3000`, `eth1:3000`.
///
/// With port 0 the system chooses a port. A host that is the name of a local network interface
/// means that interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Returns the host or the interface, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port; with 0 the system chooses one.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the interface, if the host is the name of one.
    pub(super) fn interface(&self) -> Option<&str> {
        // No host begins with a dot, and a path must not leave the directory.
        let here =
            !self.host.starts_with('.') && Path::new("/sys/class/net").join(&self.host).exists();
        here.then_some(self.host.as_str())
    }

    /// Returns true if only this machine can reach the address.
    ///
    /// Judged by the text alone, without a name service: all names except `localhost` and all
    /// interfaces except `lo` count as reachable from outside.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost") || self.host == "lo",
        }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("needs a port: write `host:port`, as in 127.0.0.1:50051")?;
        let port = port.parse().map_err(|_| "the port must be a number from 0 to 65535")?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err("needs an IPv6 address between the brackets, as in [::1]:50051"),
            None if host.contains(':') => {
                return Err("an IPv6 address needs brackets, as in [::1]:50051");
            }
            None => host,
        };
        if host.is_empty() {
            return Err("needs a host before the port: 127.0.0.1 for this machine alone, \
                 0.0.0.0 for all networks");
        }
        if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/' || c == '@') {
            return Err("must be `host:port` or `interface:port`, without a scheme or a path");
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, loopback) in [
            ("127.0.0.1:50051", Ok(true)),
            ("127.8.0.1:0", Ok(true)),
            ("0.0.0.0:80", Ok(false)),
            ("[::1]:50051", Ok(true)),
            ("[::ffff:127.0.0.1]:1", Ok(true)),
            ("[::]:50051", Ok(false)),
            ("localhost:5555", Ok(true)),
            ("lo:3000", Ok(true)),
            ("eth1:3000", Ok(false)),
            ("kv.example.org:443", Ok(false)),
            ("127.0.0.1", Err("port")),
            ("127.0.0.1:", Err("number")),
            ("127.0.0.1:65536", Err("65535")),
            (":50051", Err("host")),
            ("::1:50051", Err("brackets")),
            ("[::1:50051", Err("brackets")),
            ("[lo]:50051", Err("IPv6")),
            ("http://127.0.0.1:80", Err("brackets")),
            ("a/b:80", Err("scheme")),
            ("a b:80", Err("scheme")),
        ] {
            match (text.parse::<Address>(), loopback) {
                (Ok(address), Ok(loopback)) => {
                    assert_eq!(
                        (address.to_string().as_str(), address.is_loopback()),
                        (text, loopback)
                    );
                }
                (Err(rule), Err(part)) => assert!(rule.contains(part), "{text}: {rule}"),
                (got, wanted) => panic!("{text}: {got:?}, but {wanted:?} was wanted"),
            }
        }
    }
}

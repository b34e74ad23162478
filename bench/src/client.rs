//! The server's address, the channels to it, and the calls beside the load.

use std::error::Error as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use std::{fmt, fs};

use kvrpc::model::Reason;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::args::Options;
use crate::failure::{Failure, Result};

const DEFAULT_PORT: u16 = 50051;

/// Address of the server, `http://host:port` or `https://host:port`.
#[derive(Clone, Debug)]
pub(crate) struct Server(Uri);

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || "write host:port, http://host:port or https://host:port".to_owned();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host();
        // A port over 65535 is read as none.
        let port = match authority.port_u16() {
            Some(port) if authority.as_str() == format!("{host}:{port}") => port,
            None if authority.as_str() == host && !host.is_empty() => DEFAULT_PORT,
            Some(_) | None => return Err(wrong()),
        };
        if !matches!(scheme, "http" | "https") || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        format!("{scheme}://{host}:{port}").parse().map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

/// A server, the way to it, and the channel of the calls beside the load.
pub(crate) struct Client {
    server: Server,
    endpoint: Endpoint,
    channel: Channel,
    pub(crate) timeout: Duration,
}

impl Client {
    /// Prepares the connections; the first call opens one.
    ///
    /// # Errors
    /// PEM files that cannot be read or used.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let server = options.server.clone();
        let invalid = |error: tonic::transport::Error| {
            Failure::usage(format!("{server}: {}", root_cause(&error)))
        };
        let mut endpoint = Endpoint::from(server.0.clone())
            .connect_timeout(options.timeout)
            .tcp_nodelay(true)
            .user_agent(concat!("kvrpc-bench/", env!("CARGO_PKG_VERSION")))
            .map_err(invalid)?;
        if server.0.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(tls(options)?).map_err(invalid)?;
        }
        let channel = endpoint.connect_lazy();
        Ok(Self { server, endpoint, channel, timeout: options.timeout })
    }

    /// A channel with a connection of its own, which its first call opens.
    pub(crate) fn connect(&self) -> Channel {
        self.endpoint.connect_lazy()
    }

    /// The channel of the calls beside the load.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Waits for a call beside the load, within the time limit.
    pub(crate) async fn call<R>(
        &self,
        call: impl Future<Output = std::result::Result<Response<R>, Status>>,
    ) -> Result<R> {
        self.attempt(call).await.map_err(|status| self.explain(&status))
    }

    /// The same, with the status of a call that failed.
    pub(crate) async fn attempt<R>(
        &self,
        call: impl Future<Output = std::result::Result<Response<R>, Status>>,
    ) -> std::result::Result<R, Status> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time (see --timeout)")),
        }
    }

    /// The failure that a status is, with the server's reason or the cause of a lost connection.
    pub(crate) fn explain(&self, status: &Status) -> Failure {
        if let Some(cause) = status.source() {
            return Failure::unavailable(format!(
                "no answer from {}: {}",
                self.server,
                root_cause(cause)
            ));
        }
        let message = match reason(status) {
            Some(reason) => format!("{} ({})", status.message(), reason.as_str()),
            None => status.message().to_owned(),
        };
        if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) {
            return Failure::unavailable(message);
        }
        Failure::failed(message)
    }
}

fn tls(options: &Options) -> Result<ClientTlsConfig> {
    let mut config = match &options.ca_cert {
        Some(path) => {
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("--ca-cert", path)?))
        }
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        config = config.identity(Identity::from_pem(read("--cert", cert)?, read("--key", key)?));
    }
    Ok(config)
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        Failure::usage(format!("{option}: cannot read {}: {error}", path.display()))
    })
}

/// The reason that a kvrpc server gave.
pub(crate) fn reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    if info.domain == "kvrpc" { Reason::parse(&info.reason) } else { None }
}

/// The time that the server asks to wait before a retry.
pub(crate) fn retry_wait(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn forms_of_an_address() {
        for (text, want) in [
            ("127.0.0.1:50051", Some("http://127.0.0.1:50051/")),
            ("example.org", Some("http://example.org:50051/")),
            ("https://h", Some("https://h:50051/")),
            ("http://h:80/", Some("http://h:80/")),
            ("[::1]:7", Some("http://[::1]:7/")),
            ("ftp://h:1", None),
            ("h:65536", None),
            ("me@h:1", None),
            ("h:", None),
            ("h:1/path", None),
            ("h:1?q", None),
            ("", None),
            ("a b:1", None),
        ] {
            let server = text.parse::<Server>().ok().map(|server| server.to_string());
            assert_eq!(server.as_deref(), want, "{text}");
        }
    }
}

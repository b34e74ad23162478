//! A legacy client: it connects, sends without a newline, and waits in one `recv(1024)`.

use std::net::SocketAddr;

use kvrpc::model::Method;
use kvrpc::pb::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::grpc::people::accounts;
use crate::grpc::raw::{Failure, Raw};
use crate::harness::{Server, connect, within};

/// Starts a server with the accounts `adam` (password `bill`, a manager) and `bob`, and these
/// protocols.
pub(crate) async fn server(dialects: &[&str], toml: &str) -> Server {
    let mut builder = Server::builder().toml(toml).toml(&accounts());
    for dialect in dialects {
        builder = builder.flag("--compat", format!("{dialect}=127.0.0.1:0"));
    }
    builder.start().await
}

pub(crate) fn protocol(server: &Server, dialect: &str) -> SocketAddr {
    server.addresses.of(dialect).unwrap()
}

pub(crate) struct OldClient(pub(crate) TcpStream);

impl OldClient {
    pub(crate) async fn connect(server: &Server, dialect: &str) -> Self {
        Self(connect(protocol(server, dialect)).await)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Returns the result of one `recv(1024)`; empty if the server has closed.
    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let length = within("an answer", self.0.read(&mut buffer)).await.unwrap();
        buffer[..length].to_vec()
    }

    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes).await;
        String::from_utf8(self.receive().await).unwrap()
    }
}

/// Returns a manager's gRPC client.
pub(crate) async fn manager(server: &Server) -> Raw {
    crate::grpc::people::auth(&Raw::new(server.channel()), "adam", "bill").await.unwrap()
}

pub(crate) async fn get_other(
    client: &Raw,
    user: &str,
    key: &str,
) -> Result<v1::GetOtherResponse, Failure> {
    let request = v1::GetOtherRequest { user: user.to_owned(), key: key.to_owned() };
    client.call(Method::GetOther.path(), &request).await
}

pub(crate) fn value(got: v1::GetOtherResponse) -> String {
    match got.data {
        Some(v1::get_other_response::Data::Value(value)) => value,
        other => panic!("no text: {other:?}"),
    }
}

/// Returns requests as Python's `pickle.dumps(…, protocol=2)` writes them.
pub(crate) fn pickled(requests: &[&[(&str, &str)]]) -> Vec<u8> {
    let mut bytes = b"\x80\x02](".to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(b'X');
        bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    for request in requests {
        bytes.extend(b"}(");
        for (key, value) in *request {
            text(&mut bytes, key);
            text(&mut bytes, value);
        }
        bytes.push(b'u');
    }
    bytes.extend(b"e.");
    bytes
}

/// Returns the strings of a reply of the pickle protocols.
pub(crate) fn unpickled(reply: &[u8]) -> Vec<String> {
    let mut rest = reply.strip_prefix(b"\x80\x02](").unwrap().strip_suffix(b"e.").unwrap();
    let mut strings = Vec::new();
    while let Some(after) = rest.strip_prefix(b"X") {
        let (length, after) = after.split_first_chunk::<4>().unwrap();
        let (text, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        strings.push(String::from_utf8(text.to_vec()).unwrap());
        rest = after;
    }
    assert!(rest.is_empty());
    strings
}

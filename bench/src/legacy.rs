//! Gets and puts over a legacy protocol: one connection, one guest, one store. The operations of a
//! request are sent in one write.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::{Mode, Options};
use crate::caller::{Caller, wrong};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::load::{Load, Operation};
use crate::pickle;
use crate::users::guest_name;
use crate::websocket::Socket;
use kvrpc::model::UserName;
use kvrpc::pb::v1::GetServerInfoRequest;
use kvrpc::pb::v1::server_service_client::ServerServiceClient;

/// The server lets one address open this many sessions at once, and then 100 a second.
const AT_ONCE: usize = 80;
const INTERVAL: Duration = Duration::from_millis(13);
/// Maximum size of a request that fills the store, below the server's limit of 64 KiB.
const MAX_FILL_BYTES: usize = 32 << 10;

/// One connection.
pub(crate) struct LegacyCaller {
    wire: Wire,
    load: Arc<Load>,
}

enum Wire {
    Text(Stream),
    Pickle(Stream),
    WsText(Box<Socket>),
}

/// A TCP connection whose answers are known byte for byte.
struct Stream(TcpStream);

/// Opens all connections, and fills their stores.
pub(crate) async fn callers(
    client: &Client,
    options: &Options,
    load: &Arc<Load>,
    password: Option<&str>,
) -> Result<Vec<Caller>> {
    let address = match &options.listener {
        Some(address) => address.clone(),
        None => address(client, options.mode).await?,
    };
    let account = options.user.as_ref().zip(password);
    let mut callers = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        if index >= AT_ONCE {
            tokio::time::sleep(INTERVAL).await;
        }
        let opening = LegacyCaller::open(options.mode, &address, load, account);
        let caller = timeout(client.timeout, opening).await.unwrap_or_else(|_| {
            Err(Failure::unavailable(format!("{address} gives no answer in time")))
        });
        callers.push(Caller::Legacy(caller?));
    }
    Ok(callers)
}

/// The address that the server reports for a legacy protocol.
async fn address(client: &Client, mode: Mode) -> Result<String> {
    let name = mode.as_str();
    let mut service = ServerServiceClient::new(client.channel());
    let info = client.call(service.get_server_info(GetServerInfoRequest {})).await?;
    let listener = info.listeners.into_iter().find(|listener| listener.protocol == name);
    listener.map(|listener| listener.address).ok_or_else(|| {
        Failure::usage(format!(
            "the server has no `{name}`; start it with --compat {name}=127.0.0.1:PORT, or give \
             --listener"
        ))
    })
}

impl LegacyCaller {
    async fn open(
        mode: Mode,
        address: &str,
        load: &Arc<Load>,
        account: Option<(&UserName, &str)>,
    ) -> Result<Self> {
        let refused = |error: std::io::Error| {
            Failure::unavailable(format!("cannot connect to {address}: {error}"))
        };
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let wire = match mode {
            Mode::Pickle => Wire::Pickle(Stream(stream)),
            Mode::WsText => Wire::WsText(Box::new(Socket::open(stream, address).await?)),
            Mode::Text | Mode::Unary | Mode::Batch | Mode::Pipeline | Mode::Chat => {
                Wire::Text(Stream(stream))
            }
        };
        let mut caller = Self { wire, load: Arc::clone(load) };
        caller.sign_in(account).await?;
        if load.owner.is_none() {
            caller.fill().await?;
        }
        Ok(caller)
    }

    async fn sign_in(&mut self, account: Option<(&UserName, &str)>) -> Result<()> {
        match &mut self.wire {
            Wire::Text(stream) => match account {
                Some((user, password)) => {
                    let line = format!("auth {} {password}\n", user.as_str());
                    stream.ask("auth", line.as_bytes(), b"Authentication success\n").await
                }
                None => Ok(()),
            },
            Wire::Pickle(stream) => {
                stream.send(guest_name().as_bytes()).await?;
                match account {
                    Some(_) => {
                        let request = pickle::requests(&[vec![("method", "upgrade")]]);
                        stream
                            .ask("upgrade", &request, &pickle::reply(&["mode change successfull"]))
                            .await
                    }
                    // A name in the same segment as the first pickle ends where that starts.
                    None => {
                        stream
                            .ask("an empty list", &pickle::requests(&[]), &pickle::reply(&[]))
                            .await
                    }
                }
            }
            Wire::WsText(socket) => {
                socket.ask(&[guest_name()], &["success".to_owned()]).await?;
                match account {
                    Some(_) => {
                        socket
                            .ask(&["upgrade".to_owned()], &["upgraded to manager".to_owned()])
                            .await
                    }
                    None => Ok(()),
                }
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let each = (MAX_FILL_BYTES / (self.load.value.len() + 64)).max(1);
        let keys: Vec<u64> = (0..self.load.keys()).collect();
        for some in keys.chunks(each) {
            let puts: Vec<Operation> =
                some.iter().map(|key| Operation { key: Load::key(*key), write: true }).collect();
            self.run(&puts).await?;
        }
        Ok(())
    }

    pub(crate) async fn request(&mut self, number: u64) -> Result<()> {
        let operations: Vec<Operation> = self.load.operations(number).collect();
        self.run(&operations).await
    }

    async fn run(&mut self, operations: &[Operation]) -> Result<()> {
        let load = Arc::clone(&self.load);
        let value = load.value.as_str();
        match &mut self.wire {
            Wire::Text(stream) => {
                let (mut lines, mut answers) = (String::new(), String::new());
                for Operation { key, write } in operations {
                    let (line, answer) = match (&load.owner, write) {
                        (_, true) => (
                            format!("put {key} {value}\n"),
                            format!("Successfully set {key} as {value}\n"),
                        ),
                        (None, false) => (format!("get {key}\n"), format!("{value}\n")),
                        (Some(owner), false) => {
                            (format!("manage {owner} get {key}\n"), format!("{value}\n"))
                        }
                    };
                    lines.push_str(&line);
                    answers.push_str(&answer);
                }
                stream.ask("text", lines.as_bytes(), answers.as_bytes()).await
            }
            Wire::Pickle(stream) => {
                let requests: Vec<_> =
                    operations.iter().map(|each| pickle::request(each, &load)).collect();
                let answers: Vec<&str> = operations
                    .iter()
                    .map(|each| if each.write { "Successful" } else { value })
                    .collect();
                stream.ask("pickle", &pickle::requests(&requests), &pickle::reply(&answers)).await
            }
            Wire::WsText(socket) => {
                let messages: Vec<String> = operations
                    .iter()
                    .map(|Operation { key, write }| match (&load.owner, write) {
                        (_, true) => format!("put {key} {value}"),
                        (None, false) => format!("get {key}"),
                        (Some(owner), false) => format!("get {owner} {key}"),
                    })
                    .collect();
                let answers: Vec<String> = operations
                    .iter()
                    .map(|each| if each.write { "done" } else { value }.to_owned())
                    .collect();
                socket.ask(&messages, &answers).await
            }
        }
    }
}

impl Stream {
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).await.map_err(lost)
    }

    /// Sends a request, and reads its answer up to the first wrong byte.
    async fn ask(&mut self, what: &str, request: &[u8], want: &[u8]) -> Result<()> {
        self.send(request).await?;
        let mut got = Vec::with_capacity(want.len());
        while got.len() < want.len() {
            let read = self.0.read_buf(&mut got).await.map_err(lost)?;
            if read == 0 || !want.starts_with(&got) {
                // From the start of the line with the difference.
                let same = got.iter().zip(want).take_while(|(got, want)| got == want).count();
                let line =
                    got.iter().take(same).rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let rest = |bytes: &[u8]| bytes.get(line..).unwrap_or_default().to_vec();
                return Err(wrong(what, &rest(&got), &rest(want)));
            }
        }
        Ok(())
    }
}

/// A broken connection.
pub(crate) fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::unavailable(format!("the connection is lost: {error}"))
}

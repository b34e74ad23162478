//! Gets and puts at a socket door: one connection, one guest, one store; a request's operations go
//! out in one write.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lane::wrong;
use super::load::{Load, Operation};
use super::people::guest_name;
use super::pickle;
use super::websocket::Socket;
use crate::client::args::Settings;
use crate::client::commands::services::info;
use crate::client::failure::{Failure, Result};
use crate::client::session::Session;
use crate::dialect::grammar::{BenchCall, BenchMode};

/// A source may open so many sessions at once, and then a hundred a second.
const AT_ONCE: usize = 80;
const DISTANCE: Duration = Duration::from_millis(13);
/// A request that fills the store stays below what a door takes.
const MAX_FILL_BYTES: usize = 32 << 10;

/// One connection.
pub(super) struct DoorLane {
    wire: Wire,
    load: Arc<Load>,
}

enum Wire {
    Text(Stream),
    Pickle(Stream),
    WsText(Box<Socket>),
}

/// A TCP connection whose answers are known byte for byte.
pub(super) struct Stream(TcpStream);

/// All connections, each with its store filled.
pub(super) async fn lanes(
    session: &Session,
    call: &BenchCall,
    load: &Arc<Load>,
    password: Option<&str>,
) -> Result<Vec<super::Lane>> {
    let address = match &call.door {
        Some(address) => address.clone(),
        None => address(session, call.mode).await?,
    };
    let mut lanes = Vec::with_capacity(call.connections);
    for index in 0..call.connections {
        if index >= AT_ONCE {
            tokio::time::sleep(DISTANCE).await;
        }
        let opening = DoorLane::open(&session.settings, call.mode, &address, load, password);
        let silent = |_| {
            Err(Failure::new(
                crate::client::Exit::Unavailable,
                format!("{address} gives no answer in time"),
            ))
        };
        lanes.push(super::Lane::Door(
            timeout(session.settings.timeout, opening).await.unwrap_or_else(silent)?,
        ));
    }
    Ok(lanes)
}

/// Where the server says that the door is.
pub(super) async fn address(session: &Session, mode: BenchMode) -> Result<String> {
    let dialect = mode.as_str();
    let doors = info(session).await?.doors;
    doors.into_iter().find(|door| door.dialect == dialect).map(|door| door.address).ok_or_else(|| {
        Failure::usage(format!(
            "the server has no door `{dialect}`; start it with --compat {dialect}=127.0.0.1:PORT, or give --door"
        ))
    })
}

impl DoorLane {
    async fn open(
        settings: &Settings,
        mode: BenchMode,
        address: &str,
        load: &Arc<Load>,
        password: Option<&str>,
    ) -> Result<Self> {
        let lost = |error: std::io::Error| {
            Failure::new(
                crate::client::Exit::Unavailable,
                format!("cannot connect to {address}: {error}"),
            )
        };
        let stream = TcpStream::connect(address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let wire = match mode {
            BenchMode::Pickle => Wire::Pickle(Stream(stream)),
            BenchMode::WsText => Wire::WsText(Box::new(Socket::open(stream, address).await?)),
            BenchMode::Text
            | BenchMode::Unary
            | BenchMode::Batch
            | BenchMode::Pipeline
            | BenchMode::Chat
            | BenchMode::Compare => Wire::Text(Stream(stream)),
        };
        let mut lane = Self { wire, load: Arc::clone(load) };
        lane.sign_in(settings, password).await?;
        if load.owner.is_none() {
            lane.fill().await?;
        }
        Ok(lane)
    }

    async fn sign_in(&mut self, settings: &Settings, password: Option<&str>) -> Result<()> {
        match &mut self.wire {
            Wire::Text(stream) => match password {
                Some(password) => {
                    let line = format!("auth {} {password}\n", settings.user.as_str());
                    stream.ask("auth", line.as_bytes(), b"Authentication success\n").await
                }
                None => Ok(()),
            },
            Wire::Pickle(stream) => {
                stream.send(guest_name().as_bytes()).await?;
                match password {
                    Some(_) => {
                        let request = pickle::requests(&[vec![("method", "upgrade")]]);
                        stream
                            .ask("upgrade", &request, &pickle::reply(&["mode change successfull"]))
                            .await
                    }
                    // A name that shares a segment with the first pickle ends before it.
                    None => {
                        stream
                            .ask("an empty list", &pickle::requests(&[]), &pickle::reply(&[]))
                            .await
                    }
                }
            }
            Wire::WsText(socket) => {
                socket.ask(&[guest_name()], &["success".to_owned()]).await?;
                match password {
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

    pub(super) async fn request(&mut self, number: u64) -> Result<()> {
        let operations: Vec<Operation> = self.load.operations(number).collect();
        self.run(&operations).await
    }

    /// Sends a get, and reads nothing.
    pub(super) async fn ask_only(&mut self, number: u64) -> Result<()> {
        let operations: Vec<Operation> = self.load.operations(number).collect();
        for Operation { key, .. } in operations {
            match &mut self.wire {
                Wire::Text(stream) => stream.send(format!("get {key}\n").as_bytes()).await?,
                Wire::Pickle(stream) => {
                    stream
                        .send(&pickle::requests(&[vec![("method", "get"), ("key", &key)]]))
                        .await?
                }
                Wire::WsText(socket) => socket.send(&format!("get {key}")).await?,
            }
        }
        Ok(())
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

    /// Sends a request, and reads its answer as long as it is the right one.
    async fn ask(&mut self, what: &str, request: &[u8], want: &[u8]) -> Result<()> {
        self.send(request).await?;
        let mut got = Vec::with_capacity(want.len());
        while got.len() < want.len() {
            let read = self.0.read_buf(&mut got).await.map_err(lost)?;
            if read == 0 || !want.starts_with(&got) {
                // From the line on in which the difference is.
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

/// A connection that broke.
pub(super) fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::new(crate::client::Exit::Unavailable, format!("the connection is lost: {error}"))
}

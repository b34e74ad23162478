//! Round trips, counted by making each of them long: a relay in front of the server holds every
//! byte back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::super::{Load, Person};
use super::{TRANSPORTS, caller, load};
use crate::client::args::Settings;
use crate::client::failure::{Failure, Result};
use crate::client::server::Server;
use crate::client::session::Session;
use crate::dialect::grammar::BenchCall;

/// How long a byte is on its way, one way: far above what the server itself takes.
const DELAY: Duration = Duration::from_millis(50);
const OPERATIONS: u32 = 4;
/// What a direction holds at most.
const MAX_HELD: usize = 1 << 20;

/// How often a client waits for the server.
pub(super) struct Trips {
    pub(super) transport: &'static str,
    /// From nothing to the answer of the first put, the connection's own one included.
    pub(super) first: f64,
    /// Each further operation.
    pub(super) each: f64,
}

impl Trips {
    pub(super) fn json(&self) -> Json {
        json!({ "transport": self.transport, "first_put": self.first, "each_operation": self.each })
    }
}

/// The round trips of every transport.
pub(super) async fn all(session: &Session, call: &BenchCall) -> Result<Vec<Trips>> {
    let mut all = Vec::new();
    for (mode, transport) in TRANSPORTS {
        let one = BenchCall { connections: 1, keys: 1, ..load(call, mode) };
        let target = if mode.is_door() {
            super::super::door::address(session, mode).await?
        } else {
            session.settings.server.address()
        };
        let relay = Relay::start(target).await?;
        let through = if mode.is_door() {
            None
        } else {
            Some(Session::new(relay.settings(&session.settings)?)?)
        };
        let one = BenchCall { door: mode.is_door().then(|| relay.address.clone()), ..one };
        let way = through.as_ref().unwrap_or(session);
        let start = Instant::now();
        let mut signed_in = None;
        if !mode.is_door() {
            // A client with one connection, for the sign-in and the put.
            let person = Person::guest(way).await?;
            person.fill(way, &Load::new(&one, None)).await?;
            signed_in = Some((start.elapsed(), person));
        }
        let (mut lane, person) = caller(way, &one).await?;
        let time = match signed_in {
            Some((time, guest)) => {
                guest.end(session, 0).await?;
                time
            }
            None => start.elapsed(),
        };
        // The relay accepts at once; over a network, TCP itself takes one.
        let first = trips(time) + 1.0;
        lane.request(0, Instant::now()).await?;
        let start = Instant::now();
        for number in 0..OPERATIONS {
            lane.request(number.into(), Instant::now()).await?;
        }
        all.push(Trips { transport, first, each: trips(start.elapsed()) / f64::from(OPERATIONS) });
        if let Some(person) = person {
            person.end(session, 0).await?;
        }
    }
    Ok(all)
}

/// Whole round trips in a time.
fn trips(time: Duration) -> f64 {
    (time.as_secs_f64() / (2 * DELAY).as_secs_f64()).round()
}

/// A relay on a port of its own. Dropped, it ends with all its connections.
struct Relay {
    address: String,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(target: String) -> Result<Self> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot relay: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            // Both sides of the few connections that a comparison opens.
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                connections.spawn(hold(from_client, to_server));
                connections.spawn(hold(from_server, to_client));
            }
        });
        Ok(Self { address, _tasks: tasks })
    }

    /// The same settings, by way of the relay.
    fn settings(&self, settings: &Settings) -> Result<Arc<Settings>> {
        let scheme = if settings.server.tls { "https" } else { "http" };
        let server = Server::parse(&format!("{scheme}://{}", self.address), None)
            .map_err(Failure::failed)?;
        Ok(Arc::new(Settings { server, ..settings.clone() }))
    }
}

/// One direction: each piece goes on when its time has come.
async fn hold(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let (mut bytes, mut open) = (0, true);
    let mut buffer = vec![0; 64 << 10];
    while open || !held.is_empty() {
        let due = held.front().map(|(due, _)| *due);
        tokio::select! {
            read = from.read(&mut buffer), if open && bytes < MAX_HELD => match read {
                Ok(length @ 1..) => {
                    bytes += length;
                    held.push_back((Instant::now() + DELAY, buffer.get(..length).unwrap_or_default().to_vec()));
                }
                Ok(0) | Err(_) => open = false,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some((_, piece)) = held.pop_front() else { continue };
                bytes -= piece.len();
                if to.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    }
}

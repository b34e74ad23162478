//! A reader that asks for large values and does not read: what it gets, and what others notice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::super::drive::Run;
use super::super::report::micros;
use super::super::{Lane, Load, Person, door, grpc, measure};
use super::wire::{counters, opened};
use super::{RATE, TRANSPORTS, load};
use crate::client::explain::explain;
use crate::client::failure::Result;
use crate::client::session::Session;
use crate::dialect::grammar::{BenchCall, BenchMode};
use crate::pb::v1::ScanRequest;
use crate::pb::v1::key_value_service_client::KeyValueServiceClient;

/// Values large enough to fill every buffer on the way soon.
const VALUE_BYTES: usize = 50_000;
const REQUESTS: u64 = 1_000;
/// After so long without getting rid of a request, there is no more room for one.
const STALLED: Duration = Duration::from_secs(1);

/// What came of it.
pub(super) struct Slow {
    pub(super) transport: &'static str,
    /// Requests that the reader got rid of; a Scan is one.
    pub(super) requests: u64,
    /// Bytes that its side of the connection took in, unread.
    pub(super) received: u64,
    /// p99 of others in µs: before, and meanwhile.
    pub(super) before: f64,
    pub(super) meanwhile: f64,
    /// p99 of gets on the very connection.
    pub(super) same_connection: Option<f64>,
}

impl Slow {
    pub(super) fn json(&self) -> Json {
        json!({
            "transport": self.transport,
            "requests": self.requests,
            "bytes_received": self.received,
            "p99_us_before": self.before,
            "p99_us_meanwhile": self.meanwhile,
            "p99_us_same_connection": self.same_connection,
        })
    }
}

/// A slow reader of every transport.
pub(super) async fn all(session: &Session, call: &BenchCall) -> Result<Vec<Slow>> {
    let mut all = Vec::new();
    for (mode, transport) in TRANSPORTS {
        let others = BenchCall { rate: Some(RATE), ..load(call, mode) };
        let before = micros(&measure(session, &others, None).await?.latency, 99.0);
        let greedy = BenchCall {
            connections: 1,
            writes: 0,
            keys: 100,
            value_size: VALUE_BYTES,
            ..load(call, mode)
        };
        let sockets = counters().await?;
        all.push(if mode == BenchMode::Unary {
            let person = Person::guest(session).await?;
            let wanted = Arc::new(Load::new(&greedy, None));
            person.fill(session, &wanted).await?;
            let lanes =
                grpc::lanes(session, &greedy, &wanted, std::slice::from_ref(&person)).await?;
            let channel = lanes.first().map(|lane| lane.channel());
            let mut client =
                KeyValueServiceClient::new(channel.unwrap_or_else(|| session.channel()));
            let scan = match client.scan(person.request(ScanRequest::default())).await {
                Ok(response) => response.into_inner(),
                Err(status) => return Err(explain(&status, &session.settings).await),
            };
            tokio::time::sleep(STALLED).await;
            let received = opened(&sockets).await?.received;
            let meanwhile = micros(&measure(session, &others, None).await?.latency, 99.0);
            // Small answers beside the stream that nobody reads.
            let small = BenchCall {
                connections: 1,
                keys: 1,
                rate: Some(RATE),
                writes: 0,
                ..load(call, mode)
            };
            let guest = Person::guest(session).await?;
            let wanted = Arc::new(Load::new(&small, None));
            guest.fill(session, &wanted).await?;
            let lanes = lanes
                .into_iter()
                .map(|lane| Lane::Grpc(Box::new(lane.of(&guest, &wanted))))
                .collect();
            let same = Run::new(&small, session.settings.timeout)?.drive(lanes).await?;
            drop(scan);
            guest.end(session, 0).await?;
            person.end(session, 0).await?;
            let same_connection = Some(micros(&same.latency, 99.0));
            Slow { transport, requests: 1, received, before, meanwhile, same_connection }
        } else {
            let wanted = Arc::new(Load::new(&greedy, None));
            let mut lanes = door::lanes(session, &greedy, &wanted, None).await?;
            let mut requests = 0;
            if let Some(Lane::Door(lane)) = lanes.first_mut() {
                // A request that fits only in part still waits in our own buffer.
                while requests < REQUESTS
                    && matches!(timeout(STALLED, lane.ask_only(requests)).await, Ok(Ok(())))
                {
                    requests += 1;
                }
            }
            let received = opened(&sockets).await?.received;
            let meanwhile = micros(&measure(session, &others, None).await?.latency, 99.0);
            drop(lanes);
            Slow { transport, requests, received, before, meanwhile, same_connection: None }
        });
    }
    Ok(all)
}

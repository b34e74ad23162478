//! `doctor`: looks step by step at what a command needs, and names the next step where one fails.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Exit;
use super::commands::services::{info, now};
use super::connect::{Peer, probe};
use super::convert;
use super::explain::{for_people, timed_out};
use super::failure::{Failure, Result};
use super::output::{Output, Row};
use super::session::{ClientSession, Need};
use kvrpc::pb::v1::WhoAmIRequest;
use kvrpc::pb::v1::auth_service_client::AuthServiceClient;

/// Clocks further apart than this make `--expire-time` mean another time there.
const MAX_SKEW: Duration = Duration::from_secs(2);

/// Findings of the checks so far.
struct Report<'a> {
    output: &'a mut Output,
    failed: usize,
    worst: Option<Exit>,
}

/// Makes all checks; those of the server end with the first that fails, since the others need it.
pub(super) async fn run(session: &ClientSession, output: &mut Output) -> Result<()> {
    let mut report = Report { output, failed: 0, worst: None };
    let kept = session.cache.check();
    let kept = kept.map(|dir| format!("{} is writable and private", dir.display()));
    report.tell("token cache", kept.map_err(Failure::failed))?;
    server(session, &mut report).await?;
    report.output.end_rows()?;
    match report.worst {
        None => Ok(()),
        Some(exit) => Err(Failure::new(exit, format!("{} of the checks failed", report.failed))),
    }
}

async fn server(session: &ClientSession, report: &mut Report<'_>) -> Result<()> {
    let reached = report.tell("address", resolve(session).await)?
        && report.tell("connection", connect(session).await)?
        && report.tell("protocol", protocol(session).await)?
        && report.tell("health", health(session).await)?;
    if reached {
        report.tell("version", version(session).await)?;
        report.tell("session", whoami(session).await)?;
        report.tell("clock", clock(session).await)?;
    }
    Ok(())
}

impl Report<'_> {
    fn tell(&mut self, step: &str, found: Result<String>) -> Result<bool> {
        let (mark, text) = match &found {
            Ok(text) => ("ok", text.as_str()),
            Err(failure) => {
                self.failed += 1;
                self.worst.get_or_insert(failure.exit);
                ("fail", failure.message())
            }
        };
        let json = json!({ "step": step, "ok": found.is_ok(), "text": text });
        self.output.row(&Row { text: format!("{mark:<4}  {step:<11}  {text}"), json })?;
        Ok(found.is_ok())
    }
}

async fn resolve(session: &ClientSession) -> Result<String> {
    let address = session.settings.server.address();
    let unknown = || {
        Failure::new(Exit::Unavailable, format!("no host of this name: {address}; see --server"))
    };
    let found = timeout(session.settings.timeout, lookup_host(&address))
        .await
        .map_err(|_| timed_out(&session.settings))?;
    let found: Vec<String> =
        found.map_err(|_| unknown())?.map(|address| address.ip().to_string()).collect();
    if found.is_empty() { Err(unknown()) } else { Ok(format!("{address} is {}", found.join(", "))) }
}

async fn connect(session: &ClientSession) -> Result<String> {
    let address = session.settings.server.address();
    match timeout(session.settings.timeout, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Ok("something listens there".to_owned()),
        Ok(Err(error)) => Err(Failure::new(
            Exit::Unavailable,
            format!(
                "cannot connect to {address}: {error}; start a server with `kvrpc-server`, or \
                 name another with --server"
            ),
        )),
        Err(_) => Err(timed_out(&session.settings)),
    }
}

async fn protocol(session: &ClientSession) -> Result<String> {
    let server = &session.settings.server;
    let wrong = |message: String| Err(Failure::new(Exit::Unavailable, message));
    match (server.tls, probe(server).await) {
        (false, Some(Peer::Http2)) => Ok("HTTP/2".to_owned()),
        (true, Some(Peer::Tls)) => Ok("TLS".to_owned()),
        (false, Some(Peer::Tls)) => wrong(format!("it speaks TLS; use {}", server.other_scheme())),
        (true, Some(Peer::Http2)) => {
            wrong(format!("it does not speak TLS; use {}", server.other_scheme()))
        }
        (_, Some(Peer::Http1 | Peer::Other)) => {
            wrong("it does not speak gRPC; is it the right port?".to_owned())
        }
        (_, Some(Peer::Silent)) => wrong("it does not answer; is it the right port?".to_owned()),
        (_, None) => wrong("it no longer accepts connections; try again".to_owned()),
    }
}

async fn health(session: &ClientSession) -> Result<String> {
    let rpc = async |channel, request| HealthClient::new(channel).check(request).await;
    let reply = session.call(Need::Nothing, HealthCheckRequest::default(), rpc).await?;
    match ServingStatus::try_from(reply.status) {
        Ok(ServingStatus::Serving) => Ok("serving".to_owned()),
        Ok(ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown)
        | Err(_) => Err(Failure::new(
            Exit::Unavailable,
            "it is not serving: it stops, or its store is away; try again later",
        )),
    }
}

async fn version(session: &ClientSession) -> Result<String> {
    let info = info(session).await?;
    let own = env!("CARGO_PKG_VERSION");
    let difference =
        if info.version == own { String::new() } else { format!(", and this is kvrpc-cli {own}") };
    Ok(format!("kvrpc-server {}{difference}, store engine {}", info.version, info.store_engine))
}

async fn whoami(session: &ClientSession) -> Result<String> {
    if !session.exists() {
        return Ok("none yet; the first command that needs one opens it".to_owned());
    }
    let rpc = async |channel, request| AuthServiceClient::new(channel).who_am_i(request).await;
    let reply = session.call(Need::ThisSession, WhoAmIRequest {}, rpc).await?;
    let user = super::session::user_of(reply.user)?;
    let until = convert::time(reply.session_expire_time).unwrap_or_default();
    Ok(format!("{} ({}), until {until} or longer", user.name, convert::role(user.role)))
}

async fn clock(session: &ClientSession) -> Result<String> {
    let began = Instant::now();
    let reply = now(session).await?;
    // The server looked at its clock somewhen during the call.
    let took = began.elapsed();
    let here = jiff::Timestamp::now();
    let there = reply.time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    let there = there.ok_or_else(|| Failure::failed("the server's time is none"))?;
    let apart = here.duration_since(there).unsigned_abs().saturating_sub(took);
    if apart <= MAX_SKEW {
        return Ok(format!(
            "no more than {} apart",
            for_people(apart.max(Duration::from_millis(1)))
        ));
    }
    Err(Failure::failed(format!(
        "the server's clock is {} off from this machine's; give --ttl rather than --expire-time, \
         and let both keep time (NTP)",
        for_people(apart)
    )))
}

//! The small services: encode, decode, now, calc, info.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::convert;
use crate::explain::for_people;
use crate::failure::{Failure, Result};
use crate::output::Row;
use crate::run::Runner;
use crate::session::{Need, Session};
use kvrpc::pb::v1::calculator_service_client::CalculatorServiceClient;
use kvrpc::pb::v1::clock_service_client::ClockServiceClient;
use kvrpc::pb::v1::codec_service_client::CodecServiceClient;
use kvrpc::pb::v1::server_service_client::ServerServiceClient;
use kvrpc::pb::v1::{
    CalculateRequest, DecodeRequest, EncodeRequest, GetServerInfoRequest, GetServerInfoResponse,
    Limits, NowRequest, NowResponse,
};

impl Runner {
    pub(crate) async fn encode(&mut self, text: String) -> Result<()> {
        let rpc = async |channel, request| CodecServiceClient::new(channel).encode(request).await;
        let reply = self.session.call(Need::Nothing, EncodeRequest { text }, rpc).await?;
        let json = json!({ "bits": reply.bits });
        Ok(self.output.result(&Row { text: reply.bits, json })?)
    }

    pub(crate) async fn decode(&mut self, bits: String) -> Result<()> {
        let rpc = async |channel, request| CodecServiceClient::new(channel).decode(request).await;
        let reply = self.session.call(Need::Nothing, DecodeRequest { bits }, rpc).await?;
        let json = json!({ "text": reply.text });
        Ok(self.output.result(&Row { text: reply.text, json })?)
    }

    pub(crate) async fn now(&mut self) -> Result<()> {
        let reply = now(&self.session).await?;
        let text = format!("{} {}", reply.date, reply.time_of_day);
        let time = convert::time(reply.time);
        let json = json!({ "time": time, "date": reply.date, "time_of_day": reply.time_of_day });
        Ok(self.output.result(&Row { text, json })?)
    }

    pub(crate) async fn calc(&mut self, expression: String) -> Result<()> {
        let rpc =
            async |channel, request| CalculatorServiceClient::new(channel).calculate(request).await;
        let reply = self.session.call(Need::Nothing, CalculateRequest { expression }, rpc).await?;
        let json = json!({ "result": reply.result, "text": reply.text });
        Ok(self.output.result(&Row { text: reply.text, json })?)
    }

    pub(crate) async fn info(&mut self) -> Result<()> {
        let info = info(&self.session).await?;
        let limits =
            info.limits.ok_or_else(|| Failure::failed("the server's reply names no limits"))?;
        let mut rows = vec![
            ("version", json!(info.version)),
            ("store_engine", json!(info.store_engine)),
            ("durability", json!(convert::durability(info.durability))),
            ("upgrade_policy", json!(convert::upgrade_policy(info.upgrade_policy))),
        ];
        let limits = limit_rows(&limits);
        let doors = info.doors.iter().map(
            |door| json!({ "dialect": door.dialect, "address": door.address, "tls": door.tls }),
        );
        if self.output.is_text() {
            rows.extend(limits);
            let mut cells: Vec<_> = rows
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), plain(&value)])
                .collect();
            cells.extend(info.doors.iter().map(|door| {
                let tls = if door.tls { ", TLS" } else { "" };
                vec!["door".to_owned(), format!("{} on {}{tls}", door.dialect, door.address)]
            }));
            return Ok(self.output.table(&[], &cells, std::iter::empty())?);
        }
        rows.push((
            "limits",
            limits.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ));
        rows.push(("doors", doors.collect()));
        let json = rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(self.output.result(&Row { text: String::new(), json })?)
    }
}

/// What the server tells of itself.
pub(crate) async fn info(session: &Session) -> Result<GetServerInfoResponse> {
    let rpc =
        async |channel, request| ServerServiceClient::new(channel).get_server_info(request).await;
    session.call(Need::Nothing, GetServerInfoRequest {}, rpc).await
}

/// The server's time.
pub(crate) async fn now(session: &Session) -> Result<NowResponse> {
    let rpc = async |channel, request| ClockServiceClient::new(channel).now(request).await;
    session.call(Need::Nothing, NowRequest {}, rpc).await
}

fn limit_rows(limits: &Limits) -> Vec<(&'static str, Json)> {
    vec![
        ("max_key_bytes", json!(limits.max_key_bytes)),
        ("max_value_bytes", json!(limits.max_value_bytes)),
        ("min_ttl", duration(limits.min_ttl)),
        ("max_ttl", duration(limits.max_ttl)),
        ("max_name_characters", json!(limits.max_name_characters)),
        ("max_batch_operations", json!(limits.max_batch_operations)),
        ("max_message_bytes", json!(limits.max_message_bytes)),
        ("max_page_size", json!(limits.max_page_size)),
        ("max_keys_per_user", json!(limits.max_keys_per_user)),
        ("max_bytes_per_user", json!(limits.max_bytes_per_user)),
        ("entry_overhead_bytes", json!(limits.entry_overhead_bytes)),
        ("max_bytes_total", json!(limits.max_bytes_total)),
        ("max_sessions", json!(limits.max_sessions)),
        ("guest_idle_timeout", duration(limits.guest_idle_timeout)),
        ("account_session_age", duration(limits.account_session_age)),
        ("call_timeout", duration(limits.call_timeout)),
        ("request_id_window", duration(limits.request_id_window)),
        ("max_request_ids", json!(limits.max_request_ids)),
    ]
}

fn duration(given: Option<prost_types::Duration>) -> Json {
    match given.map(Duration::try_from) {
        Some(Ok(duration)) => json!(for_people(duration)),
        Some(Err(_)) | None => Json::Null,
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

//! The small services: encode, decode, now, calc, info.

use serde_json::{Value as Json, json};

use crate::convert;
use crate::failure::{Failure, Result};
use crate::output::Row;
use crate::run::Runner;
use crate::session::{ClientSession, Need};
use kvrpc::model::Amount;
use kvrpc::pb::reported_limits;
use kvrpc::pb::v1::calculator_service_client::CalculatorServiceClient;
use kvrpc::pb::v1::clock_service_client::ClockServiceClient;
use kvrpc::pb::v1::codec_service_client::CodecServiceClient;
use kvrpc::pb::v1::server_service_client::ServerServiceClient;
use kvrpc::pb::v1::{
    CalculateRequest, DecodeRequest, EncodeRequest, GetServerInfoRequest, GetServerInfoResponse,
    NowRequest, NowResponse,
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
        let limits = reported_limits(&limits).into_iter();
        let limits = limits.map(|(name, amount)| (name, amount.map_or(Json::Null, json_amount)));
        let listeners = info.listeners.iter().map(|listener| {
            let (address, tls) = (&listener.address, listener.tls);
            json!({ "protocol": listener.protocol, "address": address, "tls": tls })
        });
        if self.output.is_text() {
            rows.extend(limits);
            let mut cells: Vec<_> = rows
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), plain(&value)])
                .collect();
            cells.extend(info.listeners.iter().map(|listener| {
                let tls = if listener.tls { ", TLS" } else { "" };
                vec![
                    "listener".to_owned(),
                    format!("{} on {}{tls}", listener.protocol, listener.address),
                ]
            }));
            return Ok(self.output.table(&[], &cells, std::iter::empty())?);
        }
        rows.push(("limits", limits.map(|(name, value)| (name.to_owned(), value)).collect()));
        rows.push(("listeners", listeners.collect()));
        let json = rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(self.output.result(&Row { text: String::new(), json })?)
    }
}

/// The server's version, limits and listeners.
pub(crate) async fn info(session: &ClientSession) -> Result<GetServerInfoResponse> {
    let rpc =
        async |channel, request| ServerServiceClient::new(channel).get_server_info(request).await;
    session.call(Need::Nothing, GetServerInfoRequest {}, rpc).await
}

/// The server's time.
pub(crate) async fn now(session: &ClientSession) -> Result<NowResponse> {
    let rpc = async |channel, request| ClockServiceClient::new(channel).now(request).await;
    session.call(Need::Nothing, NowRequest {}, rpc).await
}

fn json_amount(amount: Amount) -> Json {
    match amount {
        Amount::Number(number) => json!(number),
        Amount::Duration(_) => json!(amount.to_string()),
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

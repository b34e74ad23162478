//! Gets, puts and batches over gRPC.

use std::sync::Arc;

use tonic::transport::Channel;

use super::lane::wrong;
use super::load::{Load, Operation as Planned};
use super::people::Person;
use crate::client::args::Settings;
use crate::client::connect;
use crate::client::explain::explain;
use crate::client::failure::{Failure, Result};
use crate::client::session::Session;
use crate::dialect::grammar::{BenchCall, BenchMode};
use crate::pb::v1::key_value_service_client::KeyValueServiceClient;
use crate::pb::v1::operation::Operation as Kind;
use crate::pb::v1::operation_result::Result as Answer;
use crate::pb::v1::{
    BatchRequest, GetOperation, GetOtherRequest, GetRequest, Operation, PutOperation, PutRequest, get_other_response,
    get_response, get_result, put_operation, put_request,
};

/// One call in flight.
pub(super) struct GrpcLane {
    client: KeyValueServiceClient<Channel>,
    caller: Arc<Person>,
    load: Arc<Load>,
    settings: Arc<Settings>,
    batched: bool,
}

/// The lanes of all connections: so many on each as there may be calls in flight.
pub(super) fn lanes(session: &Session, call: &BenchCall, load: &Arc<Load>, caller: &Person) -> Result<Vec<GrpcLane>> {
    let caller = Arc::new(caller.clone());
    let mut lanes = Vec::with_capacity(call.connections * call.in_flight);
    for _ in 0..call.connections {
        let client = KeyValueServiceClient::new(connect::channel(&session.settings)?);
        lanes.extend((0..call.in_flight).map(|_| GrpcLane {
            client: client.clone(),
            caller: Arc::clone(&caller),
            load: Arc::clone(load),
            settings: Arc::clone(&session.settings),
            batched: call.mode == BenchMode::Batch,
        }));
    }
    Ok(lanes)
}

impl GrpcLane {
    pub(super) async fn request(&mut self, number: u64) -> Result<()> {
        let load = Arc::clone(&self.load);
        if self.batched {
            let planned: Vec<Planned> = load.operations(number).collect();
            return self.batch(&load, &planned).await;
        }
        for operation in load.operations(number) {
            match (&load.owner, operation.write) {
                (_, true) => self.put(&load, operation.key).await?,
                (None, false) => self.get(&load, operation.key).await?,
                (Some(owner), false) => self.get_other(&load, owner.clone(), operation.key).await?,
            }
        }
        Ok(())
    }

    async fn get(&mut self, load: &Load, key: String) -> Result<()> {
        let answer = self.client.get(self.caller.request(GetRequest { key })).await;
        let data = self.checked(answer).await?.data;
        match data {
            Some(get_response::Data::Value(value)) if value == load.value => Ok(()),
            other => Err(wrong("Get", format!("{other:?}").as_bytes(), load.value.as_bytes())),
        }
    }

    async fn get_other(&mut self, load: &Load, user: String, key: String) -> Result<()> {
        let answer = self.client.get_other(self.caller.request(GetOtherRequest { user, key })).await;
        let data = self.checked(answer).await?.data;
        match data {
            Some(get_other_response::Data::Value(value)) if value == load.value => Ok(()),
            other => Err(wrong("GetOther", format!("{other:?}").as_bytes(), load.value.as_bytes())),
        }
    }

    async fn put(&mut self, load: &Load, key: String) -> Result<()> {
        let data = Some(put_request::Data::Value(load.value.clone()));
        let answer = self.client.put(self.caller.request(PutRequest { key, data, ..Default::default() })).await;
        match self.checked(answer).await?.revision {
            0 => Err(wrong("Put", b"revision 0", b"a revision")),
            _ => Ok(()),
        }
    }

    async fn batch(&mut self, load: &Load, planned: &[Planned]) -> Result<()> {
        let operations = planned.iter().map(|planned| operation(load, planned)).collect();
        let answer =
            self.client.batch(self.caller.request(BatchRequest { operations, request_id: String::new() })).await;
        let results = self.checked(answer).await?.results;
        if results.len() != planned.len() {
            let (got, want) = (results.len().to_string(), planned.len().to_string());
            return Err(wrong("Batch, in results", got.as_bytes(), want.as_bytes()));
        }
        for (planned, result) in planned.iter().zip(results) {
            let right = match (&result.result, planned.write) {
                (Some(Answer::Put(put)), true) => put.revision > 0,
                (Some(Answer::Get(get)), false) => {
                    matches!(&get.data, Some(get_result::Data::Value(value)) if *value == load.value)
                }
                _ => false,
            };
            if !right {
                return Err(wrong("Batch", format!("{result:?}").as_bytes(), load.value.as_bytes()));
            }
        }
        Ok(())
    }

    async fn checked<R>(&self, answer: std::result::Result<tonic::Response<R>, tonic::Status>) -> Result<R> {
        match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err::<R, Failure>(explain(&status, &self.settings).await),
        }
    }
}

fn operation(load: &Load, planned: &Planned) -> Operation {
    let key = planned.key.clone();
    let kind = if planned.write {
        Kind::Put(PutOperation {
            key,
            data: Some(put_operation::Data::Value(load.value.clone())),
            ..Default::default()
        })
    } else {
        Kind::Get(GetOperation { key })
    };
    Operation { operation: Some(kind) }
}

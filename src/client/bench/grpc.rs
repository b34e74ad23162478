//! Gets, puts and batches over gRPC, one a call or on a stream.

use std::sync::Arc;

use tonic::Request;
use tonic::transport::Channel;

use super::each;
use super::lane::wrong;
use super::load::{Load, Operation as Planned};
use super::people::Person;
use super::pipeline::Pipe;
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
    BatchRequest, GetOperation, GetOtherRequest, GetRequest, Operation, PutOperation, PutRequest,
    get_other_response, get_response, get_result, put_operation, put_request,
};

/// One call in flight.
pub(super) struct GrpcLane {
    channel: Channel,
    client: KeyValueServiceClient<Channel>,
    callers: Arc<[Person]>,
    /// Whose turn it is.
    turn: usize,
    load: Arc<Load>,
    settings: Arc<Settings>,
    batched: bool,
    /// The stream that its connection's lanes share.
    pipe: Option<Pipe>,
}

/// The lanes of all connections: so many on each as there may be calls in flight.
pub(super) async fn lanes(
    session: &Session,
    call: &BenchCall,
    load: &Arc<Load>,
    callers: &[Person],
) -> Result<Vec<GrpcLane>> {
    let callers: Arc<[Person]> = callers.into();
    let mut lanes = Vec::with_capacity(call.connections * call.in_flight);
    for _ in 0..call.connections {
        let channel = connect::channel(&session.settings)?;
        let client = KeyValueServiceClient::new(channel.clone());
        let pipe = match (call.mode, callers.first()) {
            (BenchMode::Pipeline, Some(caller)) => {
                Some(Pipe::open(channel.clone(), caller, call.in_flight, &session.settings).await?)
            }
            _ => None,
        };
        lanes.extend((0..call.in_flight).map(|_| GrpcLane {
            channel: channel.clone(),
            client: client.clone(),
            callers: Arc::clone(&callers),
            turn: 0,
            load: Arc::clone(load),
            settings: Arc::clone(&session.settings),
            batched: call.mode != BenchMode::Unary,
            pipe: pipe.clone(),
        }));
    }
    // A connection opens with its first call, which is not the load's.
    let first = lanes.iter_mut().step_by(call.in_flight).map(|lane| lane.request(0));
    each(first).await?;
    Ok(lanes)
}

impl GrpcLane {
    /// Its connection.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The same connection, with another caller's load.
    pub(super) fn of(self, caller: &Person, load: &Arc<Load>) -> Self {
        Self { callers: std::slice::from_ref(caller).into(), load: Arc::clone(load), ..self }
    }

    pub(super) async fn request(&mut self, number: u64) -> Result<()> {
        let load = Arc::clone(&self.load);
        self.turn = usize::try_from(number % self.callers.len().max(1) as u64).unwrap_or(0);
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

    fn signed<M>(&self, message: M) -> Request<M> {
        match self.callers.get(self.turn) {
            Some(caller) => caller.request(message),
            None => Request::new(message),
        }
    }

    async fn get(&mut self, load: &Load, key: String) -> Result<()> {
        let answer = self.client.get(self.signed(GetRequest { key })).await;
        let data = self.checked(answer).await?.data;
        match data {
            Some(get_response::Data::Value(value)) if value == load.value => Ok(()),
            other => Err(wrong("Get", format!("{other:?}").as_bytes(), load.value.as_bytes())),
        }
    }

    async fn get_other(&mut self, load: &Load, user: String, key: String) -> Result<()> {
        let answer = self.client.get_other(self.signed(GetOtherRequest { user, key })).await;
        let data = self.checked(answer).await?.data;
        match data {
            Some(get_other_response::Data::Value(value)) if value == load.value => Ok(()),
            other => Err(wrong("GetOther", format!("{other:?}").as_bytes(), load.value.as_bytes())),
        }
    }

    async fn put(&mut self, load: &Load, key: String) -> Result<()> {
        let data = Some(put_request::Data::Value(load.value.clone()));
        let answer =
            self.client.put(self.signed(PutRequest { key, data, ..Default::default() })).await;
        match self.checked(answer).await?.revision {
            0 => Err(wrong("Put", b"revision 0", b"a revision")),
            _ => Ok(()),
        }
    }

    async fn batch(&mut self, load: &Load, planned: &[Planned]) -> Result<()> {
        let operations = planned.iter().map(|planned| operation(load, planned)).collect();
        let results = match &self.pipe {
            Some(pipe) => pipe.batch(operations).await?,
            None => {
                let request = self.signed(BatchRequest { operations, request_id: String::new() });
                let answer = self.client.batch(request).await;
                self.checked(answer).await?.results
            }
        };
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
                return Err(wrong(
                    "Batch",
                    format!("{result:?}").as_bytes(),
                    load.value.as_bytes(),
                ));
            }
        }
        Ok(())
    }

    async fn checked<R>(
        &self,
        answer: std::result::Result<tonic::Response<R>, tonic::Status>,
    ) -> Result<R> {
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

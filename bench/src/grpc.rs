//! Gets, puts and batches over gRPC, one a call or on a stream.

use std::sync::Arc;

use tonic::Request;
use tonic::transport::Channel;

use crate::args::{Mode, Options};
use crate::caller::wrong;
use crate::client::Client;
use crate::failure::Result;
use crate::load::{Load, Operation as Planned};
use crate::pipeline::Pipe;
use crate::run::each;
use crate::users::User;
use kvrpc::pb::v1::get_result::Data;
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::operation::Operation as Kind;
use kvrpc::pb::v1::operation_result::Result as Answer;
use kvrpc::pb::v1::{
    BatchRequest, GetOperation, GetOtherRequest, GetRequest, GetResult, Operation, PutOperation,
    PutRequest, get_other_response, get_response, put_operation, put_request,
};

/// One call in flight.
pub(crate) struct GrpcCaller {
    service: KeyValueServiceClient<Channel>,
    users: Arc<[User]>,
    /// Index of the user of the current request.
    turn: usize,
    load: Arc<Load>,
    client: Arc<Client>,
    batched: bool,
    /// Pipeline stream that the callers of a connection share.
    pipe: Option<Pipe>,
}

/// Opens all connections, and returns the callers: one for each call in flight.
pub(crate) async fn callers(
    client: &Arc<Client>,
    options: &Options,
    load: &Arc<Load>,
    users: &[User],
) -> Result<Vec<GrpcCaller>> {
    let users: Arc<[User]> = users.into();
    let mut callers = Vec::with_capacity(options.connections * options.in_flight);
    for _ in 0..options.connections {
        let service = KeyValueServiceClient::new(client.connect());
        let pipe = match (options.mode, users.first()) {
            (Mode::Pipeline, Some(user)) => {
                Some(Pipe::open(service.clone(), user, options.in_flight, client).await?)
            }
            _ => None,
        };
        callers.extend((0..options.in_flight).map(|_| GrpcCaller {
            service: service.clone(),
            users: Arc::clone(&users),
            turn: 0,
            load: Arc::clone(load),
            client: Arc::clone(client),
            batched: options.mode != Mode::Unary,
            pipe: pipe.clone(),
        }));
    }
    // A connection opens with its first call, which the load does not measure.
    let first = callers.iter_mut().step_by(options.in_flight).map(|caller| caller.request(0));
    each(first).await?;
    Ok(callers)
}

impl GrpcCaller {
    pub(crate) async fn request(&mut self, number: u64) -> Result<()> {
        let load = Arc::clone(&self.load);
        self.turn = usize::try_from(number % self.users.len().max(1) as u64).unwrap_or(0);
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
        match self.users.get(self.turn) {
            Some(user) => user.request(message),
            None => Request::new(message),
        }
    }

    async fn get(&mut self, load: &Load, key: String) -> Result<()> {
        let answer = self.service.get(self.signed(GetRequest { key })).await;
        let data = self.checked(answer)?.data;
        match data {
            Some(get_response::Data::Value(value)) if value == load.value => Ok(()),
            other => Err(wrong("Get", format!("{other:?}").as_bytes(), load.value.as_bytes())),
        }
    }

    async fn get_other(&mut self, load: &Load, user: String, key: String) -> Result<()> {
        let answer = self.service.get_other(self.signed(GetOtherRequest { user, key })).await;
        let data = self.checked(answer)?.data;
        match data {
            Some(get_other_response::Data::Value(value)) if value == load.value => Ok(()),
            other => Err(wrong("GetOther", format!("{other:?}").as_bytes(), load.value.as_bytes())),
        }
    }

    async fn put(&mut self, load: &Load, key: String) -> Result<()> {
        let data = Some(put_request::Data::Value(load.value.clone()));
        let answer =
            self.service.put(self.signed(PutRequest { key, data, ..Default::default() })).await;
        match self.checked(answer)?.revision {
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
                let answer = self.service.batch(request).await;
                self.checked(answer)?.results
            }
        };
        if results.len() != planned.len() {
            let (got, want) = (results.len().to_string(), planned.len().to_string());
            return Err(wrong("Batch, in results", got.as_bytes(), want.as_bytes()));
        }
        for (planned, result) in planned.iter().zip(results) {
            let right = match (&result.result, planned.write) {
                (Some(Answer::Put(put)), true) => put.revision > 0,
                (Some(Answer::Get(GetResult { data: Some(Data::Value(value)), .. })), false) => {
                    *value == load.value
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

    fn checked<R>(
        &self,
        answer: std::result::Result<tonic::Response<R>, tonic::Status>,
    ) -> Result<R> {
        match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.client.explain(&status)),
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

//! Keys and values: get, put, delete, getother, putother, keys, scan.

use prost_types::Timestamp;
use serde_json::json;

use crate::Exit;
use crate::convert;
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use crate::output::{BLANK, Row, entry, in_line};
use crate::run::Runner;
use crate::session::{ClientSession, Need};
use kvrpc::dialect::grammar::PutCall;
use kvrpc::model::{Key, MAX_PAGE_SIZE, Prefix, Reason, RequestId, UserName, Value};
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient as KeyValue;
use kvrpc::pb::v1::{
    DeleteRequest, GetOtherRequest, GetRequest, ListKeysRequest, PutOtherRequest, PutRequest,
    ScanRequest, ScanResponse,
};
use tonic::Streaming;

/// The largest message that is taken: an entry of 1 MiB with its key, or a page of keys.
const MAX_REPLY_BYTES: usize = 8 << 20;

/// Result of a get.
struct Found {
    value: Option<Value>,
    revision: u64,
    expire_time: Option<Timestamp>,
}

impl Runner {
    pub(crate) async fn get(&mut self, key: Key) -> Result<()> {
        let message = GetRequest { key: key.as_str().to_owned() };
        let rpc = async |channel, request| KeyValue::new(channel).get(request).await;
        let got = self.session.call(Need::Session, message, rpc).await;
        self.show(
            &key,
            got.map(|got| Found {
                value: convert::got(got.data),
                revision: got.revision,
                expire_time: got.expire_time,
            }),
        )
    }

    pub(crate) async fn get_other(&mut self, user: UserName, key: Key) -> Result<()> {
        let message =
            GetOtherRequest { user: user.as_str().to_owned(), key: key.as_str().to_owned() };
        let rpc = async |channel, request| KeyValue::new(channel).get_other(request).await;
        let got = self.session.call(Need::Session, message, rpc).await;
        self.show(
            &key,
            got.map(|got| Found {
                value: convert::got_other(got.data),
                revision: got.revision,
                expire_time: got.expire_time,
            }),
        )
    }

    fn show(&mut self, key: &Key, got: Result<Found>) -> Result<()> {
        let found = match got {
            Ok(found) => found,
            Err(failure) if failure.reason == Some(Reason::KeyNotFound) => {
                self.note_get(false);
                let json = json!({ "key": key.as_str(), "value": null });
                return Ok(self.output.result(&Row { text: BLANK.to_owned(), json })?);
            }
            Err(failure) => return Err(failure),
        };
        self.note_get(true);
        let value =
            found.value.ok_or_else(|| Failure::failed("the server's reply has no value"))?;
        let json =
            entry(key.as_str(), Some(&value), found.revision, convert::time(found.expire_time));
        Ok(self.output.value(&value, &json)?)
    }

    pub(crate) async fn put(&mut self, put: PutCall, input: CommandInput) -> Result<()> {
        let key = put.key.as_str().to_owned();
        let message = PutRequest {
            key: key.clone(),
            data: convert::put_data(value(input)?),
            expiry: convert::put_expiry(put.expiry),
            if_revision: put.if_revision,
            request_id: request_id(put.request_id),
        };
        let rpc = async |channel, request| KeyValue::new(channel).put(request).await;
        let done = self.session.call(Need::Session, message, rpc).await?;
        self.written(&key, done.revision, done.durability)
    }

    pub(crate) async fn put_other(
        &mut self,
        user: UserName,
        put: PutCall,
        input: CommandInput,
    ) -> Result<()> {
        let key = put.key.as_str().to_owned();
        let message = PutOtherRequest {
            user: user.as_str().to_owned(),
            key: key.clone(),
            data: convert::put_other_data(value(input)?),
            expiry: convert::put_other_expiry(put.expiry),
            if_revision: put.if_revision,
            request_id: request_id(put.request_id),
        };
        let rpc = async |channel, request| KeyValue::new(channel).put_other(request).await;
        let done = self.session.call(Need::Session, message, rpc).await?;
        self.written(&key, done.revision, done.durability)
    }

    fn written(&mut self, key: &str, revision: u64, durability: i32) -> Result<()> {
        let durability = convert::durability(durability);
        let json = json!({ "key": key, "revision": revision, "durability": durability });
        Ok(self.output.silent(&json)?)
    }

    pub(crate) async fn delete(
        &mut self,
        key: Key,
        if_revision: Option<u64>,
        id: Option<RequestId>,
    ) -> Result<()> {
        let message =
            DeleteRequest { key: key.as_str().to_owned(), if_revision, request_id: request_id(id) };
        let rpc = async |channel, request| KeyValue::new(channel).delete(request).await;
        let done = self.session.call(Need::Session, message, rpc).await?;
        let text = if done.deleted { "deleted" } else { BLANK };
        let json = json!({
            "key": key.as_str(),
            "deleted": done.deleted,
            "revision": done.revision,
            "durability": convert::durability(done.durability),
        });
        Ok(self.output.result(&Row { text: text.to_owned(), json })?)
    }

    pub(crate) async fn keys(&mut self, prefix: Prefix, user: Option<UserName>) -> Result<()> {
        let user = user.as_ref().map_or("", UserName::as_str);
        let mut keys = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = list_keys(
                &self.session,
                Need::Session,
                user,
                prefix.as_str(),
                MAX_PAGE_SIZE,
                page_token,
            )
            .await?;
            keys.extend(page.keys);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        keys.sort_unstable();
        for key in keys {
            let json = json!({ "key": key });
            self.output.row(&Row { text: key, json })?;
        }
        Ok(self.output.end_rows()?)
    }

    pub(crate) async fn scan(
        &mut self,
        prefix: Prefix,
        user: Option<UserName>,
        keys_only: bool,
    ) -> Result<()> {
        let mut entries = Entries::open(&self.session, &prefix, user.as_ref(), keys_only).await?;
        while let Some(some) = entries.next().await? {
            for item in some.entries {
                let value = convert::scanned(item.data);
                let text = match &value {
                    Some(value) => format!("{}  {}", item.key, in_line(value)),
                    None => item.key.clone(),
                };
                let json = entry(
                    &item.key,
                    value.as_ref(),
                    item.revision,
                    convert::time(item.expire_time),
                );
                self.output.row(&Row { text, json })?;
            }
        }
        Ok(self.output.end_rows()?)
    }
}

/// A page of keys.
pub(crate) async fn list_keys(
    session: &ClientSession,
    need: Need,
    user: &str,
    prefix: &str,
    page_size: u32,
    page_token: String,
) -> Result<kvrpc::pb::v1::ListKeysResponse> {
    let message =
        ListKeysRequest { user: user.to_owned(), prefix: prefix.to_owned(), page_size, page_token };
    let rpc = async |channel, request| {
        KeyValue::new(channel).max_decoding_message_size(MAX_REPLY_BYTES).list_keys(request).await
    };
    session.call(need, message, rpc).await
}

/// All entries, as the server sends them; over another connection once the first is lost.
pub(crate) struct Entries<'a> {
    session: &'a ClientSession,
    /// The scan of what has not come yet.
    request: ScanRequest,
    stream: Streaming<ScanResponse>,
    /// True if a message has come over this connection.
    begun: bool,
}

impl<'a> Entries<'a> {
    pub(crate) async fn open(
        session: &'a ClientSession,
        prefix: &Prefix,
        user: Option<&UserName>,
        keys_only: bool,
    ) -> Result<Self> {
        let request = ScanRequest {
            user: user.map_or("", UserName::as_str).to_owned(),
            prefix: prefix.as_str().to_owned(),
            keys_only,
            page_token: String::new(),
        };
        let stream = scan(session, request.clone()).await?;
        Ok(Self { session, request, stream, begun: false })
    }

    /// The next entries; `None`: there are no more. A lost scan is resumed as long as that brings
    /// more of it.
    pub(crate) async fn next(&mut self) -> Result<Option<ScanResponse>> {
        loop {
            match self.session.next(&mut self.stream).await {
                Ok(Some(response)) => {
                    self.request.page_token.clone_from(&response.next_page_token);
                    self.begun = true;
                    return Ok(Some(response));
                }
                Ok(None) => return Ok(None),
                Err(failure) => {
                    let lost = failure.exit == Exit::Unavailable;
                    // A server without tokens cannot resume.
                    if !lost || !self.begun || self.request.page_token.is_empty() {
                        return Err(failure);
                    }
                    self.stream = scan(self.session, self.request.clone()).await?;
                    self.begun = false;
                }
            }
        }
    }
}

async fn scan(session: &ClientSession, request: ScanRequest) -> Result<Streaming<ScanResponse>> {
    let rpc = async |channel, request| {
        KeyValue::new(channel).max_decoding_message_size(MAX_REPLY_BYTES).scan(request).await
    };
    session.open(request, rpc).await
}

/// The id of the caller's choice, or one that no other call has: it makes a repetition after a lost
/// connection safe.
pub(crate) fn request_id(id: Option<RequestId>) -> String {
    match id {
        Some(id) => id.as_str().to_owned(),
        None => format!("{:032x}", rand::random::<u128>()),
    }
}

fn value(input: CommandInput) -> Result<Value> {
    match input {
        CommandInput::Value(value) => Ok(value),
        CommandInput::Nothing | CommandInput::Password(_) => {
            Err(Failure::failed("the value was not read"))
        }
    }
}

//! The changes of a store, as they are made: watch.

use serde_json::json;

use crate::chat::Reconnect;
use crate::convert;
use crate::failure::Result;
use crate::output::{self, Row};
use crate::run::Runner;
use kvrpc::model::{Prefix, UserName};
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient as KeyValue;
use kvrpc::pb::v1::watch_response::Event;
use kvrpc::pb::v1::{Position, WatchRequest, WatchResponse};

impl Runner {
    /// Prints changes until it is interrupted; a lost connection is taken up where it was.
    pub(crate) async fn watch(&mut self, prefix: Prefix, user: Option<UserName>) -> Result<()> {
        let mut request = WatchRequest {
            user: user.map_or_else(String::new, |user| user.as_str().to_owned()),
            prefix: prefix.as_str().to_owned(),
            after: None,
        };
        let rpc = async |channel, request| KeyValue::new(channel).watch(request).await;
        let mut reconnect = Reconnect::default();
        loop {
            let opened = self.session.open(request.clone(), rpc).await;
            let Some(mut stream) = reconnect.opened(opened).await? else { continue };
            loop {
                match Reconnect::next(&mut stream).await {
                    Ok(response) => {
                        request.after = response.position;
                        self.show_change(response)?;
                    }
                    Err(status) => {
                        reconnect.lost(&self.session.settings, &status).await?;
                        break;
                    }
                }
            }
        }
    }

    fn show_change(&mut self, response: WatchResponse) -> Result<()> {
        let Some(row) = response.event.and_then(|event| row(event, response.position)) else {
            return Ok(());
        };
        self.output.row(&row)?;
        Ok(self.output.flush()?)
    }
}

/// `None`: what says nothing to people.
fn row(event: Event, position: Option<Position>) -> Option<Row> {
    let revision = position.map_or(0, |position| position.sequence);
    Some(match event {
        Event::Put(put) => {
            let value = convert::watched(put.data)?;
            let mut json =
                output::entry(&put.key, Some(&value), revision, convert::time(put.expire_time));
            json["change"] = json!("put");
            Row { text: format!("put {}  {}", put.key, output::in_line(&value)), json }
        }
        Event::Delete(delete) => {
            let change = if delete.expired { "expired" } else { "delete" };
            let json = json!({ "change": change, "key": delete.key, "revision": revision });
            Row { text: format!("{change} {}", delete.key), json }
        }
        Event::Gap(_) => {
            let text =
                "gap: changes are missing here; list or scan to see how things stand".to_owned();
            Row { text, json: json!({ "change": "gap", "revision": revision }) }
        }
        Event::Heartbeat(_) | Event::Closing(_) => return None,
    })
}

//! Between the contract's messages and the model, as the client needs it.

use bytes::Bytes;
use prost_types::{Duration as PbDuration, Timestamp};

use kvrpc::model::{Expiry, Role, UnixMillis, Value};
use kvrpc::pb::v1::{
    self, entry, get_other_response, get_response, put_operation, put_other_request, put_request,
    watch_put,
};

/// The oneofs of values are one type for each message; they differ in nothing else.
macro_rules! value_of {
    ($($name:ident: $data:path;)*) => {$(
        pub(super) fn $name(data: Option<$data>) -> Option<Value> {
            use $data as Data;
            Some(match data? {
                Data::Value(text) => Value::stored(Bytes::from(text), true),
                Data::Blob(bytes) => Value::stored(bytes, false),
            })
        }
    )*};
}

value_of! {
    got: get_response::Data;
    got_other: get_other_response::Data;
    scanned: entry::Data;
    watched: watch_put::Data;
}

macro_rules! data_of {
    ($($name:ident: $data:path;)*) => {$(
        pub(super) fn $name(value: Value) -> Option<$data> {
            use $data as Data;
            Some(match value.as_text() {
                Some(text) => Data::Value(text.to_owned()),
                None => Data::Blob(value.into_bytes()),
            })
        }
    )*};
}

data_of! {
    put_data: put_request::Data;
    put_other_data: put_other_request::Data;
    operation_data: put_operation::Data;
}

macro_rules! expiry_of {
    ($($name:ident: $expiry:path;)*) => {$(
        pub(super) fn $name(expiry: Option<Expiry>) -> Option<$expiry> {
            use $expiry as Wire;
            Some(match expiry? {
                Expiry::After(ttl) => Wire::Ttl(PbDuration {
                    seconds: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
                    nanos: i32::try_from(ttl.subsec_nanos()).unwrap_or_default(),
                }),
                Expiry::At(time) => Wire::ExpireTime(timestamp(time)),
            })
        }
    )*};
}

expiry_of! {
    put_expiry: put_request::Expiry;
    put_other_expiry: put_other_request::Expiry;
    operation_expiry: put_operation::Expiry;
}

pub(super) fn timestamp(time: UnixMillis) -> Timestamp {
    let time = time.as_u64();
    let nanos = i32::try_from(time % 1_000 * 1_000_000).unwrap_or_default();
    Timestamp { seconds: i64::try_from(time / 1_000).unwrap_or(i64::MAX), nanos }
}

/// A time as `2026-11-21T18:00:00Z`; `None` for one that is no time.
pub(super) fn time(time: Option<Timestamp>) -> Option<String> {
    let time = time?;
    Some(jiff::Timestamp::new(time.seconds, time.nanos).ok()?.to_string())
}

/// A role by its name.
pub(super) fn role(role: i32) -> &'static str {
    match v1::Role::try_from(role) {
        Ok(v1::Role::Guest) => Role::Guest.as_str(),
        Ok(v1::Role::Manager) => Role::Manager.as_str(),
        Ok(v1::Role::Unspecified) | Err(_) => "unknown",
    }
}

/// A promise of durability by its name.
pub(super) fn durability(durability: i32) -> &'static str {
    match v1::Durability::try_from(durability) {
        Ok(v1::Durability::Local) => "local",
        Ok(v1::Durability::Replicated) => "replicated",
        Ok(v1::Durability::Fsynced) => "fsynced",
        Ok(v1::Durability::Unspecified) | Err(_) => "unknown",
    }
}

/// A policy by its name.
pub(super) fn upgrade_policy(policy: i32) -> &'static str {
    match v1::UpgradePolicy::try_from(policy) {
        Ok(v1::UpgradePolicy::Managers) => "managers",
        Ok(v1::UpgradePolicy::Open) => "open",
        Ok(v1::UpgradePolicy::Unspecified) | Err(_) => "unknown",
    }
}

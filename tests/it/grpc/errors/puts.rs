//! Rows with invalid puts, and with request ids that were used before.

use kvrpc::model::{Method, Reason};
use kvrpc::pb::v1;

use super::{batch, put, put_other};
use crate::grpc::access::{Row, operation_get, operation_put, row};
use crate::grpc::people::Who;

const MIB: usize = 1 << 20;
const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60;

fn put_operation(change: impl FnOnce(&mut v1::PutOperation)) -> v1::Operation {
    let data = Some(v1::put_operation::Data::Value("value".to_owned()));
    let mut put = v1::PutOperation { key: "key".to_owned(), data, ..Default::default() };
    change(&mut put);
    operation_put(put)
}

fn duration(seconds: i64, nanos: i32) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos }
}

fn timestamp(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

/// Rows for invalid puts, as changes of three kinds of put.
pub(super) fn put_rows() -> Vec<Row> {
    use Reason::{InvalidRequestId, InvalidTtl, InvalidValue, QuotaExceeded, RevisionMismatch};
    use Who::{Guest, Manager};

    let mut rows = Vec::new();
    macro_rules! each_put {
        ($want:expr, $module:ident, |$put:ident| $change:expr) => {{
            use v1::put_request as $module;
            rows.push(row(Method::Put, Guest, put(|$put| $change), Err($want)));
        }
        {
            use v1::put_other_request as $module;
            rows.push(row(
                Method::PutOther,
                Manager,
                put_other("other", |$put| $change),
                Err($want),
            ));
        }
        {
            use v1::put_operation as $module;
            rows.push(row(
                Method::Batch,
                Guest,
                batch(vec![put_operation(|$put| $change)]),
                Err($want),
            ));
        }};
    }
    each_put!(InvalidValue, module, |put| put.data = None::<module::Data>);
    each_put!(InvalidValue, module, |put| put.data =
        Some(module::Data::Value("v".repeat(MIB + 1))));
    each_put!(InvalidValue, module, |put| put.data =
        Some(module::Data::Blob(vec![0; MIB + 1].into())));
    for (seconds, nanos) in [
        (0, 0),
        (-1, 0),
        (0, -1),
        (0, 999_999),
        (TEN_YEARS, 1_000_000),
        (i64::MAX, 0),
        (0, 1_000_000_000),
    ] {
        each_put!(InvalidTtl, module, |put| put.expiry =
            Some(module::Expiry::Ttl(duration(seconds, nanos))));
    }
    for (seconds, nanos) in [
        (0, 0),
        (-1, 0),
        (1_000_000_000, 0),
        (i64::MAX, 0),
        (253_402_300_799, 0),
        (4_000_000_000, -1),
    ] {
        each_put!(InvalidTtl, module, |put| put.expiry =
            Some(module::Expiry::ExpireTime(timestamp(seconds, nanos))));
    }
    each_put!(RevisionMismatch, module, |put| {
        put.data = Some(module::Data::Value(String::new()));
        put.if_revision = Some(999);
    });
    each_put!(QuotaExceeded, module, |put| put.data = Some(module::Data::Value("v".repeat(MIB))));
    let id = "i".repeat(65);
    rows.push(row(
        Method::Put,
        Guest,
        put(|put| put.request_id = id.clone()),
        Err(InvalidRequestId),
    ));
    rows.push(row(
        Method::PutOther,
        Manager,
        put_other("other", |put| put.request_id = id.clone()),
        Err(InvalidRequestId),
    ));
    let long =
        v1::DeleteRequest { key: "key".to_owned(), request_id: id.clone(), ..Default::default() };
    rows.push(row(Method::Delete, Guest, long, Err(InvalidRequestId)));
    let long = v1::BatchRequest { operations: vec![operation_get("a")], request_id: id };
    rows.push(row(Method::Batch, Guest, long, Err(InvalidRequestId)));
    let stale =
        v1::DeleteRequest { key: "no such".to_owned(), if_revision: Some(7), ..Default::default() };
    rows.push(row(Method::Delete, Guest, stale, Err(RevisionMismatch)));
    rows
}

/// Rows for a request id that was used before with another payload.
pub(super) fn request_id_rows() -> Vec<Row> {
    use Reason::RequestIdReused;
    use Who::{Guest, Manager};

    let id = || "once".to_owned();
    let delete =
        v1::DeleteRequest { key: "key".to_owned(), request_id: id(), ..Default::default() };
    let reused = v1::BatchRequest { operations: vec![operation_get("a")], request_id: id() };
    vec![
        row(Method::Put, Guest, put(|put| put.request_id = id()), Ok(())),
        row(Method::Put, Guest, put(|put| put.request_id = id()), Ok(())),
        row(
            Method::Put,
            Guest,
            put(|put| (put.request_id, put.key) = (id(), "another".to_owned())),
            Err(RequestIdReused),
        ),
        row(Method::Delete, Guest, delete, Err(RequestIdReused)),
        row(Method::Batch, Guest, reused, Err(RequestIdReused)),
        row(Method::PutOther, Manager, put_other("other", |put| put.request_id = id()), Ok(())),
        row(
            Method::PutOther,
            Manager,
            put_other("guest", |put| put.request_id = id()),
            Err(RequestIdReused),
        ),
    ]
}

//! A line of an export, read back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::convert;
use kvrpc::model::{Expiry, Key, UnixMillis, Value};
use kvrpc::pb::v1::operation::Operation as Kind;
use kvrpc::pb::v1::{Operation, PutOperation};

/// An entry as an export writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedEntry {
    key: String,
    value: Option<String>,
    blob: Option<String>,
    /// Of the store that was exported; it says nothing about this one.
    #[serde(rename = "revision")]
    _revision: Option<IgnoredAny>,
    expire_time: Option<jiff::Timestamp>,
}

/// Request of a line.
#[derive(Debug)]
pub(super) struct ImportedPut {
    pub(super) operation: Operation,
    /// True if its time has passed, so that a server would refuse it.
    pub(super) expired: bool,
}

/// Reads a line.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<ImportedPut, String> {
    let line: ExportedEntry =
        serde_json::from_slice(line).map_err(|error| format!("no JSON of an entry: {error}"))?;
    let key = Key::new(line.key).map_err(|error| error.to_string())?;
    let value = match (line.value, line.blob) {
        (Some(text), None) => Value::text(text),
        (None, Some(blob)) => Value::blob(
            STANDARD.decode(blob).map_err(|error| format!("blob is no base64: {error}"))?,
        ),
        (None, None) => return Err("neither value nor blob is there; one must be".to_owned()),
        (Some(_), Some(_)) => return Err("value and blob are both there; one may be".to_owned()),
    };
    let value = value.map_err(|error| error.to_string())?;
    let expired = line.expire_time.is_some_and(|time| time <= jiff::Timestamp::now());
    let expiry = line
        .expire_time
        .and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .map(|millis| Expiry::At(UnixMillis::new(millis)));
    let put = PutOperation {
        key: key.into_string(),
        data: convert::operation_data(value),
        expiry: convert::operation_expiry(expiry),
        if_revision: None,
    };
    Ok(ImportedPut { operation: Operation { operation: Some(Kind::Put(put)) }, expired })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::entry;
    use kvrpc::pb::v1::put_operation::Data;

    #[test]
    fn what_is_exported_can_be_imported() {
        for value in [
            Value::text("a\n\"b\"").unwrap(),
            Value::blob(&b"\xff\0"[..]).unwrap(),
            Value::text("").unwrap(),
        ] {
            let line =
                entry("k", Some(&value), 7, Some("2100-01-01T00:00:00.5Z".to_owned())).to_string();
            let put = parse(line.as_bytes()).unwrap();
            let Some(Kind::Put(operation)) = put.operation.operation else { panic!("{line}") };
            let data = match operation.data.unwrap() {
                Data::Value(text) => Value::text(text).unwrap(),
                Data::Blob(bytes) => Value::blob(bytes).unwrap(),
            };
            assert_eq!((operation.key.as_str(), data), ("k", value));
            assert!(operation.expiry.is_some() && !put.expired, "{line}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        for (line, why) in [
            (r#"{"key":"k"}"#, "neither value nor blob is there; one must be"),
            (
                r#"{"key":"k","value":"a","blob":"YQ=="}"#,
                "value and blob are both there; one may be",
            ),
            (r#"{"key":"k","blob":"?"}"#, "blob is no base64: "),
            (r#"{"value":"a"}"#, "no JSON of an entry: missing field `key`"),
            (r#"{"key":"k","value":"a","ttl":1}"#, "no JSON of an entry: unknown field `ttl`"),
            (r#"{"key":"k","value":"a","expire_time":"soon"}"#, "no JSON of an entry: "),
            (r#"{"key":"a\u0007","value":"a"}"#, "key has the control character U+0007"),
        ] {
            let got = parse(line.as_bytes()).unwrap_err();
            assert!(got.starts_with(why), "{line}: {got}");
        }
        assert!(
            parse(br#"{"key":"k","value":"a","expire_time":"2001-01-01T00:00:00Z"}"#)
                .unwrap()
                .expired
        );
    }
}

//! Operations in a message, and copies of others.

use std::time::Duration;

use super::*;
use crate::model::{Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Reason, Value};

fn put(key: &str, value: Value, expiry: Option<Expiry>, if_revision: Option<u64>) -> Operation {
    Operation::Put(Put {
        key: Key::new(key).unwrap(),
        value,
        expiry,
        if_revision,
        request_id: None,
    })
}

#[test]
fn operations_of_a_message_and_copied_ones_are_read_alike() {
    let message = Bytes::from_static(b"cityKolkata\xff");
    let (city, kolkata, blob) =
        (std::str::from_utf8(&message[..4]).unwrap(), &message[4..11], &message[11..]);
    let key = Key::new("city").unwrap();
    let text = Value::text("Kolkata").unwrap();
    let wanted = [
        Operation::Get { key: key.clone() },
        put("city", text.clone(), None, None),
        put("city", Value::blob(vec![0xff]).unwrap(), None, Some(7)),
        put("city", text, Some(Expiry::At(UnixMillis::new(9))), None),
        Operation::Delete(Delete { key: key.clone(), if_revision: None, request_id: None }),
        Operation::Delete(Delete { key, if_revision: Some(0), request_id: None }),
        put("empty", Value::text("").unwrap(), None, None),
    ];
    let mut operations = Operations::of(&message, wanted.len());
    operations.get(city).unwrap();
    operations.put(city, kolkata, true, None, None).unwrap();
    operations.put(city, blob, false, None, Some(7)).unwrap();
    operations.push(wanted[3].to_ref());
    operations.delete(city, None).unwrap();
    operations.delete(city, Some(0)).unwrap();
    operations.push(wanted[6].to_ref());

    assert_eq!(operations, wanted.iter().cloned().collect());
    assert!(operations.iter().eq(wanted.iter().map(Operation::to_ref)));
    assert_eq!((operations.len(), operations.bytes()), (7, 4 + 11 + 5 + 11 + 4 + 4 + 5));
}

#[test]
fn what_is_wrong_is_not_added() {
    let long_key = "k".repeat(MAX_KEY_BYTES + 1);
    let long_value = vec![b'v'; MAX_VALUE_BYTES + 1];
    let mut operations = Operations::default();
    for (wrong, reason) in [
        (operations.get(""), Reason::InvalidKey),
        (operations.get(&long_key), Reason::InvalidKey),
        (operations.delete("a\u{1}", None), Reason::InvalidKey),
        (operations.put("k", &long_value, true, None, None), Reason::InvalidValue),
        (operations.put("", b"", false, None, None), Reason::InvalidKey),
    ] {
        assert_eq!(wrong.unwrap_err().reason(), reason);
    }
    assert!(operations.is_empty());
    assert_eq!(operations.bytes(), 0);
}

#[test]
fn expiries_become_times_and_the_wrong_one_is_named() {
    let value = || Value::text("v").unwrap();
    let after = |millis| Some(Expiry::After(Duration::from_millis(millis)));
    let all = [
        put("a", value(), None, Some(1)),
        put("b", value(), after(5), None),
        put("c", value(), None, None),
    ];
    let mut operations: Operations = all.iter().cloned().collect();
    operations.resolve(|| UnixMillis::new(100)).unwrap();
    let times = operations.iter().map(|operation| match operation {
        OperationRef::Put(put) => put.expire_time,
        OperationRef::Get { .. } | OperationRef::Delete { .. } => None,
    });
    assert_eq!(times.collect::<Vec<_>>(), [None, Some(UnixMillis::new(105)), None]);

    let mut operations: Operations =
        all.into_iter().chain([put("d", value(), after(0), None)]).collect();
    let error = operations.resolve(|| UnixMillis::new(100)).unwrap_err();
    assert_eq!((error.reason(), error.field()), (Reason::InvalidTtl, Some("operations[3].ttl")));
}

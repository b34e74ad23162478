//! Pickles of the legacy protocol `pickle`, in pickle protocol 2: a list of dicts of strings, and
//! the list of strings that answers it.

use crate::load::{Load, Operation};

/// A request: the fields of a dict.
pub(crate) type Request<'a> = Vec<(&'a str, &'a str)>;

/// The request for an operation.
pub(crate) fn request<'a>(operation: &'a Operation, load: &'a Load) -> Request<'a> {
    let key = operation.key.as_str();
    match (&load.owner, operation.write) {
        (_, true) => vec![("method", "put"), ("key", key), ("value", &load.value)],
        (None, false) => vec![("method", "get"), ("key", key)],
        (Some(owner), false) => vec![("method", "getother"), ("username", owner), ("key", key)],
    }
}

/// A list of dicts.
pub(crate) fn requests(requests: &[Request<'_>]) -> Vec<u8> {
    list(|bytes| {
        for request in requests {
            bytes.extend_from_slice(b"}(");
            for (name, value) in request {
                string(name, bytes);
                string(value, bytes);
            }
            bytes.push(b'u');
        }
    })
}

/// A list of strings.
pub(crate) fn reply(strings: &[&str]) -> Vec<u8> {
    list(|bytes| strings.iter().for_each(|text| string(text, bytes)))
}

fn list(items: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // PROTO 2, EMPTY_LIST, MARK, the items, APPENDS, STOP.
    let mut bytes = b"\x80\x02](".to_vec();
    items(&mut bytes);
    bytes.extend_from_slice(b"e.");
    bytes
}

/// BINUNICODE; the strings of a load are far shorter than its limit of 4 GiB.
fn string(text: &str, bytes: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.push(b'X');
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

//! Pickles as a client of the dialect writes them, in protocol 2: a list of dicts of strings, and
//! the list of strings that answers it.

use super::load::{Load, Operation};

/// A request: the fields of a dict.
pub(super) type Request<'a> = Vec<(&'a str, &'a str)>;

/// What asks for an operation.
pub(super) fn request<'a>(operation: &'a Operation, load: &'a Load) -> Request<'a> {
    let key = operation.key.as_str();
    match (&load.owner, operation.write) {
        (_, true) => vec![("method", "put"), ("key", key), ("value", &load.value)],
        (None, false) => vec![("method", "get"), ("key", key)],
        (Some(owner), false) => vec![("method", "getother"), ("username", owner), ("key", key)],
    }
}

/// A list of dicts.
pub(super) fn requests(requests: &[Request<'_>]) -> Vec<u8> {
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
pub(super) fn reply(strings: &[&str]) -> Vec<u8> {
    list(|bytes| strings.iter().for_each(|text| string(text, bytes)))
}

fn list(items: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // PROTO 2, EMPTY_LIST, MARK, the items, APPENDS, STOP.
    let mut bytes = b"\x80\x02](".to_vec();
    items(&mut bytes);
    bytes.extend_from_slice(b"e.");
    bytes
}

/// BINUNICODE; no string of a load comes near its limit.
fn string(text: &str, bytes: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.push(b'X');
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

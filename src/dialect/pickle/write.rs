//! The pickle writer: lists of strings or dicts in protocol 2, which every Python version reads.

use bytes::{BufMut, BytesMut};

const PROTOCOL: &[u8] = b"\x80\x02";
const EMPTY_LIST_AND_MARK: &[u8] = b"](";
const APPENDS_AND_STOP: &[u8] = b"e.";
const EMPTY_DICT_AND_MARK: &[u8] = b"}(";
const SETITEMS: u8 = b'u';
const BINUNICODE: u8 = b'X';

/// Begins a pickled list; its items follow.
pub(super) fn begin_list(out: &mut BytesMut) {
    out.put_slice(PROTOCOL);
    out.put_slice(EMPTY_LIST_AND_MARK);
}

/// Ends the list, and the pickle.
pub(super) fn end_list(out: &mut BytesMut) {
    out.put_slice(APPENDS_AND_STOP);
}

/// Appends a string. All callers pass less than 4 GiB, the limit of BINUNICODE.
pub(super) fn string(text: &str, out: &mut BytesMut) {
    out.put_u8(BINUNICODE);
    out.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text.as_bytes());
}

/// Appends a dict of strings.
pub(super) fn dict(fields: &[(&str, &str)], out: &mut BytesMut) {
    out.put_slice(EMPTY_DICT_AND_MARK);
    for (key, value) in fields {
        string(key, out);
        string(value, out);
    }
    out.put_u8(SETITEMS);
}

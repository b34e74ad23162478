//! The string types of pickles, by protocol. `None` stands for a string that is not valid text:
//! Python's may contain lone surrogates, Python 2's any bytes.

use std::borrow::Cow;

use super::BadPickle;

type PickleText<'a> = Option<Cow<'a, str>>;

/// BINUNICODE and its variants: UTF-8 in which Python allows lone surrogates.
pub(super) fn unicode(bytes: &[u8]) -> Result<PickleText<'_>, BadPickle> {
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        rest = match rest.get(error.valid_up_to()..) {
            Some([0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..]) => after,
            _ => return Err(BadPickle::Malformed),
        };
    }
    // The rest is everything unless a surrogate was skipped.
    Ok(if rest.len() == bytes.len() {
        std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
    } else {
        None
    })
}

/// The bytes of a Python 2 `str`: text if they are UTF-8.
pub(super) fn bytes(bytes: Cow<'_, [u8]>) -> PickleText<'_> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// UNICODE: Latin-1, with `\uXXXX` and `\UXXXXXXXX` for other characters and for backslashes.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Result<PickleText<'_>, BadPickle> {
    let mut units = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let (code, after) = match (byte, after.split_first()) {
            (b'\\', Some((b'u', after))) => hex(after, 4)?,
            (b'\\', Some((b'U', after))) => hex(after, 8)?,
            // Two backslashes stand for two, and the second does not begin an escape.
            (b'\\', Some((b'\\', after))) => {
                units.push(u16::from(byte));
                (u32::from(byte), after)
            }
            _ => (u32::from(byte), after),
        };
        push_utf16(code, &mut units)?;
        rest = after;
    }
    Ok(String::from_utf16(&units).ok().map(Cow::Owned))
}

// Collected as UTF-16, because Python 2 may write one character as two surrogates.
fn push_utf16(code: u32, units: &mut Vec<u16>) -> Result<(), BadPickle> {
    match (u16::try_from(code), char::from_u32(code)) {
        (Ok(unit), _) => units.push(unit),
        (Err(_), Some(character)) => units.extend_from_slice(character.encode_utf16(&mut [0; 2])),
        (Err(_), None) => return Err(BadPickle::Malformed),
    }
    Ok(())
}

/// STRING: the output of Python 2's `repr`, in its quotes.
pub(super) fn string_escape(line: &[u8]) -> Result<Vec<u8>, BadPickle> {
    let (Some((open @ (b'\'' | b'"'), rest)), Some(close)) = (line.split_first(), line.last())
    else {
        return Err(BadPickle::Malformed);
    };
    let Some((_, mut rest)) = rest.split_last().filter(|_| open == close) else {
        return Err(BadPickle::Malformed);
    };
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = if byte == b'\\' { escaped(after)? } else { (byte, after) };
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes)
}

fn escaped(rest: &[u8]) -> Result<(u8, &[u8]), BadPickle> {
    let Some((&kind, after)) = rest.split_first() else { return Err(BadPickle::Malformed) };
    let byte = match kind {
        b'\\' | b'\'' | b'"' => kind,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'x' => {
            let (code, after) = hex(after, 2)?;
            return Ok((u8::try_from(code).map_err(|_| BadPickle::Malformed)?, after));
        }
        // Python's `repr` writes no other escape.
        _ => return Err(BadPickle::Malformed),
    };
    Ok((byte, after))
}

fn hex(rest: &[u8], digits: usize) -> Result<(u32, &[u8]), BadPickle> {
    let (number, after) = rest.split_at_checked(digits).ok_or(BadPickle::Malformed)?;
    let number = number
        .iter()
        .try_fold(0_u32, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?));
    Ok((number.ok_or(BadPickle::Malformed)?, after))
}

//! Text as bits, and back.

use super::limits::MAX_DECODE_BYTES;
use super::{Error, Reason, Result};

/// Maximum number of characters of a group at fault that an error repeats.
const QUOTED: usize = 16;

/// Each byte of the text as 8 bits, joined by one space: `comm` is `01100011 01101111 01101101
/// 01101101`.
pub fn encode_bits(text: &str) -> String {
    let mut bits = String::with_capacity(text.len().saturating_mul(9));
    for byte in text.bytes() {
        if !bits.is_empty() {
            bits.push(' ');
        }
        bits.extend((0..8).rev().map(|place| if byte >> place & 1 == 1 { '1' } else { '0' }));
    }
    bits
}

/// Groups of 1 to 8 bits, separated by spaces, as the bytes of UTF-8 text; where they are not
/// UTF-8, one character for each byte.
///
/// No group at all is the empty text.
///
/// # Errors
/// `INVALID_BITS` names the first group that is not 1 to 8 of `0` and `1`; `INVALID_VALUE` for over
/// 576 KiB.
pub fn decode_bits(bits: &str) -> Result<String> {
    if bits.len() > MAX_DECODE_BYTES {
        return Err(Error::new(
            Reason::InvalidValue,
            format!("bits has {} bytes; at most 589,824 (576 KiB) are allowed", bits.len()),
        )
        .in_field("bits"));
    }
    let groups = bits.split(' ').filter(|group| !group.is_empty()).enumerate();
    let bytes = groups.map(|(index, group)| byte(group).ok_or_else(|| invalid(index, group)));
    let bytes = bytes.collect::<Result<Vec<u8>>>()?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect()))
}

fn byte(group: &str) -> Option<u8> {
    // Checked here because `from_str_radix` also takes a sign, and any number of leading zeros.
    let plain = group.len() <= 8 && group.bytes().all(|digit| matches!(digit, b'0' | b'1'));
    if plain { u8::from_str_radix(group, 2).ok() } else { None }
}

fn invalid(index: usize, group: &str) -> Error {
    let shown: String = group.chars().take(QUOTED).collect();
    let rest = if shown.len() < group.len() { "..." } else { "" };
    Error::new(
        Reason::InvalidBits,
        format!("group {} of bits is {shown:?}{rest}; a group is 1 to 8 of 0 and 1", index + 1),
    )
    .in_field("bits")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
mod tests {
    use super::*;
    use crate::model::MAX_ENCODE_BYTES;

    #[test]
    fn encodes_each_byte() {
        for (text, want) in [
            ("", ""),
            ("comm", "01100011 01101111 01101101 01101101"),
            ("é", "11000011 10101001"),
            ("\0", "00000000"),
        ] {
            assert_eq!(encode_bits(text), want, "{text:?}");
            assert_eq!(decode_bits(want).unwrap(), text, "{want}");
        }
    }

    #[test]
    fn decodes_groups_or_names_the_one_at_fault() {
        for (bits, want) in [
            ("1100011 01101111", Ok("co")),
            ("1", Ok("\u{1}")),
            (" 01100011  01101111 ", Ok("co")),
            ("11111111 01100011", Ok("\u{ff}c")),
            ("01100011 012", Err("group 2 of bits is \"012\"; a group is 1 to 8 of 0 and 1")),
            ("+1", Err("group 1 of bits is \"+1\"; a group is 1 to 8 of 0 and 1")),
            ("0 000000001", Err("group 2 of bits is \"000000001\"; a group is 1 to 8 of 0 and 1")),
            ("0\n1", Err("group 1 of bits is \"0\\n1\"; a group is 1 to 8 of 0 and 1")),
            (
                "10101010101010101é",
                Err("group 1 of bits is \"1010101010101010\"...; a group is 1 to 8 of 0 and 1"),
            ),
        ] {
            let got = decode_bits(bits);
            assert_eq!(got.as_deref().map_err(Error::message), want, "{bits:?}");
        }
        assert_eq!(decode_bits("2").unwrap_err().reason(), Reason::InvalidBits);
    }

    #[test]
    fn takes_all_that_encoding_gives_and_no_more() {
        let bits = encode_bits(&"x".repeat(MAX_ENCODE_BYTES));
        assert_eq!(decode_bits(&bits).unwrap().len(), MAX_ENCODE_BYTES);
        assert_eq!(
            decode_bits(&"0 ".repeat(MAX_DECODE_BYTES / 2 + 1)).unwrap_err().reason(),
            Reason::InvalidValue
        );
    }
}

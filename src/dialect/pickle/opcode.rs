//! One opcode and its argument. The closed set is what Python's pickle, protocols 0 to 5, writes
//! for lists, tuples, dicts and plain values; the names are those of CPython's `pickletools`.

use std::borrow::Cow;

use super::BadPickle;
use super::text;
use crate::dialect::codec::MAX_MESSAGE_BYTES;

/// An opcode, or a family of opcodes with the same effect.
#[derive(Debug, PartialEq)]
#[allow(missing_docs, reason = "each is the opcode, or the family of opcodes, of its name")]
pub(super) enum Op<'a> {
    Nothing,
    Mark,
    Stop,
    Pop,
    PopMark,
    Text(Cow<'a, str>),
    /// A value without a meaning in a request: None, a bool, a number, bytes.
    Inert,
    Get(u32),
    Put(u32),
    Memoize,
    EmptyDict,
    Dict,
    SetItem,
    SetItems,
    EmptyList,
    List,
    Append,
    Appends,
    /// A tuple of all items down to the mark.
    Tuple,
    /// A tuple of this many items.
    TupleOf(usize),
}

/// Result of reading: an opcode and its length in bytes, or the number of bytes that are needed
/// before reading can go on.
pub(super) enum OpcodeRead<'a> {
    Op(Op<'a>, usize),
    Need(usize),
}

enum Argument {
    Fixed(usize),
    /// A little-endian count of this many bytes, then as many bytes as the count says.
    Counted(usize),
    /// All bytes up to a newline.
    Line,
}

/// Reads the opcode at the front of `bytes`. The first `scanned` bytes were present at the previous
/// call and are not searched again.
pub(super) fn parse(bytes: &[u8], scanned: usize) -> Result<OpcodeRead<'_>, BadPickle> {
    let Some((&code, rest)) = bytes.split_first() else { return Ok(OpcodeRead::Need(1)) };
    let (argument, skipped, length) = match argument(code)? {
        Argument::Fixed(length) => (rest.get(..length), 0, length),
        Argument::Counted(width) => {
            let Some(count) = rest.get(..width) else { return Ok(OpcodeRead::Need(1 + width)) };
            let length = little_endian(count);
            if length > MAX_MESSAGE_BYTES {
                return Err(BadPickle::TooLong);
            }
            (rest.get(width..width + length), 0, width + length)
        }
        Argument::Line => {
            let from = scanned.saturating_sub(1);
            let unseen = rest.get(from..).unwrap_or_default();
            match unseen.iter().position(|byte| *byte == b'\n') {
                Some(at) => (rest.get(..from + at), 1, from + at),
                None => (None, 0, rest.len() + 1),
            }
        }
    };
    Ok(match argument {
        Some(argument) => OpcodeRead::Op(op(code, argument)?, 1 + length + skipped),
        None => OpcodeRead::Need(1 + length),
    })
}

fn argument(code: u8) -> Result<Argument, BadPickle> {
    Ok(match code {
        b'(' | b'.' | b'0' | b'1' | b'N' | b'}' | b'd' | b's' | b'u' | b']' | b'l' | b'a'
        | b'e' | b')' | b't' => Argument::Fixed(0),
        0x85..=0x89 | 0x94 => Argument::Fixed(0), // TUPLE1 to 3, NEWTRUE, NEWFALSE, MEMOIZE
        0x80 | b'K' | b'h' | b'q' => Argument::Fixed(1), // PROTO, BININT1, BINGET, BINPUT
        b'M' => Argument::Fixed(2),               // BININT2
        b'J' | b'j' | b'r' => Argument::Fixed(4), // BININT, LONG_BINGET, LONG_BINPUT
        0x95 | b'G' => Argument::Fixed(8),        // FRAME, BINFLOAT
        // SHORT_BINUNICODE, SHORT_BINSTRING, SHORT_BINBYTES, LONG1
        0x8c | b'U' | b'C' | 0x8a => Argument::Counted(1),
        b'X' | b'T' | b'B' | 0x8b => Argument::Counted(4), // BINUNICODE, BINSTRING, BINBYTES, LONG4
        0x8d | 0x8e | 0x96 => Argument::Counted(8),        // BINUNICODE8, BINBYTES8, BYTEARRAY8
        b'V' | b'S' | b'I' | b'L' | b'F' | b'g' | b'p' => Argument::Line,
        _ => return Err(BadPickle::Opcode(code)),
    })
}

fn op(code: u8, argument: &[u8]) -> Result<Op<'_>, BadPickle> {
    Ok(match code {
        0x80 if little_endian(argument) <= 5 => Op::Nothing,
        // A frame only announces how much to read ahead; STOP ends the pickle regardless.
        0x95 if little_endian(argument) <= MAX_MESSAGE_BYTES => Op::Nothing,
        0x80 => return Err(BadPickle::Malformed),
        0x95 => return Err(BadPickle::TooLong),
        b'(' => Op::Mark,
        b'.' => Op::Stop,
        b'0' => Op::Pop,
        b'1' => Op::PopMark,
        b'}' => Op::EmptyDict,
        b'd' => Op::Dict,
        b's' => Op::SetItem,
        b'u' => Op::SetItems,
        b']' => Op::EmptyList,
        b'l' => Op::List,
        b'a' => Op::Append,
        b'e' => Op::Appends,
        b't' => Op::Tuple,
        b')' => Op::TupleOf(0),
        0x85..=0x87 => Op::TupleOf(usize::from(code - 0x84)),
        0x94 => Op::Memoize,
        b'h' | b'j' => Op::Get(index(little_endian(argument))?),
        b'q' | b'r' => Op::Put(index(little_endian(argument))?),
        b'g' => Op::Get(decimal(argument)?),
        b'p' => Op::Put(decimal(argument)?),
        b'X' | 0x8c | 0x8d => text::unicode(argument)?.map_or(Op::Inert, Op::Text),
        b'V' => text::raw_unicode_escape(argument)?.map_or(Op::Inert, Op::Text),
        b'U' | b'T' => text::bytes(argument.into()).map_or(Op::Inert, Op::Text),
        b'S' => text::bytes(text::string_escape(argument)?.into()).map_or(Op::Inert, Op::Text),
        // Every other code with an argument is a number, None, a bool or bytes.
        _ => Op::Inert,
    })
}

fn little_endian(bytes: &[u8]) -> usize {
    let number = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn index(number: usize) -> Result<u32, BadPickle> {
    u32::try_from(number).map_err(|_| BadPickle::Malformed)
}

fn decimal(line: &[u8]) -> Result<u32, BadPickle> {
    let digits = std::str::from_utf8(line).map_err(|_| BadPickle::Malformed)?;
    digits.parse().map_err(|_| BadPickle::Malformed)
}

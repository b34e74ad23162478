//! The small services: bits, the clock, arithmetic.

use jiff::Zoned;

use crate::model::{
    Error, MAX_DECODE_BYTES, MAX_ENCODE_BYTES, Reason, Reply, Result,
    calculate as calculate_expression, decode_bits, encode_bits,
};

pub(super) fn encode(text: &str) -> Result<Reply> {
    bounded("text", text, MAX_ENCODE_BYTES)?;
    Ok(Reply::Encoded { bits: encode_bits(text) })
}

pub(super) fn decode(text: &str) -> Result<Reply> {
    bounded("bits", text, MAX_DECODE_BYTES)?;
    Ok(Reply::Decoded { text: decode_bits(text)? })
}

pub(super) fn now() -> Result<Reply> {
    // The wall clock itself, not the service's: this answers what time it is, and an administrator
    // may have set it.
    let now = Zoned::now();
    let time = now.timestamp();
    Ok(Reply::Now {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
        date: now.strftime("%Y-%m-%d").to_string(),
        time_of_day: now.strftime("%H:%M:%S").to_string(),
    })
}

pub(super) fn calculate(expression: &str) -> Result<Reply> {
    let (result, text) = calculate_expression(expression)?;
    Ok(Reply::Calculated { result, text })
}

fn bounded(field: &'static str, text: &str, max: usize) -> Result<()> {
    if text.len() > max {
        let message = format!("{field} has {} bytes; at most {max} are allowed", text.len());
        return Err(Error::new(Reason::InvalidValue, message).in_field(field));
    }
    Ok(())
}

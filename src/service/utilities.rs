//! CodecService, ClockService and CalculatorService: bits, the clock, arithmetic.

use jiff::Zoned;

use super::Service;
use super::authorize::{Handle, Subject};
use crate::model::request::{Calculate, Decode, Encode, Now};
use crate::model::{
    Calculated, Error, MAX_DECODE_BYTES, MAX_ENCODE_BYTES, Reason, Result, Time, calculate,
    decode_bits, encode_bits,
};

impl Handle<Encode> for Service {
    async fn handle(&self, _: Subject<'_>, Encode { text }: Encode) -> Result<String> {
        bounded("text", &text, MAX_ENCODE_BYTES)?;
        Ok(encode_bits(&text))
    }
}

impl Handle<Decode> for Service {
    async fn handle(&self, _: Subject<'_>, Decode { bits }: Decode) -> Result<String> {
        bounded("bits", &bits, MAX_DECODE_BYTES)?;
        decode_bits(&bits)
    }
}

impl Handle<Now> for Service {
    async fn handle(&self, _: Subject<'_>, _: Now) -> Result<Time> {
        // The wall clock itself, not the service's clock: an administrator may have set it.
        let now = Zoned::now();
        let time = now.timestamp();
        Ok(Time {
            seconds: time.as_second(),
            nanos: time.subsec_nanosecond(),
            date: now.strftime("%Y-%m-%d").to_string(),
            time_of_day: now.strftime("%H:%M:%S").to_string(),
        })
    }
}

impl Handle<Calculate> for Service {
    async fn handle(&self, _: Subject<'_>, request: Calculate) -> Result<Calculated> {
        let (result, text) = calculate(&request.expression)?;
        Ok(Calculated { result, text })
    }
}

fn bounded(field: &'static str, text: &str, max: usize) -> Result<()> {
    if text.len() > max {
        let message = format!("{field} has {} bytes; at most {max} are allowed", text.len());
        return Err(Error::new(Reason::InvalidValue, message).in_field(field));
    }
    Ok(())
}

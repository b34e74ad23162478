//! Durations as users write them.

use std::time::Duration;

/// Parses a whole number with its unit: `250ms`, `5s`, `10m`, `2h`, `30d`.
///
/// # Errors
/// A sentence with the allowed forms. A bare number is rejected, since its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if !number.is_empty() => {
            return Err(format!(
                "`{text}` lacks its unit; write {text}ms, {text}s, {text}m, {text}h or {text}d"
            ));
        }
        _ => {
            return Err(format!(
                "`{text}` is no duration; write a whole number and a unit: ms, s, m, h or d"
            ));
        }
    };
    let number: u64 = number.parse().map_err(|_| {
        format!("`{text}` is no duration; write a whole number and a unit: ms, s, m, h or d")
    })?;
    let millis = number
        .checked_mul(millis_each)
        .ok_or_else(|| format!("`{text}` is too long a duration"))?;
    Ok(Duration::from_millis(millis))
}

//! Arithmetic with two numbers, and numbers as Python writes them.

use super::limits::MAX_EXPRESSION_BYTES;
use super::{Error, Reason, Result};

/// The sentence of a division by zero, the one mistake that has a name of its own in older
/// dialects.
pub const DIVISION_BY_ZERO: &str = "Division by zero";

/// Calculates `NUMBER OP NUMBER`, separated by spaces, where OP is `+`, `-`, `*` or `/`: the
/// result, and its text as Python's `repr` writes it.
///
/// A number is decimal, with an optional sign, fraction and exponent.
///
/// # Errors
/// `INVALID_EXPRESSION`: [`DIVISION_BY_ZERO`] for that; else `Invalid expression: ...`, for a badly
/// formed expression, one over 256 bytes, and a number or a result that is not finite.
pub fn calculate(expression: &str) -> Result<(f64, String)> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(invalid(format!("it has {} bytes; at most 256 are allowed", expression.len())));
    }
    let mut words = expression.split(' ').filter(|word| !word.is_empty());
    let (Some(left), Some(operator), Some(right), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid(
            "it must be NUMBER OP NUMBER, separated by spaces, as 12 + 13".to_owned(),
        ));
    };
    let (a, b) = (number(left)?, number(right)?);
    let result = match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" if b == 0.0 => return Err(error(DIVISION_BY_ZERO.to_owned())),
        "/" => a / b,
        _ => return Err(invalid(format!("{operator:?} is no operator; they are + - * /"))),
    };
    if !result.is_finite() {
        return Err(invalid("the result is too large for an IEEE double".to_owned()));
    }
    Ok((result, python_repr(result)))
}

fn number(word: &str) -> Result<f64> {
    match word.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(invalid(format!("{word:?} is not finite in an IEEE double"))),
        Err(_) => Err(invalid(format!("{word:?} is no number"))),
    }
}

fn invalid(why: String) -> Error {
    error(format!("Invalid expression: {why}"))
}

fn error(message: String) -> Error {
    Error::new(Reason::InvalidExpression, message).in_field("expression")
}

/// A finite number as Python's `repr` writes it: the fewest digits that read back as the same
/// number, with an exponent of at least two digits below 1e-4 and from 1e16 on, and else with at
/// least one digit after the point.
fn python_repr(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..16) => format!("{number:.*}", decimals(digits, exponent)),
        Ok(exponent) => format!(
            "{digits}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.unsigned_abs()
        ),
        Err(_) => scientific,
    }
}

/// Number of digits after the point when those of the shortest form are written out without an
/// exponent.
fn decimals(digits: &str, exponent: i32) -> usize {
    let after_point = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let wanted = i32::try_from(after_point).unwrap_or(i32::MAX).saturating_sub(exponent);
    usize::try_from(wanted).unwrap_or(0).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
mod tests {
    use super::*;

    #[test]
    fn calculates_as_python_does() {
        for (expression, want) in [
            ("12 + 13", "25.0"),
            ("3.24 - 45", "-41.76"),
            ("4.5 / -6", "-0.75"),
            ("2 * 8", "16.0"),
            (" 2  *  8 ", "16.0"),
            ("0.1 + 0.2", "0.30000000000000004"),
            ("1e15 * 10", "1e+16"),
            ("9007199254740993 + 0", "9007199254740992.0"),
            ("999999999999999.9 + 0", "999999999999999.9"),
            ("1 / 10000", "0.0001"),
            ("1 / 100000", "1e-05"),
            ("1.5 / 100000", "1.5e-05"),
            ("1e300 * 1.5e8", "1.5e+308"),
            ("1e-200 * 1e-200", "0.0"),
            ("5e-324 + 0", "5e-324"),
            ("-0 * 5", "-0.0"),
            ("+.5 + 5.", "5.5"),
        ] {
            assert_eq!(calculate(expression).unwrap().1, want, "{expression}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (expression, want) in [
            ("1 / 0", "Division by zero"),
            ("0 / -0.0", "Division by zero"),
            (
                "",
                "Invalid expression: it must be NUMBER OP NUMBER, separated by spaces, as 12 + 13",
            ),
            (
                "12+13",
                "Invalid expression: it must be NUMBER OP NUMBER, separated by spaces, as 12 + 13",
            ),
            (
                "1 + 2 + 3",
                "Invalid expression: it must be NUMBER OP NUMBER, separated by spaces, as 12 + 13",
            ),
            ("1 ** 2", "Invalid expression: \"**\" is no operator; they are + - * /"),
            ("a + 2", "Invalid expression: \"a\" is no number"),
            ("1_0 + 2", "Invalid expression: \"1_0\" is no number"),
            ("inf + 2", "Invalid expression: \"inf\" is not finite in an IEEE double"),
            ("2 / nan", "Invalid expression: \"nan\" is not finite in an IEEE double"),
            ("1e999 / 0", "Invalid expression: \"1e999\" is not finite in an IEEE double"),
            ("1e308 * 10", "Invalid expression: the result is too large for an IEEE double"),
        ] {
            let error = calculate(expression).unwrap_err();
            assert_eq!(
                (error.reason(), error.message()),
                (Reason::InvalidExpression, want),
                "{expression}"
            );
        }
        let long = format!("1 + {}", "1".repeat(253));
        assert_eq!(
            calculate(&long).unwrap_err().message(),
            "Invalid expression: it has 257 bytes; at most 256 are allowed"
        );
    }
}

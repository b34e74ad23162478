//! Text that another user wrote, made harmless for a terminal: at the `chat` and `text` protocols
//! and in the command line.

use std::borrow::Cow;
use std::fmt::Write as _;

use icu_properties::props::{BidiControl, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Returns true for characters that control a terminal, or move the text behind them.
pub fn is_harmful(c: char) -> bool {
    if c.is_ascii_graphic() || c == ' ' {
        return false;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(
        category,
        GeneralCategory::Control
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    ) || CodePointSetData::new::<BidiControl>().contains(c)
}

/// Returns the text with every harmful character as `\u{..}`.
pub fn text(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful, |out, c| {
        let _ = write!(out, "\\u{{{:x}}}", c as u32);
    })
}

/// Returns a JSON text with every harmful character inside its strings as `\uXXXX`: the same
/// document. serde_json has already escaped those below a space; what is left of them is the line
/// breaks between the parts.
pub fn json(text: &str) -> Cow<'_, str> {
    escape(
        text,
        |c| c >= ' ' && is_harmful(c),
        |out, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

fn escape(
    text: &str,
    harmful: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.chars().any(&harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) { write(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmful_characters_are_shown_as_escapes() {
        for (given, want) in [
            ("Kolkata", "Kolkata"),
            ("", ""),
            ("কলকাতা 👩‍💻 é", "কলকাতা 👩‍💻 é"),
            ("a\nb\tc", "a\\u{a}b\\u{9}c"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\u{7f}\u{85}\u{9b}", "\\u{7f}\\u{85}\\u{9b}"),
            ("\u{202e}txt\u{2066}\u{200f}\u{61c}", "\\u{202e}txt\\u{2066}\\u{200f}\\u{61c}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
        ] {
            assert_eq!(text(given), want);
        }
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(given in any::<String>()) {
            prop_assert!(!text(&given).chars().any(is_harmful));
        }

        #[test]
        fn json_stays_the_same_document(given in any::<String>()) {
            let document = serde_json::json!({ "value": given });
            let pretty = serde_json::to_string_pretty(&document).unwrap();
            let safe = json(&pretty);
            prop_assert!(!safe.chars().any(|c| c != '\n' && is_harmful(c)));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), document);
        }
    }
}

//! `--verbose`: what each side says, on the standard error, with nothing in it that a terminal
//! would obey.

use std::fmt::Write as _;

use kvrpc::dialect::sanitize::is_harmful;

/// The most of one message that is shown, in bytes.
const MOST: usize = 4 << 10;
/// The bytes in a line of hexadecimal.
const ROW: usize = 16;

/// Sender of the bytes.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Client,
    Server,
}

/// Shows a conversation, or nothing.
#[derive(Clone, Copy)]
pub(super) struct Trace {
    pub(super) on: bool,
    /// In hexadecimal.
    pub(super) binary: bool,
}

impl Trace {
    /// Shows what was sent or received.
    pub(super) fn bytes(self, side: Side, bytes: &[u8]) {
        if self.on {
            print(&lines(side, self.binary, bytes));
        }
    }

    /// Tells what happens to the connection.
    pub(super) fn note(self, text: &str) {
        if self.on {
            print(&format!("* {}\n", escaped(text.as_bytes())));
        }
    }
}

#[allow(clippy::print_stderr, reason = "beside the results, for the person at the terminal")]
fn print(text: &str) {
    eprint!("{text}");
}

fn lines(side: Side, binary: bool, bytes: &[u8]) -> String {
    let mark = match side {
        Side::Client => '>',
        Side::Server => '<',
    };
    let shown = bytes.get(..MOST).unwrap_or(bytes);
    let mut text = String::new();
    if binary {
        for (row, bytes) in shown.chunks(ROW).enumerate() {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let graphic = |byte: &u8| {
                if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' }
            };
            let plain: String = bytes.iter().map(graphic).collect();
            let _ = writeln!(text, "{mark} {:04x}: {:<47}  {plain}", row * ROW, hex.join(" "));
        }
    } else {
        for line in shown.split_inclusive(|byte| *byte == b'\n') {
            let _ = writeln!(text, "{mark} {}", escaped(line));
        }
    }
    if shown.len() < bytes.len() {
        let _ = writeln!(text, "{mark} ... and {} bytes more", bytes.len() - shown.len());
    }
    text
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                c if is_harmful(c) => {
                    let _ = write!(text, "\\u{{{:x}}}", c as u32);
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_side_is_told_apart_and_shown_as_it_is() {
        for (side, binary, bytes, want) in [
            (Side::Client, false, &b"put city Kolkata\n"[..], "> put city Kolkata\\n\n"),
            (Side::Server, false, b"a\nb\\", "< a\\n\n< b\\\\\n"),
            (Side::Server, false, b"\x1b[2J\xff", "< \\u{1b}[2J\\xff\n"),
            (
                Side::Client,
                true,
                b"\0\0\0\x04comm",
                "> 0000: 00 00 00 04 63 6f 6d 6d                          ....comm\n",
            ),
            (Side::Server, false, b"", ""),
        ] {
            assert_eq!(lines(side, binary, bytes), want);
        }
        let long = lines(Side::Server, false, &[b'x'; MOST + 7]);
        assert!(long.ends_with("\n< ... and 7 bytes more\n"), "{long}");
    }

    proptest! {
        #[test]
        fn nothing_raw_reaches_a_terminal(bytes in any::<Vec<u8>>(), binary in any::<bool>()) {
            let text = lines(Side::Server, binary, &bytes);
            prop_assert!(!text.chars().any(|c| c != '\n' && is_harmful(c)));
        }
    }
}

//! Results on the standard output: text for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::args::Format;
use kvrpc::dialect::render;
use kvrpc::dialect::sanitize;
use kvrpc::model::Value;

pub(super) use kvrpc::dialect::render::{BLANK, in_line};

/// Destination and form of results.
pub(super) struct Output {
    format: Format,
    /// True if a terminal shows it: control characters are made harmless then.
    terminal: bool,
    writer: Box<dyn Write + Send>,
    /// Rows of the listing so far, in `json` an array that is still open.
    rows: usize,
}

/// A row of a listing or the result of a command: how it reads as text, and its fields.
pub(super) struct Row {
    pub(super) text: String,
    pub(super) json: Json,
}

impl Output {
    /// The standard output.
    pub(super) fn stdout(format: Format) -> Self {
        Self::new(format, io::stdout().is_terminal(), Box::new(io::stdout()))
    }

    pub(super) fn new(format: Format, terminal: bool, writer: Box<dyn Write + Send>) -> Self {
        Self { format, terminal, writer, rows: 0 }
    }

    pub(super) fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// A result of one line.
    pub(super) fn result(&mut self, row: &Row) -> io::Result<()> {
        match self.format {
            Format::Text => self.line(&row.text)?,
            Format::Json | Format::Jsonl => self.document(&row.json)?,
        }
        self.writer.flush()
    }

    /// A result that says nothing to people.
    pub(super) fn silent(&mut self, json: &Json) -> io::Result<()> {
        if self.is_text() { Ok(()) } else { self.document(json).and_then(|()| self.writer.flush()) }
    }

    /// Prints the value of a get. Bytes go out as they are, unless to a terminal.
    pub(super) fn value(&mut self, value: &Value, json: &Json) -> io::Result<()> {
        if !self.is_text() {
            self.document(json)?;
        } else if value.is_text() {
            self.line(&String::from_utf8_lossy(value.as_bytes()))?;
        } else if self.terminal {
            self.line(&blob_note(value))?;
        } else {
            self.writer.write_all(value.as_bytes())?;
        }
        self.writer.flush()
    }

    /// A row of a listing that goes out as it comes.
    pub(super) fn row(&mut self, row: &Row) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Text => self.line(&row.text),
            Format::Jsonl => self.document(&row.json),
            Format::Json => {
                self.writer.write_all(if self.rows == 1 { b"[\n" } else { b",\n" })?;
                let text = serde_json::to_string_pretty(&row.json)?;
                self.safe_json(&text)
            }
        }
    }

    /// A line of JSON, whatever the form of output.
    pub(super) fn json_line(&mut self, json: &Json) -> io::Result<()> {
        let text = serde_json::to_string(json)?;
        self.safe_json(&text)?;
        self.writer.write_all(b"\n")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// The end of a listing.
    pub(super) fn end_rows(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            self.writer.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.rows = 0;
        self.writer.flush()
    }

    /// A listing with columns: aligned under their heads for people.
    pub(super) fn table(
        &mut self,
        heads: &[&str],
        rows: &[Vec<String>],
        json: impl Iterator<Item = Json>,
    ) -> io::Result<()> {
        if self.is_text() {
            let text = self.aligned(heads, rows);
            return writeln!(self.writer, "{text}").and_then(|()| self.writer.flush());
        }
        for json in json {
            self.row(&Row { text: String::new(), json })?;
        }
        self.end_rows()
    }

    fn aligned(&self, heads: &[&str], rows: &[Vec<String>]) -> String {
        let safe =
            |row: &Vec<String>| row.iter().map(|cell| self.safe(cell).into_owned()).collect();
        render::aligned(heads, rows.iter().map(safe))
    }

    /// A text of ours, as it is.
    pub(super) fn own_text(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let text = self.safe(text);
        writeln!(self.writer, "{text}")
    }

    fn document(&mut self, json: &Json) -> io::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(json)?,
            Format::Text | Format::Jsonl => serde_json::to_string(json)?,
        };
        self.safe_json(&text)?;
        self.writer.write_all(b"\n")
    }

    fn safe_json(&mut self, text: &str) -> io::Result<()> {
        let text = if self.terminal { sanitize::json(text) } else { text.into() };
        self.writer.write_all(text.as_bytes())
    }

    fn safe<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if self.terminal { sanitize::text(text) } else { text.into() }
    }
}

/// Bytes for people: the text that they are, or how many.
fn blob_note(value: &Value) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) if !text.chars().any(sanitize::is_harmful) => text.to_owned(),
        _ => format!(
            "<blob of {} bytes; send the output to a file or a pipe>",
            value.as_bytes().len()
        ),
    }
}

/// The fields of an entry, as an export has them: `value` for text, `blob` in base64 for bytes,
/// neither when only keys were asked for.
pub(super) fn entry(
    key: &str,
    value: Option<&Value>,
    revision: u64,
    expire_time: Option<String>,
) -> Json {
    let mut fields = Map::new();
    fields.insert("key".to_owned(), json!(key));
    if let Some(value) = value {
        let (name, data) = match value.as_text() {
            Some(text) => ("value", text.to_owned()),
            None => ("blob", STANDARD.encode(value.as_bytes())),
        };
        fields.insert(name.to_owned(), json!(data));
    }
    fields.insert("revision".to_owned(), json!(revision));
    if let Some(time) = expire_time {
        fields.insert("expire_time".to_owned(), json!(time));
    }
    Json::Object(fields)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(
        format: Format,
        terminal: bool,
        write: impl FnOnce(&mut Output) -> io::Result<()>,
    ) -> Vec<u8> {
        let sink = Sink::default();
        write(&mut Output::new(format, terminal, Box::new(sink.clone()))).unwrap();
        sink.0.lock().clone()
    }

    #[test]
    fn values_to_a_pipe_are_exact_and_to_a_terminal_harmless() {
        let text = |text: &str| Value::text(text).unwrap();
        let blob = |bytes: &'static [u8]| Value::blob(bytes).unwrap();
        for (name, value, terminal, want) in [
            ("text", text("Kolkata"), true, &b"Kolkata\n"[..]),
            ("orders for a terminal", text("\x1b[2Ja"), true, b"\\u{1b}[2Ja\n"),
            ("orders for a pipe", text("\x1b[2Ja"), false, b"\x1b[2Ja\n"),
            ("bytes for a pipe", blob(b"\xff\0\n"), false, b"\xff\0\n"),
            (
                "bytes for a terminal",
                blob(b"\xff\0"),
                true,
                b"<blob of 2 bytes; send the output to a file or a pipe>\n",
            ),
            ("printable bytes", blob(b"text"), true, b"text\n"),
            (
                "bytes with orders",
                blob(b"\x1b[2J"),
                true,
                b"<blob of 4 bytes; send the output to a file or a pipe>\n",
            ),
        ] {
            let got = printed(Format::Text, terminal, |output| output.value(&value, &json!({})));
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn entries_as_json() {
        for (value, want) in [
            (
                Some(Value::text("a\u{202e}").unwrap()),
                r#"{"key":"k","value":"a\u202e","revision":3}"#,
            ),
            (Some(Value::blob(&b"\xff"[..]).unwrap()), r#"{"key":"k","blob":"/w==","revision":3}"#),
            (None, r#"{"key":"k","revision":3}"#),
        ] {
            let row = Row { text: String::new(), json: entry("k", value.as_ref(), 3, None) };
            let got = printed(Format::Jsonl, true, |output| output.row(&row));
            assert_eq!(String::from_utf8(got).unwrap(), format!("{want}\n"));
        }
    }

    #[test]
    fn a_listing_is_one_document() {
        for count in 0..3 {
            let got = printed(Format::Json, false, |output| {
                for n in 0..count {
                    output.row(&Row { text: String::new(), json: json!({ "n": n }) })?;
                }
                output.end_rows()
            });
            let parsed: Vec<Json> = serde_json::from_slice(&got).unwrap();
            assert_eq!(parsed.len(), count);
        }
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let rows = vec![
            vec!["rwitick".to_owned(), "guest".to_owned()],
            vec!["a\x07".to_owned(), "manager".to_owned()],
        ];
        let got = printed(Format::Text, true, |output| {
            output.table(&["USER", "ROLE"], &rows, std::iter::empty())
        });
        let want = "USER     ROLE\nrwitick  guest\na\\u{7}   manager\n";
        assert_eq!(String::from_utf8(got).unwrap(), want);
    }
}

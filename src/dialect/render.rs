//! Text output shared by the `text` protocol and the command line.

use comfy_table::{Table, presets};

use crate::model::Value;

/// Text in place of the value of a key that does not exist.
pub const BLANK: &str = "<blank>";

/// Returns the rows as left-aligned columns, two spaces apart, under `heads` if there are any.
pub fn aligned(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !heads.is_empty() {
        table.set_header(heads.iter().copied());
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Returns a value as part of a line: its text, or `<blob of N bytes>`.
pub fn in_line(value: &Value) -> String {
    match value.as_text() {
        Some(text) => text.to_owned(),
        None => format!("<blob of {} bytes>", value.as_bytes().len()),
    }
}

//! `export` and `import`: a store as lines of JSON.

mod entry_line;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Seek as _};

use indicatif::{ProgressBar, ProgressStyle};
use prost::Message as _;

use super::commands::keys::{Entries, request_id};
use super::convert;
use super::failure::{Failure, Result};
use super::input::blocking;
use super::output::{Row, entry};
use super::run::Runner;
use super::session::Need;
use entry_line::ImportedPut;
use kvrpc::dialect::grammar::InputSource;
use kvrpc::model::{MAX_BATCH_OPERATIONS, MAX_MESSAGE_BYTES, Prefix, UserName};
use kvrpc::pb::v1::key_value_service_client::KeyValueServiceClient;
use kvrpc::pb::v1::{BatchRequest, Operation};

/// A batch stays below the largest message by this much, for what stands around its operations.
const MARGIN_BYTES: usize = 64 << 10;
/// The longest line: a value of 1 MiB in which each character is escaped as six, with its key.
const MAX_LINE_BYTES: usize = 8 << 20;

impl Runner {
    /// Prints the entries as lines of JSON, whatever the form of output.
    pub(crate) async fn export(&mut self, prefix: Prefix, user: Option<UserName>) -> Result<()> {
        let mut entries = Entries::open(&self.session, &prefix, user.as_ref(), false).await?;
        // On one terminal, the bar and the lines would be in each other's way.
        let bar = if io::stdout().is_terminal() { ProgressBar::hidden() } else { spinner() };
        while let Some(some) = entries.next().await? {
            bar.inc(some.entries.len() as u64);
            for item in some.entries {
                let value = convert::scanned(item.data);
                let json = entry(
                    &item.key,
                    value.as_ref(),
                    item.revision,
                    convert::time(item.expire_time),
                );
                self.output.json_line(&json)?;
            }
        }
        bar.finish_and_clear();
        Ok(self.output.flush()?)
    }

    /// Checks all lines, and then puts the entries batch by batch.
    pub(crate) async fn import(&mut self, source: InputSource) -> Result<()> {
        let (file, checked) = blocking(move || open(source)).await?;
        let bar = bar(checked);
        let mut lines = EntryLines::new(file);
        let mut batch = Batch::default();
        let mut skipped = 0_u64;
        while let Some(put) = lines.next()? {
            bar.inc(1);
            let ImportedPut { operation, expired } = put;
            if expired {
                skipped += 1;
                continue;
            }
            if let Some(full) = batch.push(operation) {
                self.send(full).await?;
            }
        }
        self.send(batch.operations).await?;
        bar.finish_and_clear();
        let imported = checked - skipped;
        let text = match skipped {
            0 => format!("{imported} entries"),
            _ => format!("{imported} entries, and {skipped} left out that have expired"),
        };
        Ok(self.output.result(&Row {
            text,
            json: serde_json::json!({ "imported": imported, "expired": skipped }),
        })?)
    }

    async fn send(&self, operations: Vec<Operation>) -> Result<()> {
        if operations.is_empty() {
            return Ok(());
        }
        let message = BatchRequest { operations, request_id: request_id(None) };
        let rpc = async |channel, request| KeyValueServiceClient::new(channel).batch(request).await;
        self.session.call(Need::Session, message, rpc).await.map(|_| ())
    }
}

/// Operations on their way into one request.
#[derive(Default)]
struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

impl Batch {
    /// Takes an operation; gives back the batch before it when both do not fit into one request.
    fn push(&mut self, operation: Operation) -> Option<Vec<Operation>> {
        // A field's tag and length are at most six bytes.
        let bytes = operation.encoded_len() + 6;
        let full = self.operations.len() == MAX_BATCH_OPERATIONS
            || self.bytes + bytes > MAX_MESSAGE_BYTES - MARGIN_BYTES;
        let before = full.then(|| std::mem::take(self).operations);
        self.bytes += bytes;
        self.operations.push(operation);
        before
    }
}

/// The file, checked line by line and wound back. The standard input is copied first: nothing of it
/// runs before all of it is known to be right.
fn open(source: InputSource) -> Result<(File, u64)> {
    let unreadable =
        |error: io::Error| Failure::usage(format!("cannot read what to import: {error}"));
    let mut file = match source {
        InputSource::File(path) => File::open(&path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?,
        InputSource::Stdin | InputSource::Text(_) => {
            let mut copy = tempfile::tempfile().map_err(unreadable)?;
            io::copy(&mut io::stdin().lock(), &mut copy).map_err(unreadable)?;
            copy.rewind().map_err(unreadable)?;
            copy
        }
    };
    let mut lines = EntryLines::new(file.try_clone().map_err(unreadable)?);
    let mut count = 0;
    while lines.next()?.is_some() {
        count += 1;
    }
    file.rewind().map_err(|error| {
        Failure::usage(format!("cannot read it twice: {error}; import it with < FILE"))
    })?;
    Ok((file, count))
}

/// The entries of a file, with the numbers of their lines.
struct EntryLines {
    reader: BufReader<File>,
    number: u64,
}

impl EntryLines {
    fn new(file: File) -> Self {
        Self { reader: BufReader::new(file), number: 0 }
    }

    fn next(&mut self) -> Result<Option<ImportedPut>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.number += 1;
            let place = format!("line {}", self.number);
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1);
            let read = limited.read_until(b'\n', &mut line);
            match read
                .map_err(|error| Failure::usage(format!("cannot be read: {error}")).at(&place))?
            {
                0 => return Ok(None),
                length if length > MAX_LINE_BYTES => {
                    return Err(Failure::usage("it has more than 8 MiB").at(&place));
                }
                _ if line.trim_ascii().is_empty() => {}
                _ => {
                    return entry_line::parse(&line)
                        .map(Some)
                        .map_err(|why| Failure::usage(why).at(&place));
                }
            }
        }
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} entries, {per_sec}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn bar(entries: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} entries, {eta} left");
    ProgressBar::new(entries).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(values: &[usize]) -> Vec<(usize, usize)> {
        let mut batch = Batch::default();
        let mut all = Vec::new();
        for (index, bytes) in values.iter().enumerate() {
            let json =
                serde_json::json!({ "key": format!("k{index}"), "value": "x".repeat(*bytes) });
            all.extend(
                batch.push(entry_line::parse(json.to_string().as_bytes()).unwrap().operation),
            );
        }
        all.push(batch.operations);
        all.into_iter()
            .map(|operations| {
                let request = BatchRequest { operations, request_id: request_id(None) };
                (request.operations.len(), request.encoded_len())
            })
            .collect()
    }

    #[test]
    fn batches_stay_within_both_limits() {
        let mebibyte = 1 << 20;
        for (values, want) in [
            (vec![1; 2_500], vec![1_000, 1_000, 500]),
            (vec![mebibyte; 7], vec![3, 3, 1]),
            (vec![], vec![0]),
        ] {
            let got = sizes(&values);
            assert_eq!(got.iter().map(|(count, _)| *count).collect::<Vec<_>>(), want);
            assert!(got.iter().all(|(_, bytes)| *bytes <= MAX_MESSAGE_BYTES), "{got:?}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_before_anything_runs() {
        for (text, want) in [
            ("{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\",\"value\":\"2\"}", Ok(2)),
            ("", Ok(0)),
            (
                "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"\",\"value\":\"1\"}",
                Err("line 2: key is empty; a key is 1 to 1,024 bytes"),
            ),
            ("\n\nnonsense", Err("line 3: no JSON of an entry: expected ident at line 1 column 2")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("store.jsonl");
            std::fs::write(&path, text).unwrap();
            let got = open(InputSource::File(path)).map(|(_, count)| count);
            assert_eq!(
                got.map_err(|failure| failure.message().to_owned()),
                want.map_err(str::to_owned),
                "{text}"
            );
        }
    }
}

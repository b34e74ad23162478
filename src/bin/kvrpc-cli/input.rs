//! Input that commands need before any of them runs: values from files and the standard input, and
//! passwords.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read};
use std::path::Path;

use tokio::task::spawn_blocking;

use super::args::Settings;
use super::failure::{Failure, Result};
use super::interrupt::interruptible;
use kvrpc::dialect::grammar::{Call, InputSource, ParsedCommand};
use kvrpc::model::{MAX_VALUE_BYTES, Value};

/// The longest password, as in the contract.
const MAX_PASSWORD_BYTES: u64 = 1_024;

/// A command that is ready to run.
pub(super) struct Step {
    pub(super) call: Call,
    pub(super) input: CommandInput,
}

/// Input of a command beside its words.
pub(super) enum CommandInput {
    Nothing,
    Value(Value),
    Password(String),
}

/// True if commands may read the standard input: not when it is where the commands come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdin {
    Free,
    Taken,
}

/// Gets together all that a chain needs. Nothing has run when it fails.
pub(super) async fn prepare(
    chain: Vec<ParsedCommand>,
    settings: &Settings,
    stdin: Stdin,
) -> Result<Vec<Step>> {
    let mut stdin = stdin;
    let mut steps = Vec::with_capacity(chain.len());
    for parsed in chain {
        #[allow(clippy::wildcard_enum_match_arm, reason = "most commands need no input")]
        let input = match &parsed.call {
            Call::Put(put) | Call::PutOther { put, .. } => {
                CommandInput::Value(value(put.value.clone(), &mut stdin).await?)
            }
            Call::Auth { user, .. } => {
                CommandInput::Password(password(user.clone(), settings, &mut stdin).await?)
            }
            Call::Import { source: InputSource::Stdin } => {
                take(&mut stdin)?;
                CommandInput::Nothing
            }
            _ => CommandInput::Nothing,
        };
        steps.push(Step { call: parsed.call, input });
    }
    Ok(steps)
}

fn take(stdin: &mut Stdin) -> Result<()> {
    match std::mem::replace(stdin, Stdin::Taken) {
        Stdin::Free => Ok(()),
        Stdin::Taken => Err(Failure::usage(
            "the standard input can be read only once, and not when the commands come from it",
        )),
    }
}

async fn value(source: InputSource, stdin: &mut Stdin) -> Result<Value> {
    let bytes = match source {
        InputSource::Text(text) => {
            return Value::text(text).map_err(|error| Failure::usage(error.to_string()));
        }
        InputSource::Stdin => {
            take(stdin)?;
            blocking(|| read(io::stdin().lock(), "the standard input")).await?
        }
        InputSource::File(path) => {
            blocking(move || read(open(&path)?, &path.display().to_string())).await?
        }
    };
    let value = match String::from_utf8(bytes) {
        Ok(text) => Value::text(text),
        Err(error) => Value::blob(error.into_bytes()),
    };
    value.map_err(|error| Failure::usage(error.to_string()))
}

fn read(reader: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells that there are more.
    let limit = MAX_VALUE_BYTES as u64 + 1;
    reader
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(Failure::usage(format!(
            "{name} has more than 1 MiB; a value has at most 1,048,576 bytes"
        )));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<File> {
    File::open(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}

async fn password(user: String, settings: &Settings, stdin: &mut Stdin) -> Result<String> {
    match &settings.password_file {
        Some(path) if path.as_os_str() == "-" => {
            take(stdin)?;
            blocking(|| first_line(io::stdin().lock(), "the standard input")).await
        }
        Some(path) => {
            let path = path.clone();
            blocking(move || first_line(BufReader::new(open(&path)?), &path.display().to_string()))
                .await
        }
        None if !io::stdin().is_terminal() => Err(Failure::usage(
            "there is no terminal to ask for the password on; give --password-file FILE, or - \
             for the standard input",
        )),
        // Not to be left: it gives the terminal its echo back, and sees Ctrl-C itself.
        None => {
            spawn_blocking(move || ask(&user)).await.unwrap_or_else(|_| Err(Failure::interrupted()))
        }
    }
}

fn first_line(reader: impl BufRead, name: &str) -> Result<String> {
    let mut line = Vec::new();
    reader
        .take(MAX_PASSWORD_BYTES + 2)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(Failure::usage(format!(
            "{name} must begin with a line of the password, 1 to 1,024 bytes"
        )));
    }
    String::from_utf8(line.to_vec())
        .map_err(|_| Failure::usage(format!("the password in {name} is no UTF-8")))
}

fn ask(user: &str) -> Result<String> {
    let prompt = format!("password for {}: ", kvrpc::dialect::sanitize::text(user));
    rpassword::prompt_password(prompt).map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted {
            return Failure::interrupted();
        }
        Failure::usage(format!("cannot ask for the password: {error}; give --password-file FILE"))
    })
}

/// Waits for a person or a pipe without stopping the connection.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let read = async {
        spawn_blocking(work)
            .await
            .unwrap_or_else(|_| Err(Failure::failed("reading the input failed")))
    };
    interruptible(read).await
}

#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm, reason = "only the commands with input matter here")]
mod tests {
    use super::*;
    use kvrpc::dialect::grammar::{COMMANDS, Mode, Word, parse};

    #[test]
    fn a_password_is_the_first_line() {
        let long = format!("{}\n", "x".repeat(1_024));
        for (given, want) in [
            ("bill\nmore", Some("bill")),
            ("bill", Some("bill")),
            (" bill \r\n", Some(" bill ")),
            ("", None),
            ("\nbill", None),
            (long.as_str(), Some(long.trim_end())),
            (&format!("x{long}"), None),
        ] {
            assert_eq!(first_line(given.as_bytes(), "it").ok().as_deref(), want, "{given:.10}");
        }
    }

    #[test]
    fn a_value_has_at_most_a_mebibyte() {
        for (bytes, fits) in [(MAX_VALUE_BYTES, true), (MAX_VALUE_BYTES + 1, false)] {
            assert_eq!(read(vec![0; bytes].as_slice(), "it").is_ok(), fits, "{bytes}");
        }
    }

    /// The table's examples, since a new command in the table needs no line here.
    #[tokio::test]
    async fn exactly_the_commands_with_a_value_get_one() {
        let args = ["kvrpc-cli", "--user", "u", "--password-file", "Cargo.toml"];
        let settings = crate::args::read(args.map(Into::into)).unwrap().settings;
        for spec in COMMANDS.iter().filter(|spec| spec.exists_in(Mode::CommandLine)) {
            for example in spec.examples {
                // Up to a redirection, which is the shell's.
                let words: Vec<&str> = example
                    .split(' ')
                    .take_while(|word| !matches!(*word, "<" | ">" | "|"))
                    .collect();
                let chain = parse(&words, Mode::CommandLine).unwrap();
                let source = match &chain[0].call {
                    Call::Import { .. } => continue,
                    Call::Put(put) | Call::PutOther { put, .. } => Some(put.value.clone()),
                    _ => None,
                };
                if source.is_some_and(|source| !matches!(source, InputSource::Text(_))) {
                    continue;
                }
                let steps = prepare(chain, &settings, Stdin::Taken).await.unwrap();
                let has_value = matches!(steps[0].input, CommandInput::Value(_));
                let takes_value =
                    spec.words.contains(&Word::Needed("VALUE")) || example.contains(" put ");
                assert_eq!(has_value, takes_value, "{example}");
                let has_password = matches!(steps[0].input, CommandInput::Password(_));
                assert_eq!(has_password, spec.name == "auth", "{example}");
            }
        }
    }

    #[test]
    fn the_standard_input_is_read_once() {
        let mut stdin = Stdin::Free;
        assert_eq!(take(&mut stdin), Ok(()));
        assert_eq!(take(&mut stdin).unwrap_err().exit, crate::Exit::Usage);
    }
}

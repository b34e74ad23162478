//! The options before the first command, as typed and as checked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, Parser, ValueEnum};

use super::help;
use super::server::{DEFAULT_PORT, Server};
use super::via::{self, Via};
use kvrpc::dialect::grammar::{Mode, find, parse_duration};
use kvrpc::model::UserName;

/// Format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As people read it
    Text,
    /// Indented JSON; a listing is one array
    Json,
    /// One line of JSON a result; a listing has one a row
    Jsonl,
}

/// Key-value store for users and roles, over gRPC
#[derive(Debug, Parser)]
#[command(
    name = "kvrpc-cli",
    version,
    override_usage = "kvrpc-cli [OPTIONS] [COMMAND [WORDS]]...\n\
        \x20      kvrpc-cli [OPTIONS] HOST PORT [COMMAND [WORDS]]...",
    after_help = help::after_options(),
    max_term_width = 120,
)]
struct RawArgs {
    /// The server: host:port, http://host:port or https://host:port [default: 127.0.0.1:50051; with
    /// --via the dialect's port]
    #[arg(long, env = "KVRPC_SERVER", value_name = "SERVER")]
    server: Option<String>,
    /// Speak an older dialect in place of gRPC
    #[arg(long, value_name = "DIALECT", value_parser = dialects())]
    via: Option<String>,
    /// With --via: show what each side says, on the standard error
    #[arg(short, long)]
    verbose: bool,
    /// The name to sign in with [default: the name you have on this machine]
    #[arg(long, env = "KVRPC_USER", value_name = "NAME")]
    user: Option<String>,
    /// Format of results
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Exit with 3 if any get found no such key, not only the last
    #[arg(long)]
    strict: bool,
    /// Maximum time of one call: 250ms, 5s, 1m
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    timeout: String,
    /// Trust the certificate authorities of this PEM file, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// The client's certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of the client's certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Read the password of `auth` from the first line of this file; - is the standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Fail with 4 instead of opening a session
    #[arg(long)]
    no_sign_in: bool,
    /// Commands, one after another; without any, a prompt
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    words: Vec<String>,
}

/// The options, checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) server: Server,
    /// True if the server was named as the first clients did, by HOST PORT.
    pub(super) positional: bool,
    pub(super) via: Option<&'static Via>,
    pub(super) verbose: bool,
    pub(super) user: UserName,
    pub(super) output: Format,
    pub(super) strict: bool,
    pub(super) timeout: Duration,
    pub(super) tls: TlsPem,
    pub(super) password_file: Option<PathBuf>,
    pub(super) no_sign_in: bool,
    /// A token from the environment, which stands above the cached one.
    pub(super) token: Option<String>,
    /// Folder of the tokens, or `None` if they are not kept.
    pub(super) cache_dir: Option<PathBuf>,
}

/// The contents of the PEM files.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsPem {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A command line: the options, and the words of the commands.
#[derive(Debug)]
pub(super) struct CommandLine {
    pub(super) settings: Settings,
    pub(super) words: Vec<String>,
}

/// The command as clap knows it, for completions and the manual.
pub(super) fn command() -> clap::Command {
    RawArgs::command()
}

/// Reads the command line and the environment.
///
/// # Errors
/// clap's, which prints itself and knows its exit code; help and version are among them.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
    let raw = RawArgs::try_parse_from(args)?;
    check(raw).map_err(|wrong| {
        let all = wrong.join("\nerror: ");
        command().error(clap::error::ErrorKind::ValueValidation, all)
    })
}

/// All mistakes are found in one run.
fn check(raw: RawArgs) -> Result<CommandLine, Vec<String>> {
    let mut wrong = Vec::new();
    let mut words = raw.words;
    let via = raw.via.as_deref().and_then(Via::find);
    let usual_port = via.map_or(Some(DEFAULT_PORT), Via::usual_port);
    let named = host_and_port(&mut words);
    let positional = named.is_some();
    let address = named.or(raw.server).unwrap_or_else(|| "127.0.0.1".to_owned());
    let server = keep(
        Server::parse(&address, usual_port).map_err(|why| format!("--server: {why}")),
        &mut wrong,
    );
    let user = raw.user.map_or_else(
        || {
            whoami::username().map_err(|error| {
                format!("your name on this machine is not known ({error}); give --user NAME")
            })
        },
        Ok,
    );
    let user =
        user.and_then(|user| UserName::new(user).map_err(|error| format!("--user: {error}")));
    let user = keep(user, &mut wrong);
    let timeout = match parse_duration(&raw.timeout) {
        Ok(Duration::ZERO) => Err("--timeout: 0 leaves no time; give at least 1ms".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(why) => Err(format!("--timeout: {why}")),
    };
    let timeout = keep(timeout, &mut wrong);
    let mut pem = |flag: &str, path: Option<PathBuf>| {
        let path = path?;
        keep(
            fs::read(&path)
                .map_err(|error| format!("{flag}: cannot read {}: {error}", path.display())),
            &mut wrong,
        )
    };
    let tls = TlsPem {
        ca: pem("--ca-cert", raw.ca_cert),
        identity: pem("--cert", raw.cert).zip(pem("--key", raw.key)),
    };
    match (server, user, timeout) {
        (Some(server), Some(user), Some(timeout)) if wrong.is_empty() => Ok(CommandLine {
            settings: Settings {
                server,
                positional,
                via,
                verbose: raw.verbose,
                user,
                output: raw.output,
                strict: raw.strict,
                timeout,
                tls,
                password_file: raw.password_file,
                no_sign_in: raw.no_sign_in,
                token: variable("KVRPC_TOKEN").and_then(|token| token.into_string().ok()),
                cache_dir: cache_dir(),
            },
            words,
        }),
        _ => Err(wrong),
    }
}

fn dialects() -> PossibleValuesParser {
    PossibleValuesParser::new(via::ALL.iter().map(|via| via.name))
}

fn keep<T>(checked: Result<T, String>, wrong: &mut Vec<String>) -> Option<T> {
    checked.map_err(|why| wrong.push(why)).ok()
}

/// The form of the first clients, `HOST PORT COMMAND…`: takes the two words off, if that is what
/// they are.
fn host_and_port(words: &mut Vec<String>) -> Option<String> {
    let [host, port, ..] = words.as_slice() else { return None };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    if !is_port || find(host, Mode::CommandLine).is_some() {
        return None;
    }
    let address = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    words.drain(..2);
    Some(address)
}

fn cache_dir() -> Option<PathBuf> {
    if let Some(dir) = variable("KVRPC_CACHE_DIR") {
        return Some(dir.into());
    }
    let base = match variable("XDG_CACHE_HOME").map(PathBuf::from) {
        // A relative path there is to be ignored (XDG Base Directory Specification).
        Some(dir) if dir.is_absolute() => dir,
        _ => env::home_dir()?.join(".cache"),
    };
    Some(base.join("kvrpc"))
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &str) -> Result<CommandLine, String> {
        let args =
            std::iter::once("kvrpc-cli").chain(args.split(' ').filter(|word| !word.is_empty()));
        let raw = RawArgs::try_parse_from(args).map_err(|error| error.to_string())?;
        check(raw).map_err(|wrong| wrong.join("; "))
    }

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn options_end_where_commands_begin() {
        for (args, server, words) in [
            ("--user u get k", "http://127.0.0.1:50051", &["get", "k"][..]),
            ("--user u --server h:1 put k -- --user", "http://h:1", &["put", "k", "--", "--user"]),
            (
                "--user u put k v --ttl 5m",
                "http://127.0.0.1:50051",
                &["put", "k", "v", "--ttl", "5m"],
            ),
            ("--user u get --help", "http://127.0.0.1:50051", &["get", "--help"]),
            ("--user u -o json users", "http://127.0.0.1:50051", &["users"]),
            ("--user u localhost 5000 put k v", "http://localhost:5000", &["put", "k", "v"]),
            ("--user u ::1 5000", "http://[::1]:5000", &[]),
            ("--user u get 5000", "http://127.0.0.1:50051", &["get", "5000"]),
            ("--user u --via text get k", "http://127.0.0.1:5555", &["get", "k"]),
            ("--user u --via pickle --server h get k", "http://h:12345", &["get", "k"]),
            ("--user u --via hello --server h:7 knock", "http://h:7", &["knock"]),
            ("--user u host 0 get k", "http://127.0.0.1:50051", &["host", "0", "get", "k"]),
            ("--user u host 65536 get k", "http://127.0.0.1:50051", &["host", "65536", "get", "k"]),
        ] {
            let line = line(args).unwrap_or_else(|error| panic!("{args}: {error}"));
            assert_eq!(line.settings.server.to_string(), server, "{args}");
            assert_eq!(line.words, words, "{args}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let wrong =
            line("--user u --server x://y --timeout 5 --ca-cert does/not/exist get k").unwrap_err();
        for part in
            ["--server: ", "--timeout: `5` lacks its unit", "--ca-cert: cannot read does/not/exist"]
        {
            assert!(wrong.contains(part), "{part} is not in {wrong}");
        }
        assert!(
            line("--user u --via hello knock")
                .unwrap_err()
                .contains("lacks its port, and the dialect has no usual one")
        );
        assert!(line("--user u --via telnet get k").unwrap_err().contains("ws-pickle"));
        assert!(line("--bogus get k").unwrap_err().contains("--bogus"));
        assert!(line("--cert c get k").unwrap_err().contains("--key"));
    }
}

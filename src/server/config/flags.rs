//! The command line: one table of flags. clap's arguments, the variables and the keys of the file
//! follow from it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::sources::{Given, Origin, RawConfig};
use crate::model::Role;

/// A flag: `--key VALUE`, `KVRPC_KEY` and, except for `config`, the file's `key = VALUE`.
struct Flag {
    key: &'static str,
    value: &'static str,
    group: &'static str,
    many: bool,
    /// True if the flag can be given without a value, which then is `true`.
    switch: bool,
    help: &'static str,
}

impl Flag {
    const fn new(
        group: &'static str,
        key: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self { key, value, group, many: false, switch: false, help }
    }

    const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    const fn switch(self) -> Self {
        Self { switch: true, ..self }
    }
}

const ADDRESSES: &str = "Addresses";
const STORES: &str = "Stores and roles";
const TLS: &str = "TLS and browsers";
const RUNNING: &str = "Running";

const FLAGS: &[Flag] = &[
    Flag::new(
        ADDRESSES,
        "listen",
        "ADDR",
        "Serve gRPC here: host:port or interface:port, port 0 for any. Repeatable \
         [default: 127.0.0.1:50051]",
    )
    .many(),
    Flag::new(
        ADDRESSES,
        "admin-listen",
        "ADDR",
        "Serve /metrics, /healthz and /readyz here [default: nowhere]",
    ),
    Flag::new(
        ADDRESSES,
        "compat",
        "DIALECT=ADDR",
        "Serve an older socket protocol here, as in text=127.0.0.1:5555. Repeatable; given at \
         all, it replaces the default [default: text=127.0.0.1:5555]",
    )
    .many(),
    Flag::new(ADDRESSES, "no-compat", "BOOL", "Serve no older protocol").switch(),
    Flag::new(
        ADDRESSES,
        "insecure-compat",
        "BOOL",
        "Serve older protocols beyond loopback, where everybody on the way can read and change \
         what they carry",
    )
    .switch(),
    Flag::new(
        ADDRESSES,
        "insecure",
        "BOOL",
        "Serve gRPC beyond loopback without TLS, where everybody on the way can read it",
    )
    .switch(),
    Flag::new(
        STORES,
        "store",
        "ENGINE",
        "What keeps the stores: memory, redis://HOST:PORT (rediss:// for TLS), or \
         redis-cluster://HOST:PORT… [default: memory]",
    ),
    Flag::new(
        STORES,
        "durability",
        "PROMISE",
        "What a write in Redis waits for: local, replicated:N or fsynced \
         [default: local; for a cluster replicated:1]",
    ),
    Flag::new(
        STORES,
        "upgrade-policy",
        "POLICY",
        "Who may make a guest a manager: managers, or open for everybody itself \
         [default: managers]",
    ),
    Flag::new(
        TLS,
        "tls-cert",
        "FILE",
        "The certificate chain (PEM); read again when it changes, and on SIGHUP",
    ),
    Flag::new(TLS, "tls-key", "FILE", "The certificate's private key (PEM)"),
    Flag::new(
        TLS,
        "tls-client-ca",
        "FILE",
        "Refuse clients without a certificate of these roots (PEM)",
    ),
    Flag::new(
        TLS,
        "allow-origin",
        "ORIGIN",
        "Let pages of this origin call from a browser, as in https://app.example. Repeatable",
    )
    .many(),
    Flag::new(
        TLS,
        "allow-header",
        "NAME",
        "Let these pages send this header too, beside those of gRPC-Web and of tracing. \
         Repeatable",
    )
    .many(),
    Flag::new(
        TLS,
        "allow-host",
        "NAME",
        "Serve this host name on loopback addresses without TLS, beside localhost. Repeatable",
    )
    .many(),
    Flag::new(
        RUNNING,
        "config",
        "FILE",
        "Read settings from this TOML file; a flag or a variable wins over it",
    ),
    Flag::new(
        RUNNING,
        "grace",
        "DURATION",
        "What running calls get to finish when the server stops [default: 10s]",
    ),
    Flag::new(
        RUNNING,
        "drain-delay",
        "DURATION",
        "Take new connections and calls for so long after a stop was asked for, while health and \
         /readyz say otherwise: what a load balancer needs to notice [default: 0s]",
    ),
    Flag::new(RUNNING, "threads", "COUNT", "Threads that serve connections [default: one a core]"),
    Flag::new(
        RUNNING,
        "log",
        "FORMAT",
        "How the log looks: text or json; it goes to stderr [default: text]",
    ),
    Flag::new(
        RUNNING,
        "log-level",
        "FILTER",
        "What is logged: error, warn, info, debug, trace, or as in warn,kvrpc=debug \
         [default: info]",
    ),
];

const NOTES: &str = "\
Examples:
  kvrpc-server
      gRPC on 127.0.0.1:50051, the text protocol on 127.0.0.1:5555, stores in memory
  kvrpc-server --compat text=127.0.0.1:5000 --compat pickle=127.0.0.1:12345
      for clients of two older protocols
  kvrpc-server --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
  kvrpc-server --config kvrpc.toml check-config
      what would hold, and where each setting comes from
  kvrpc-server hash-password adam --role manager
      lines for the file, for a password from stdin

Every flag has a key of its name in the file (grace = \"10s\") and a variable
(KVRPC_GRACE=10s). A flag wins over a variable, a variable over the file. Limits stand
in the file alone, under [limits]; check-config shows them all.

Exit codes: 0 stopped as asked, 1 failed, or calls were cut, 2 wrong usage or
configuration, 128 + N ended by a second signal N.";

/// The task of the program.
pub enum Invocation {
    /// Serves.
    Serve(RawConfig),
    /// Checks the configuration and prints the settings in effect.
    CheckConfig(RawConfig),
    /// Hashes a password from stdin.
    HashPassword(NewPassword),
}

/// The options of `hash-password`.
pub struct NewPassword {
    /// The account's name, if given.
    pub name: Option<String>,
    /// The account's role, if given.
    pub role: Option<Role>,
    /// True if the password is given in base64, as in the configuration of the oldest servers.
    pub base64: bool,
}

/// Parses the command line and, for flags that it lacks, the environment.
///
/// # Errors
/// Those of clap: wrong usage; also `--help` and `--version`, which are not mistakes.
pub fn invocation<I, T>(arguments: I) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments)?;
    Ok(match matches.subcommand() {
        Some(("check-config", inner)) => Invocation::CheckConfig(raw(&[inner, &matches])),
        Some(("hash-password", inner)) => Invocation::HashPassword(NewPassword {
            name: inner.get_one("name").cloned(),
            role: inner
                .get_one::<String>("role")
                .map(|role| if role == "manager" { Role::Manager } else { Role::Guest }),
            base64: inner.get_flag("base64"),
        }),
        _ => Invocation::Serve(raw(&[&matches])),
    })
}

/// Returns the whole command line for clap.
fn command() -> Command {
    let check = Command::new("check-config")
        .about(
            "Print the configuration in effect, or everything that is wrong with it (exit code 2)",
        )
        .args(arguments());
    let hash = Command::new("hash-password")
        .about(
            "Read a password from stdin and print its account's lines for the configuration file",
        )
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .help("The account's name [default: NAME, to be replaced]"),
        )
        .arg(
            Arg::new("role")
                .long("role")
                .value_name("ROLE")
                .value_parser(["manager", "guest"])
                .help("The account's role"),
        )
        .arg(
            Arg::new("base64")
                .long("base64")
                .action(ArgAction::SetTrue)
                .help("The password is given in base64"),
        );
    Command::new("kvrpc-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .after_help(NOTES)
        .args(arguments())
        .subcommand(check)
        .subcommand(hash)
}

fn arguments() -> impl Iterator<Item = Arg> {
    FLAGS.iter().map(|flag| {
        let argument = Arg::new(flag.key)
            .long(flag.key)
            .value_name(flag.value)
            .env(variable(flag.key))
            .help(flag.help)
            .help_heading(flag.group);
        match flag {
            // A variable cannot be repeated: commas separate its values, which contain none.
            Flag { many: true, .. } => argument.action(ArgAction::Append).value_delimiter(','),
            Flag { switch: true, .. } => argument
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .overrides_with(flag.key),
            _ => argument.overrides_with(flag.key),
        }
    })
}

/// Returns the variable of a flag: `KVRPC_TLS_CERT` for `tls-cert`.
pub(super) fn variable(key: &str) -> String {
    format!("KVRPC_{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// Collects the flags and variables given. The subcommand's level comes first, and a flag of any
/// level wins over a variable.
fn raw(levels: &[&ArgMatches]) -> RawConfig {
    let given = |source, origin: Origin, key: &'static str| {
        let level = levels.iter().find(|matches| matches.value_source(key) == Some(source))?;
        let values = level.get_many::<String>(key)?.cloned().collect();
        Some(Given { key, values, origin })
    };
    let all: Vec<Given> = FLAGS
        .iter()
        .filter_map(|flag| {
            given(ValueSource::CommandLine, Origin::Flag, flag.key)
                .or_else(|| given(ValueSource::EnvVariable, Origin::Variable, flag.key))
        })
        .collect();
    let (file, given): (Vec<_>, Vec<_>) = all.into_iter().partition(|given| given.key == "config");
    RawConfig {
        file: file.into_iter().next_back().and_then(|mut g| g.values.pop()).map(PathBuf::from),
        given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_count_before_and_after_the_subcommand() {
        let given = |arguments: &[&str]| match invocation([&["kvrpc-server"], arguments].concat())
            .unwrap()
        {
            Invocation::CheckConfig(raw) | Invocation::Serve(raw) => (
                raw.file.map(|file| file.display().to_string()),
                raw.given
                    .into_iter()
                    .map(|given| (given.key, given.values.join("+")))
                    .collect::<Vec<_>>(),
            ),
            Invocation::HashPassword(_) => panic!("not asked for"),
        };
        for arguments in [
            &["--config", "a.toml", "--grace", "1s", "check-config"][..],
            &["check-config", "--config", "a.toml", "--grace", "1s"],
            &["--config", "a.toml", "check-config", "--grace", "1s"],
            &["--config", "a.toml", "--grace=2s", "check-config", "--grace", "1s"],
            &["--config", "a.toml", "--grace=2s", "--grace", "1s"],
        ] {
            assert_eq!(
                given(arguments),
                (Some("a.toml".to_owned()), vec![("grace", "1s".to_owned())]),
                "{arguments:?}"
            );
        }
        let listen = "127.0.0.1:1+127.0.0.1:2+127.0.0.1:3".to_owned();
        let arguments =
            ["--listen", "127.0.0.1:1,127.0.0.1:2", "--insecure", "--listen=127.0.0.1:3"];
        assert_eq!(
            given(&arguments),
            (None, vec![("listen", listen), ("insecure", "true".to_owned())])
        );
    }
}

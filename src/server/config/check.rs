//! From what was given to what holds, with every mistake in one run.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::parse::{Count, FileName, Kind, Length, OneOf, Origin, Parsed, Size, Switch, quoted};
use super::sources::{RawConfig, Sources, Wrong};
use super::{Config, Limits, Log, LogFormat, ServiceConfig, TlsFiles, accounts, doors, store};
use crate::listen::Address;
use crate::listen::http::HttpLimits;
use crate::model::UpgradePolicy;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// A pebibyte: more than any machine has, and far from where sums overflow.
const MOST_BYTES: u64 = 1 << 50;

const ADDRESS: Parsed = Parsed("`host:port` or `interface:port`");

impl RawConfig {
    /// Checks everything.
    ///
    /// # Errors
    /// Every mistake, each with the flag, variable or line, the value and the rule.
    pub fn check(self) -> Result<Config, Vec<Wrong>> {
        let mut sources = Sources::read(self);
        let s = &mut sources;
        let listen = s.at_least_one("listen", &ADDRESS, default_listen());
        let admin_listen: Option<Address> = s.optional("admin-listen", &ADDRESS);
        let compat = doors::read(s);
        let insecure = s.one("insecure", &Switch, false);
        let store = store::read(s);
        let upgrade_policy = s.one("upgrade-policy", &POLICIES, UpgradePolicy::Managers);
        let tls = tls_files(s);
        let allow_origins = s.many("allow-origin", &Origin, Vec::new());
        let grace = s.one("grace", &Length(Duration::ZERO..=HOUR), 10 * SECOND);
        let threads =
            s.one("threads", &Count(1..=1_024), available_parallelism().map_or(1, NonZero::get));
        let log = Log {
            format: s.one("log", &LOG_FORMATS, LogFormat::Text),
            filter: s.one("log-level", &Filter, "info".to_owned()),
        };
        let connections = s.one("limits.connections", &Count(1..=1_000_000), 10_000);
        let http = http_limits(s);
        let limits = service_limits(s);
        let accounts = accounts::read(s);

        if tls.is_none() && !insecure {
            refuse_plaintext(s, &listen);
        }
        let mut warnings = Vec::new();
        if let Some(admin) = admin_listen.as_ref().filter(|admin| !admin.is_loopback()) {
            warnings.push(format!(
                "{} {admin} is beyond loopback: everybody there can read the metrics",
                s.place_of("admin-listen")
            ));
        }
        if tls.is_none() && listen.iter().any(|address| !address.is_loopback()) {
            warnings.push(
                "gRPC is served beyond loopback without TLS: tokens and values can be read on the way".to_owned(),
            );
        }
        for door in compat.doors.iter().filter(|door| !door.address.is_loopback()) {
            warnings.push(format!(
                "--compat {door} is beyond loopback: what its clients send can be read on the way"
            ));
        }
        if upgrade_policy == UpgradePolicy::Open {
            warnings.push(
                "the upgrade policy is open: every guest can read the stores of other guests"
                    .to_owned(),
            );
        }
        let service = ServiceConfig { store, upgrade_policy, accounts, limits };
        let effective = sources.finish()?;
        Ok(Config {
            listen,
            admin_listen,
            compat,
            tls,
            allow_origins,
            threads,
            grace,
            log,
            connections,
            http,
            service,
            warnings,
            effective,
        })
    }
}

const POLICIES: OneOf<UpgradePolicy> =
    OneOf(&[("managers", UpgradePolicy::Managers), ("open", UpgradePolicy::Open)]);
const LOG_FORMATS: OneOf<LogFormat> = OneOf(&[
    (LogFormat::Text.as_str(), LogFormat::Text),
    (LogFormat::Json.as_str(), LogFormat::Json),
]);

fn default_listen() -> Vec<Address> {
    "127.0.0.1:50051".parse().into_iter().collect()
}

fn refuse_plaintext(s: &mut Sources, listen: &[Address]) {
    for address in listen.iter().filter(|address| !address.is_loopback()) {
        let place = format!("{} {address}", s.place_of("listen"));
        let rule = "is beyond loopback, and there is no TLS: give --tls-cert and --tls-key, or --insecure if \
                    everybody on that network may read the tokens and values";
        s.wrong(Wrong::new(place, rule));
    }
}

fn tls_files(s: &mut Sources) -> Option<TlsFiles> {
    let cert = s.optional("tls-cert", &FileName);
    let key = s.optional("tls-key", &FileName);
    let client_ca = s.optional("tls-client-ca", &FileName);
    match (cert, key) {
        (Some(cert), Some(key)) => return Some(TlsFiles { cert, key, client_ca }),
        (Some(_), None) => s.wrong(Wrong::new(s.place_of("tls-cert"), "needs --tls-key beside it")),
        (None, Some(_)) => s.wrong(Wrong::new(s.place_of("tls-key"), "needs --tls-cert beside it")),
        (None, None) if client_ca.is_some() => {
            s.wrong(Wrong::new(
                s.place_of("tls-client-ca"),
                "needs --tls-cert and --tls-key beside it",
            ));
        }
        (None, None) => {}
    }
    None
}

fn http_limits(s: &mut Sources) -> HttpLimits {
    let short = Length(10 * MILLISECOND..=HOUR);
    HttpLimits {
        first_bytes: s.one("limits.first-bytes", &short, 3 * SECOND),
        handshake: s.one("limits.handshake", &short, 5 * SECOND),
        keepalive_interval: s.one("limits.keepalive-interval", &short, 20 * SECOND),
        keepalive_timeout: s.one("limits.keepalive-timeout", &short, 10 * SECOND),
        streams: s.one("limits.streams", &Count(1..=10_000), 128),
        // h2 counts an entry 32 bytes more than it is; below 1 KiB no gRPC request fits. A header
        // has to fit HTTP/1's buffer.
        header_bytes: u32::try_from(s.one(
            "limits.header-bytes",
            &Size(1 << 10..=32 << 10),
            8 << 10,
        ))
        .unwrap_or(8 << 10),
        age: s.one("limits.connection-age", &Length(10 * MILLISECOND..=YEAR), HOUR / 2),
        closing_notice: s.one("limits.closing-notice", &short, 10 * SECOND),
    }
}

/// The service's own, but for what depends on the machine: 80 % of its memory for the stores.
pub(super) fn default_limits() -> Limits {
    Limits { store_bytes: super::parse::four_fifths_of_memory(), ..Limits::default() }
}

fn service_limits(s: &mut Sources) -> Limits {
    let default = default_limits();
    let length = Length(MILLISECOND..=YEAR);
    let count = Count(1..=1_000_000);
    Limits {
        keys_per_user: s.one(
            "limits.keys-per-user",
            &Count(1..=u64::MAX >> 1),
            default.keys_per_user,
        ),
        bytes_per_user: s.one(
            "limits.bytes-per-user",
            &Size(1..=MOST_BYTES),
            default.bytes_per_user,
        ),
        store_bytes: s.one("limits.store-bytes", &Size(1..=MOST_BYTES), default.store_bytes),
        sessions: s.one("limits.sessions", &Count(1..=100_000_000), default.sessions),
        sign_ins_per_second: s.one(
            "limits.sign-ins-per-second",
            &Count(1..=1_000_000),
            default.sign_ins_per_second,
        ),
        auth_failure_burst: s.one(
            "limits.auth-failure-burst",
            &Count(1..=1_000_000),
            default.auth_failure_burst,
        ),
        auth_failure_interval: s.one(
            "limits.auth-failure-interval",
            &Length(MILLISECOND..=DAY),
            default.auth_failure_interval,
        ),
        guest_idle: s.one("limits.guest-idle", &length, default.guest_idle),
        account_session: s.one("limits.account-session", &length, default.account_session),
        auth_queue: default.auth_queue,
        call_timeout: s.one(
            "limits.call-timeout",
            &Length(MILLISECOND..=HOUR),
            default.call_timeout,
        ),
        heartbeat: s.one("limits.heartbeat", &Length(10 * MILLISECOND..=HOUR), default.heartbeat),
        chat_messages_per_second: s.one(
            "limits.chat-messages-per-second",
            &count,
            default.chat_messages_per_second,
        ),
        chat_burst: s.one("limits.chat-burst", &count, default.chat_burst),
        rooms: s.one("limits.rooms", &count, default.rooms),
        rooms_per_user: s.one("limits.rooms-per-user", &count, default.rooms_per_user),
        members_per_room: s.one("limits.members-per-room", &count, default.members_per_room),
        room_history: s.one("limits.room-history", &count, default.room_history),
        room_history_bytes: s.one(
            "limits.room-history-bytes",
            &Size(1..=1 << 30),
            default.room_history_bytes,
        ),
        history_bytes: s.one("limits.history-bytes", &Size(1..=MOST_BYTES), default.history_bytes),
        room_idle: s.one("limits.room-idle", &length, default.room_idle),
    }
}

/// What is logged, in tracing's own words.
struct Filter;

impl Kind<String> for Filter {
    fn rule(&self) -> String {
        "a level, or a filter as in warn,kvrpc=debug".to_owned()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        let wrong = |why: &str| format!("must be {}{why}", self.rule());
        if text.trim().is_empty() {
            return Err(wrong(""));
        }
        EnvFilter::builder()
            .parse(text)
            .map(|_| text.to_owned())
            .map_err(|error| wrong(&format!(": {error}")))
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

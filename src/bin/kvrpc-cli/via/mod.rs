//! `--via DIALECT`: the same commands over an older protocol; `--verbose` shows what each side
//! sends.
//!
//! [`ALL`] is the table: a dialect is one file with a [`ProtocolClient`], which does no I/O, and
//! one row. `run` runs the commands, `connection` carries the messages, `trace` shows them, and
//! `error_text` finds the exit codes for the sentences of replies.

mod calc;
mod chat;
mod clock;
mod connection;
mod error_text;
mod frames;
mod hello;
mod line;
mod pickles;
mod protocol_client;
mod run;
mod text;
mod trace;
mod ws_text;

use tokio::time::timeout;

use super::Exit;
use super::args::{CommandLine, Settings};
use super::connect::{Peer, probe};
use super::failure::{Failure, Result};
use kvrpc::dialect::{self, Dialect};
use protocol_client::ProtocolClient;

/// A dialect, as this program speaks it.
pub(super) struct Via {
    /// Its name at the server's `--compat`.
    pub(super) name: &'static str,
    /// The commands of the grammar that it has; none: all words are its message.
    commands: &'static [&'static str],
    /// True for a binary protocol, which is shown in hexadecimal.
    binary: bool,
    open: fn() -> Box<dyn ProtocolClient>,
}

const STORE: &[&str] = &["get", "put", "getother", "upgrade"];

/// Every dialect.
pub(super) const ALL: &[Via] = &[
    via("text", text::COMMANDS, false, || Box::new(text::TextClient)),
    via("pickle", STORE, true, || Box::new(pickles::PickleClient::on_tcp())),
    via("ws-pickle", STORE, true, || Box::new(pickles::PickleClient::on_websocket())),
    via("ws-text", STORE, false, || Box::new(ws_text::WsTextClient::default())),
    via("encode", &["encode"], true, || Box::new(frames::FrameClient)),
    via("decode", &["decode"], true, || Box::new(frames::FrameClient)),
    via("clock", &["now"], false, || Box::new(clock::ClockClient)),
    via("hello", &[], false, || Box::new(hello::HelloClient)),
    via("calc", &["calc"], false, || Box::new(calc::CalcClient)),
    via("chat", &["chat"], false, || Box::new(chat::ChatClient)),
];

const fn via(
    name: &'static str,
    commands: &'static [&'static str],
    binary: bool,
    open: fn() -> Box<dyn ProtocolClient>,
) -> Via {
    Via { name, commands, binary, open }
}

impl std::fmt::Debug for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Via").field(&self.name).finish()
    }
}

impl Via {
    /// The dialect of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|via| via.name == name)
    }

    /// Returns the default address of its servers.
    pub(super) fn usual_port(&self) -> Option<u16> {
        dialect::find(self.name)?.usual_ports.first().copied()
    }

    fn dialect(&self) -> Result<&'static Dialect> {
        dialect::find(self.name)
            .ok_or_else(|| Failure::failed(format!("there is no dialect `{}`", self.name)))
    }
}

/// Returns the protocol that the command line names or, in the form of the first clients, that of
/// the server: one that gives no answer in HTTP/2 and none in TLS or HTTP/1 gets the dialect
/// `text`. The question runs nothing there: it is a line that this protocol takes for a web page's.
pub(super) async fn chosen(settings: &Settings) -> Option<&'static Via> {
    if settings.via.is_some() || !settings.positional || settings.server.tls {
        return settings.via;
    }
    match timeout(settings.timeout, probe(&settings.server)).await {
        Ok(Some(Peer::Other | Peer::Silent)) => Via::find("text"),
        Ok(Some(Peer::Http2 | Peer::Tls | Peer::Http1) | None) | Err(_) => None,
    }
}

/// Runs a whole command line, or the lines of the standard input.
pub(super) async fn run(via: &'static Via, line: CommandLine) -> Result<Exit> {
    let mut runner = run::ViaRunner::new(via, line.settings)?;
    let done = runner.all(&line.words).await;
    runner.close().await;
    done.map(|()| runner.exit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvrpc::dialect::grammar::{Mode, find};

    #[test]
    fn each_is_a_dialect_of_the_server() {
        for via in ALL {
            assert!(via.dialect().is_ok(), "{}", via.name);
        }
    }

    #[test]
    fn every_command_of_a_dialect_is_one_of_the_grammar() {
        for via in ALL {
            for name in via.commands {
                assert!(find(name, Mode::CommandLine).is_some(), "{}: {name}", via.name);
            }
        }
    }
}

//! Runs commands over a legacy protocol.

use std::io::IsTerminal as _;
use std::sync::Arc;

use serde_json::json;

use super::Via;
use super::chat;
use super::connection::ProtocolConnection;
use super::protocol_client::{OutgoingMessage, ProtocolClient, ReplyOutcome};
use crate::args::Settings;
use crate::failure::{Failure, Result};
use crate::input::{CommandInput, Stdin, Step, prepare};
use crate::interrupt::interruptible;
use crate::output::{BLANK, Output, Row};
use crate::run::Gets;
use crate::script::StdinLines;
use crate::{Exit, completions, help, man};
use kvrpc::dialect::codec::Message;
use kvrpc::dialect::grammar::{Call, Mode, ParsedCommand, parse, split_quoted};
use kvrpc::model::Value;

/// A dialect, its connection once there is one, and what the gets found.
pub(super) struct ViaRunner {
    via: &'static Via,
    settings: Arc<Settings>,
    client: Box<dyn ProtocolClient>,
    connection: Option<ProtocolConnection>,
    output: Output,
    gets: Gets,
}

impl ViaRunner {
    pub(super) fn new(via: &'static Via, settings: Settings) -> Result<Self> {
        if settings.server.tls {
            return Err(Failure::usage(
                "the older dialects have no TLS; use http:// or no scheme at all",
            ));
        }
        let output = Output::stdout(settings.output);
        let settings = Arc::new(settings);
        Ok(Self {
            via,
            settings,
            client: (via.open)(),
            connection: None,
            output,
            gets: Gets::default(),
        })
    }

    /// The exit code of what has run without a failure.
    pub(super) fn exit(&self) -> Exit {
        self.gets.exit(self.settings.strict)
    }

    /// Runs the words, or without any the lines of the standard input. At a terminal, an error ends
    /// only its line.
    pub(super) async fn all(&mut self, words: &[String]) -> Result<()> {
        if !words.is_empty() {
            return self.words(words, Stdin::Free).await;
        }
        if self.via.commands == ["chat"] {
            return self.words(&["chat".to_owned()], Stdin::Free).await;
        }
        let mut lines = StdinLines::default();
        while let Some(line) = interruptible(lines.next()).await? {
            let ran = async { self.words(&split_quoted(line.text()?)?, Stdin::Taken).await }.await;
            match ran.map_err(|failure| failure.at(&line.place())) {
                Err(failure)
                    if std::io::stdin().is_terminal() && failure.exit != Exit::Interrupted =>
                {
                    failure.report();
                }
                Err(failure) => return Err(failure),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Says goodbye, if anything was said.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close(self.client.farewell()).await;
        }
    }

    async fn words(&mut self, words: &[String], stdin: Stdin) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        let steps = if self.via.commands.is_empty() {
            vec![Step {
                call: Call::Encode { text: words.join(" ") },
                input: CommandInput::Nothing,
            }]
        } else {
            let chain = parse(words, Mode::CommandLine)?;
            self.check(&chain)?;
            prepare(chain, &self.settings, stdin).await?
        };
        // All that the dialect cannot say is found before any of it is said.
        let mut ready = Vec::with_capacity(steps.len());
        for Step { call, input } in steps {
            let requests = if let Call::Chat { room } = &call {
                chat::check(room)?
            } else if is_local(&call) {
                Vec::new()
            } else {
                self.client.encode(&call, &input)?
            };
            ready.push((call, requests));
        }
        for (call, requests) in ready {
            let ran = interruptible(self.one(&call, &requests)).await;
            if ran.is_err() {
                // Nobody knows what the next words of that connection would answer.
                self.connection = None;
                self.client = (self.via.open)();
            }
            ran?;
        }
        Ok(())
    }

    /// Refuses commands that the dialect lacks.
    fn check(&self, chain: &[ParsedCommand]) -> Result<()> {
        let Via { name, commands, .. } = self.via;
        match chain
            .iter()
            .find(|parsed| !commands.contains(&parsed.spec.name) && !is_local(&parsed.call))
        {
            Some(parsed) => Err(Failure::usage(format!(
                "the dialect `{name}` has no `{}`; it has {}",
                parsed.spec.name,
                commands.join(", ")
            ))),
            None => Ok(()),
        }
    }

    async fn one(&mut self, call: &Call, requests: &[OutgoingMessage]) -> Result<()> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "all others are the dialect's")]
        match call {
            Call::Help { command: Some(spec) } => {
                return Ok(self.output.own_text(&help::command(spec))?);
            }
            Call::Help { command: None } => return Ok(self.output.own_text(&help::commands())?),
            Call::Completions { shell } => {
                return Ok(self.output.own_text(&completions::script(*shell))?);
            }
            Call::Man => return Ok(self.output.own_text(&man::page()?)?),
            _ => {}
        }
        self.open().await?;
        let Some(connection) = &mut self.connection else {
            return Err(Failure::failed("there is no connection"));
        };
        if let Call::Chat { .. } = call {
            return chat::talk(connection, &mut self.output).await;
        }
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            connection.send(request).await?;
            replies.push(connection.reply(self.client.as_mut(), Some(call), request).await?);
        }
        let answer = self.client.interpret(call, &replies);
        self.show(call, answer)
    }

    /// Connects and greets, unless that is done.
    async fn open(&mut self) -> Result<()> {
        if self.connection.is_some() {
            return Ok(());
        }
        let mut connection = ProtocolConnection::open(self.via, Arc::clone(&self.settings)).await?;
        if let Some(handshake) = self.client.handshake(&self.settings.user) {
            let request = OutgoingMessage { message: handshake.message, shown: None };
            connection.send(&request).await?;
            if handshake.answered {
                let reply = connection.reply(self.client.as_mut(), None, &request).await?;
                self.client.check_handshake(&reply, &self.settings.user)?;
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn show(&mut self, call: &Call, answer: ReplyOutcome) -> Result<()> {
        match answer {
            ReplyOutcome::Value(message) => {
                self.gets.note(true);
                let value = match message {
                    Message::Text(text) => Value::stored(text.into(), true),
                    Message::Binary(bytes) => Value::stored(bytes.freeze(), false),
                };
                let json =
                    json!({ "key": key(call), "value": String::from_utf8_lossy(value.as_bytes()) });
                Ok(self.output.value(&value, &json)?)
            }
            ReplyOutcome::Missing => {
                self.gets.note(false);
                let json = json!({ "key": key(call), "value": null });
                Ok(self.output.result(&Row { text: BLANK.to_owned(), json })?)
            }
            ReplyOutcome::Done => Ok(self.output.silent(&json!({ "key": key(call) }))?),
            ReplyOutcome::Text(text) => {
                for line in text.lines() {
                    self.output
                        .result(&Row { text: line.to_owned(), json: json!({ "text": line }) })?;
                }
                Ok(())
            }
            ReplyOutcome::Failed(failure) => Err(failure),
        }
    }
}

/// Returns true for commands that this program answers itself.
fn is_local(call: &Call) -> bool {
    matches!(call, Call::Help { .. } | Call::Completions { .. } | Call::Man)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the others have no key")]
fn key(call: &Call) -> &str {
    match call {
        Call::Get { key } | Call::GetOther { key, .. } => key.as_str(),
        Call::Put(put) | Call::PutOther { put, .. } => put.key.as_str(),
        _ => "",
    }
}

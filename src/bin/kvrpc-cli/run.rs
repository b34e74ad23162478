//! Runs chains of commands, and keeps what the exit code needs.

use std::sync::Arc;

use super::args::Settings;
use super::failure::Result;
use super::input::{CommandInput, Step};
use super::output::Output;
use super::session::ClientSession;
use super::{Exit, completions, doctor, help, man};
use kvrpc::dialect::grammar::Call;

/// Runs commands with a session and an output, and keeps the outcome of gets.
pub(super) struct Runner {
    pub(super) session: Arc<ClientSession>,
    pub(super) output: Output,
    gets: Gets,
}

/// Outcome of the gets, for the exit code.
#[derive(Default)]
pub(super) struct Gets {
    last_missed: bool,
    any_missed: bool,
}

impl Gets {
    /// Notes whether a get found its key.
    pub(super) fn note(&mut self, found: bool) {
        self.last_missed = !found;
        self.any_missed |= !found;
    }

    /// The exit code of what has run without a failure.
    pub(super) fn exit(&self, strict: bool) -> Exit {
        let missed = if strict { self.any_missed } else { self.last_missed };
        if missed { Exit::NotFound } else { Exit::Ok }
    }
}

impl Runner {
    pub(super) fn new(settings: Settings) -> Result<Self> {
        let output = Output::stdout(settings.output);
        let session = Arc::new(ClientSession::new(Arc::new(settings))?);
        Ok(Self { session, output, gets: Gets::default() })
    }

    /// Runs the commands in order; the first that fails ends it.
    pub(super) async fn run(&mut self, steps: Vec<Step>) -> Result<()> {
        for Step { call, input } in steps {
            self.one(call, input).await?;
        }
        Ok(())
    }

    /// The exit code of what has run without a failure.
    pub(super) fn exit(&self) -> Exit {
        self.gets.exit(self.session.settings.strict)
    }

    /// Notes whether a get found its key.
    pub(super) fn note_get(&mut self, found: bool) {
        self.gets.note(found);
    }

    async fn one(&mut self, call: Call, input: CommandInput) -> Result<()> {
        match call {
            Call::Get { key } => self.get(key).await,
            Call::Put(put) => self.put(put, input).await,
            Call::Delete { key, if_revision, request_id } => {
                self.delete(key, if_revision, request_id).await
            }
            Call::GetOther { user, key } => self.get_other(user, key).await,
            Call::PutOther { user, put } => self.put_other(user, put, input).await,
            Call::Keys { prefix, user } => self.keys(prefix, user).await,
            Call::Scan { prefix, user, keys_only } => self.scan(prefix, user, keys_only).await,
            Call::Auth { user, .. } => self.auth(user, input).await,
            Call::Upgrade { user } => self.upgrade(user).await,
            Call::Downgrade { user, end_sessions } => self.downgrade(user, end_sessions).await,
            Call::WhoAmI => self.whoami().await,
            Call::Users => self.users().await,
            Call::Accesses => self.accesses().await,
            Call::Token => self.token().await,
            Call::SignOut => self.sign_out().await,
            Call::Encode { text } => self.encode(text).await,
            Call::Decode { bits } => self.decode(bits).await,
            Call::Now => self.now().await,
            Call::Calc { expression } => self.calc(expression).await,
            Call::Info => self.info().await,
            Call::Watch { prefix, user } => self.watch(prefix, user).await,
            Call::Chat { room } => self.chat(room).await,
            Call::Rooms => self.rooms().await,
            Call::Members { room } => self.members(room).await,
            Call::Export { prefix, user } => self.export(prefix, user).await,
            Call::Import { source } => self.import(source).await,
            Call::Doctor => doctor::run(&self.session, &mut self.output).await,
            Call::Completions { shell } => Ok(self.output.own_text(&completions::script(shell))?),
            Call::Man => Ok(self.output.own_text(&man::page()?)?),
            Call::Help { command: Some(spec) } => Ok(self.output.own_text(&help::command(spec))?),
            Call::Help { command: None } => Ok(self.output.own_text(&help::commands())?),
        }
    }
}

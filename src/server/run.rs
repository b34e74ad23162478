//! The program: from its arguments to its exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{ExitCode, Termination};

use tokio::runtime::Builder;

use super::app::App;
use super::config::{Config, ConfigError, Invocation, RawConfig, invocation};
use super::signals::Signals;
use super::{hash_password, log, tls};
use crate::listen::Drained;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As asked, with nothing left undone.
    Ok,
    /// It could not start, or calls were cut when it stopped.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// A second signal ended it at once: this one.
    Signal(u8),
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        match self {
            Self::Ok => ExitCode::SUCCESS,
            Self::Failed => ExitCode::FAILURE,
            Self::Usage => ExitCode::from(2),
            // As a shell reports a program that a signal ended.
            Self::Signal(number) => ExitCode::from(128_u8.saturating_add(number)),
        }
    }
}

/// Runs the server, or the subcommand that was asked for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match invocation(arguments) {
        Ok(Invocation::Serve(raw)) => match checked(raw) {
            Ok(config) => serve(&config),
            Err(exit) => exit,
        },
        Ok(Invocation::CheckConfig(raw)) => match checked(raw) {
            Ok(config) => check_config(&config),
            Err(exit) => exit,
        },
        Ok(Invocation::HashPassword(request)) => match hash_password::run(&request) {
            Ok(lines) => print(&lines),
            Err(sentence) => fail(&sentence, Exit::Usage),
        },
        Err(error) => {
            // Help and version go to stdout and are no mistake; a closed pipe behind them is none
            // either.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Ok }
        }
    }
}

fn checked(raw: RawConfig) -> Result<Config, Exit> {
    raw.check().map_err(|errors: Vec<ConfigError>| {
        let lines: Vec<_> = errors.iter().map(|error| format!("error: {error}")).collect();
        complain(&lines.join("\n"));
        Exit::Usage
    })
}

fn check_config(config: &Config) -> Exit {
    if let Some(Err(error)) = config.tls.as_ref().map(tls::load) {
        return fail(&error, Exit::Usage);
    }
    for warning in &config.warnings {
        complain(&format!("warning: {warning}"));
    }
    print(&config.effective)
}

fn serve(config: &Config) -> Exit {
    log::start(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&format!("the runtime cannot be started: {error}"), Exit::Failed);
        }
    };
    let exit = runtime.block_on(async {
        // Caught before anything is served: a signal that comes early is not lost.
        let signals =
            Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
        let running = App::build(config).and_then(App::spawn).map_err(|error| error.to_string())?;
        Ok(until_stopped(signals, running).await)
    });
    // Blocking work that nobody can cancel does not keep the process.
    runtime.shutdown_background();
    exit.unwrap_or_else(|sentence: String| fail(&sentence, Exit::Failed))
}

async fn until_stopped(mut signals: Signals, running: super::app::Running) -> Exit {
    signals.next().await;
    tokio::select! {
        drained = running.drain() => match drained {
            Drained::Clean => Exit::Ok,
            Drained::Forced { .. } => Exit::Failed,
        },
        second = signals.next() => {
            tracing::warn!("a second signal: ended at once");
            Exit::Signal(u8::try_from(second.as_raw_value()).unwrap_or_default())
        }
    }
}

fn print(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => fail(&format!("cannot write: {error}"), Exit::Failed),
    }
}

fn fail(sentence: &dyn std::fmt::Display, exit: Exit) -> Exit {
    complain(&format!("error: {sentence}"));
    exit
}

fn complain(text: &str) {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

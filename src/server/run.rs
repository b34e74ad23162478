//! The server program, from its arguments to its exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{ExitCode, Termination};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::SignalKind;
use tokio::time::Instant;

use super::app::{App, Running};
use super::config::{Config, ConfigError, Invocation, RawConfig, invocation};
use super::signals::Signals;
use super::{hash_password, log, notify, tls};
use crate::listen::Drained;

/// Time within which further signals count as the first.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Outcome of the program, with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerExit {
    /// Exit code 0: the request was carried out completely.
    Ok,
    /// Exit code 1: the server could not start, or calls were cut when it stopped.
    Failed,
    /// Exit code 2: the command line or the configuration is wrong.
    Usage,
    /// Exit code 128 plus the number of the second signal, which ended the server at once.
    Signal(u8),
}

impl Termination for ServerExit {
    fn report(self) -> ExitCode {
        match self {
            Self::Ok => ExitCode::SUCCESS,
            Self::Failed => ExitCode::FAILURE,
            Self::Usage => ExitCode::from(2),
            // The code that a shell reports for a program that was ended by a signal.
            Self::Signal(number) => ExitCode::from(128_u8.saturating_add(number)),
        }
    }
}

/// Runs the server, or the subcommand that was asked for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ServerExit {
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
            Err(sentence) => fail(&sentence, ServerExit::Usage),
        },
        Err(error) => {
            // Help and version are printed to stdout and are not mistakes; neither is a closed
            // pipe.
            let _ = error.print();
            if error.use_stderr() { ServerExit::Usage } else { ServerExit::Ok }
        }
    }
}

fn checked(raw: RawConfig) -> Result<Config, ServerExit> {
    raw.check().map_err(|errors: Vec<ConfigError>| {
        let lines: Vec<_> = errors.iter().map(|error| format!("error: {error}")).collect();
        print_error(&lines.join("\n"));
        ServerExit::Usage
    })
}

fn check_config(config: &Config) -> ServerExit {
    if let Some(Err(error)) = config.tls.as_ref().map(tls::load) {
        return fail(&error, ServerExit::Usage);
    }
    for warning in &config.warnings {
        print_error(&format!("warning: {warning}"));
    }
    print(&config.effective)
}

fn serve(config: &Config) -> ServerExit {
    let lines = match log::start(&config.log) {
        Ok(lines) => lines,
        Err(error) => {
            let sentence = format!("the log's thread cannot be started: {error}");
            return fail(&sentence, ServerExit::Failed);
        }
    };
    let exit = logged(config).unwrap_or_else(|sentence| {
        lines.push(&format!("error: {sentence}"));
        ServerExit::Failed
    });
    lines.flush();
    exit
}

/// Serves until a signal. From here on, the log's thread alone writes to stderr.
fn logged(config: &Config) -> Result<ServerExit, String> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let exit = runtime.block_on(async {
        // Handlers are installed before anything is served, so that an early signal is not lost.
        let signals =
            Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
        let running = App::build(config).and_then(App::spawn).map_err(|error| error.to_string())?;
        tokio::select! {
            stopped = until_stopped(signals, running) => stopped,
            never = notify::watchdog() => match never {},
        }
    });
    // Blocking work that cannot be cancelled does not keep the process alive.
    runtime.shutdown_background();
    exit
}

/// Serves until a signal, or until a failure, which is returned.
async fn until_stopped(mut signals: Signals, running: Running) -> Result<ServerExit, String> {
    let started = async {
        running.serving().await;
        notify::ready(running.addresses()).await;
        std::future::pending::<()>().await;
    };
    let failure = tokio::select! {
        _ = signals.next() => None,
        failure = running.failed() => Some(failure),
        () = started => None,
    };
    let begun = Instant::now();
    notify::stopping().await;
    tokio::select! {
        drained = running.drain() => match (failure, drained) {
            (Some(failure), _) => Err(failure),
            (None, Drained::Clean) => Ok(ServerExit::Ok),
            (None, Drained::Forced { .. }) => Ok(ServerExit::Failed),
        },
        second = second_signal(&mut signals, begun) => {
            tracing::warn!("a second signal: ended at once");
            Ok(ServerExit::Signal(u8::try_from(second.as_raw_value()).unwrap_or_default()))
        }
    }
}

/// Waits for a signal that is meant as another: a terminal, a shell and a service manager may each
/// send the same one.
async fn second_signal(signals: &mut Signals, first: Instant) -> SignalKind {
    loop {
        let signal = signals.next().await;
        if first.elapsed() >= SAME_SIGNAL {
            return signal;
        }
        tracing::info!(within = ?SAME_SIGNAL, "a signal so soon after the first changes nothing");
    }
}

fn print(text: &str) -> ServerExit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ServerExit::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ServerExit::Ok,
        Err(error) => fail(&format!("cannot write: {error}"), ServerExit::Failed),
    }
}

fn fail(sentence: &dyn std::fmt::Display, exit: ServerExit) -> ServerExit {
    print_error(&format!("error: {sentence}"));
    exit
}

fn print_error(text: &str) {
    // Without stderr there is no other place to report to.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::super::compose::compose;
    use super::super::task::Task;
    use super::*;

    /// A task that had ended was missed by nobody: the server went on without it.
    #[tokio::test]
    async fn a_task_that_ends_time_after_time_ends_the_server_with_a_reason() {
        let flags = ["kvrpc-server", "--listen", "127.0.0.1:0", "--no-compat"];
        let Ok(Invocation::Serve(raw)) = invocation(flags) else { panic!("no server") };
        let config = raw.check().unwrap();
        let app = App::build_with(&config, |hooks| {
            let mut parts = compose(&config, hooks)?;
            parts.tasks.push(Task::kept("doomed", || async { Err(io::Error::other("no luck")) }));
            Ok(parts)
        });
        let running = app.unwrap().spawn().unwrap();
        let (address, signals) = (running.addresses().of("grpc").unwrap(), Signals::catch());
        let stopped = until_stopped(signals.unwrap(), running);
        let stopped = tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap();
        assert_eq!(
            stopped,
            Err("the task `doomed` failed: no luck; 5 restarts did not help".to_owned())
        );
        assert!(std::net::TcpStream::connect(address).is_err(), "it is stopped");
    }
}

//! A server inside this process, with real listeners on ports that the system chose.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use kvrpc::listen::Drained;
use kvrpc::listen::http::HttpService;
use kvrpc::server::app::{Addresses, App, Hooks, ServerStartError};
use kvrpc::server::compose::Parts;
use kvrpc::server::config::{Config, Invocation, invocation};
use tempfile::NamedTempFile;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

use super::{new_namespace, shared_redis, within};

/// A running server. It ends at once on drop, with its threads.
pub(crate) struct Server {
    pub(crate) addresses: Addresses,
    stop: Option<oneshot::Sender<()>>,
    abort: Option<oneshot::Sender<()>>,
    drained: oneshot::Receiver<Drained>,
    thread: Option<JoinHandle<()>>,
}

/// Configuration of a server to start.
pub(crate) struct Builder {
    arguments: Vec<String>,
    file: String,
}

impl Builder {
    /// Adds a flag with its value.
    pub(crate) fn flag(mut self, flag: &str, value: impl ToString) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_string()]);
        self
    }

    /// Adds lines to the configuration file.
    pub(crate) fn toml(mut self, lines: &str) -> Self {
        self.file.push_str(lines);
        self.file.push('\n');
        self
    }

    /// Returns the checked configuration.
    pub(crate) fn config(&self) -> Config {
        let file = NamedTempFile::new().unwrap();
        let mut arguments = self.arguments.clone();
        let mut lines = self.file.clone();
        // Runs the same tests on the Redis engine; each server has a namespace of its own.
        if std::env::var_os("KVRPC_TEST_STORE").is_some_and(|store| store == "redis")
            && !arguments.contains(&"--store".to_owned())
        {
            arguments.extend(["--store".to_owned(), shared_redis().url()]);
            lines.push_str(&format!(
                "[redis]\nnamespace = \"{}\"\nanswer-timeout = \"20s\"\n",
                new_namespace()
            ));
        }
        std::fs::write(&file, &lines).unwrap();
        // Concurrent tests must not all bind the usual port of the `text` protocol.
        if !arguments.iter().any(|argument| argument.ends_with("compat"))
            && !self.file.contains("compat")
        {
            arguments.push("--no-compat".to_owned());
        }
        arguments.extend(["--config".to_owned(), file.path().display().to_string()]);
        match invocation(arguments).unwrap() {
            Invocation::Serve(raw) => raw.check().unwrap(),
            Invocation::CheckConfig(_) | Invocation::HashPassword(_) => {
                panic!("no server was asked for")
            }
        }
    }

    /// Starts the real server.
    pub(crate) async fn start(self) -> Server {
        Server::run(App::build(&self.config())).await
    }

    /// Starts a server with other parts.
    pub(crate) async fn start_with<S: HttpService>(
        self,
        parts: impl FnOnce(Hooks) -> Parts<S>,
    ) -> Server {
        Server::run(App::build_with(&self.config(), |hooks| Ok(parts(hooks)))).await
    }
}

impl Server {
    /// Starts a server with the default configuration except for its ports, and an admin listener.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns the same configuration, to be changed before the start.
    pub(crate) fn builder() -> Builder {
        let builder = Builder { arguments: vec!["kvrpc-server".to_owned()], file: String::new() };
        builder
            .flag("--listen", "127.0.0.1:0")
            .flag("--admin-listen", "127.0.0.1:0")
            .flag("--threads", 2)
    }

    async fn run(app: Result<App, ServerStartError>) -> Self {
        let app = app.unwrap();
        let (started, addresses) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (abort, aborted) = oneshot::channel::<()>();
        let (finished, drained) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let running = app.spawn().unwrap();
                started.send(running.addresses().clone()).unwrap();
                let drain = async {
                    match stopped.await {
                        Ok(()) => running.drain().await,
                        Err(_) => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // The receiver may be gone.
                    drained = drain => drop(finished.send(drained)),
                    // On drop the server ends at once: the test's clients may no longer answer.
                    _ = aborted => {}
                }
            });
        });
        let addresses = within("the server starts", addresses).await.unwrap();
        Self { addresses, stop: Some(stop), abort: Some(abort), drained, thread: Some(thread) }
    }

    /// Returns the address of gRPC.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.addresses.of("grpc").unwrap()
    }

    /// Returns the address of the admin pages.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.addresses.of("admin").unwrap()
    }

    /// Returns a plaintext gRPC channel, connected on first use.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc())).unwrap().connect_lazy()
    }

    /// Tells the server to stop, as a signal would.
    pub(crate) fn begin_drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops the server and returns the outcome.
    pub(crate) async fn drain(mut self) -> Drained {
        self.begin_drain();
        within("the server stops", &mut self.drained).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.abort.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server's thread panicked");
        }
    }
}

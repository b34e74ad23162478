//! A server inside the test process, on ports that the system chose.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use kvrpc::server::app::{Addresses, App};
use kvrpc::server::config::{Invocation, invocation};
use tempfile::NamedTempFile;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

/// The account `adam` with the password `bill`, a manager.
const ADAM: &str = "[users.adam]\n\
    password = \"$argon2id$v=19$m=19456,t=2,p=1$dFazkA1LQH/Dw+uIgwJRvQ\
    $fWLXQpd3RDujd6zzF+hj+0iiGdMXiBnPS1cUHpotHWU\"\n\
    role = \"manager\"\n";

/// A running server, which ends when it is dropped.
pub(crate) struct Server {
    addresses: Addresses,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server with more flags; without any, it has no legacy protocol.
    pub(crate) fn start(flags: &[String]) -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, ADAM).unwrap();
        let path = file.path().display().to_string();
        let mut arguments =
            ["kvrpc-server", "--listen", "127.0.0.1:0", "--threads", "2", "--config", &path]
                .map(str::to_owned)
                .to_vec();
        arguments.extend_from_slice(flags);
        if flags.is_empty() {
            arguments.push("--no-compat".to_owned());
        }
        let Invocation::Serve(raw) = invocation(arguments).unwrap() else {
            panic!("the flags start no server")
        };
        let app = App::build(&raw.check().unwrap()).unwrap();
        let (started, addresses) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let running = app.spawn().unwrap();
                started.send(running.addresses().clone()).unwrap();
                // Ends when the sender is dropped.
                let _ = stopped.await;
            });
        });
        let addresses = addresses.recv().unwrap();
        Self { addresses, stop: Some(stop), thread: Some(thread) }
    }

    /// Address of gRPC.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.addresses.of("grpc").unwrap()
    }

    /// A channel to the server, which connects at its first call.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc())).unwrap().connect_lazy()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the thread of the server panicked");
        }
    }
}

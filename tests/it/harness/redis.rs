//! Redis servers for tests, on free ports, with their files in temporary folders.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;

/// A server that ends on drop or with the test process, whichever is first.
pub(crate) struct RedisProcess {
    /// A shell that waits for the end of its input: statics are never dropped, but the pipe is
    /// closed in any case.
    keeper: Child,
    pub(crate) port: u16,
    arguments: Vec<String>,
    folder: TempDir,
}

impl RedisProcess {
    /// Starts a server with these settings and a free port.
    pub(crate) fn start(settings: &[&str]) -> Self {
        for _ in 0..10 {
            if let Some(started) = Self::try_start(settings) {
                return started;
            }
        }
        panic!("no redis-server could be started; is it installed?");
    }

    fn try_start(settings: &[&str]) -> Option<Self> {
        let (port, bus) = (free_port(), free_port());
        let folder = TempDir::new().unwrap();
        let mut arguments =
            vec!["--port".to_owned(), port.to_string(), "--save".to_owned(), String::new()];
        arguments.extend(["--bind", "127.0.0.1", "--loglevel", "warning"].map(str::to_owned));
        arguments.extend(settings.iter().map(|setting| (*setting).to_owned()));
        if settings.contains(&"--cluster-enabled") {
            arguments.extend(["--cluster-port".to_owned(), bus.to_string()]);
        }
        let keeper = keep(&arguments, folder.path());
        let started = Self { keeper, port, arguments, folder };
        started.answers().then_some(started)
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }

    /// Stops the server like a service manager, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.signal(Signal::TERM);
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.cli(&["PING"]).trim() == "PONG" {
            assert!(std::time::Instant::now() < deadline, "it does not end in time");
            std::thread::yield_now();
        }
        self.revive();
    }

    /// Returns the folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server again at its address after it was killed.
    pub(crate) fn revive(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        self.keeper = keep(&self.arguments, self.folder.path());
        assert!(self.answers(), "it is not back in time");
    }

    /// Waits until the server answers; returns false if it has ended because the port was taken.
    fn answers(&self) -> bool {
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            if self.cli(&["PING"]).trim() == "PONG" {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// Returns the output of redis-cli for a command.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let done = Command::new("redis-cli").args(["-p", &port]).args(command).output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Returns the URL of this server.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Starts a server that ends when the shell's input does.
fn keep(arguments: &[String], folder: &Path) -> Child {
    let script = "redis-server \"$@\" >>log 2>&1 & server=$!; echo $server >pid; echo started; \
                  cat >/dev/null; \
                  kill -CONT $server 2>/dev/null; kill -9 $server 2>/dev/null";
    let mut keeper = Command::new("sh")
        .args(["-c", script, "redis"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 8];
    keeper.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    keeper
}

/// Three masters with replicas.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisProcess>,
}

impl RedisCluster {
    /// Settings of every node.
    pub(crate) const SETTINGS: [&str; 6] = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "1000",
        "--repl-diskless-sync-delay",
        "0",
    ];

    /// Starts a cluster, and waits until it takes commands.
    pub(crate) fn start(replicas: usize) -> Self {
        Self::with(replicas, &[])
    }

    /// Starts a cluster with further settings.
    pub(crate) fn with(replicas: usize, settings: &[&str]) -> Self {
        let settings = [&Self::SETTINGS[..], settings].concat();
        let nodes: Vec<_> =
            (0..3 * (1 + replicas)).map(|_| RedisProcess::start(&settings)).collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let cluster = Self { nodes };
        let deadline = std::time::Instant::now() + PATIENCE;
        while !cluster
            .nodes
            .iter()
            .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
        {
            assert!(std::time::Instant::now() < deadline, "the cluster is not made in time");
            std::thread::yield_now();
        }
        cluster
    }

    /// Returns the masters, or the replicas.
    pub(crate) fn role(&self, role: &str) -> Vec<&RedisProcess> {
        self.nodes.iter().filter(|node| node.cli(&["ROLE"]).starts_with(role)).collect()
    }

    /// Returns the URL with all nodes.
    pub(crate) fn url(&self) -> String {
        let nodes: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }
}

/// Returns the server that tests share if they need no other.
pub(crate) fn shared_redis() -> &'static RedisProcess {
    static SHARED: OnceLock<RedisProcess> = OnceLock::new();
    SHARED.get_or_init(|| RedisProcess::start(&[]))
}

/// Returns the cluster of three masters that tests share if they need no other.
pub(crate) fn shared_cluster() -> &'static RedisCluster {
    static SHARED: OnceLock<RedisCluster> = OnceLock::new();
    SHARED.get_or_init(|| RedisCluster::start(0))
}

/// Returns a key prefix that no other test uses.
pub(crate) fn new_namespace() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

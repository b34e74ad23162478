//! The built server in a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A running server process; killed on drop.
pub(crate) struct ServerProcess {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    addresses: Vec<(String, SocketAddr)>,
}

/// Exit status and output of a process.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ServerProcess {
    /// Starts a server with these flags, and waits for the line with its addresses.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts a server with these flags and environment variables, and waits for the line with its
    /// addresses.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut process = Self::spawn(arguments, variables);
        let ready = process.wait_for_line("ready: ");
        process.read_addresses(&ready);
        process
    }

    /// Starts a server with these flags. Its log is read up to the line with its addresses; what
    /// becomes of the rest is the test's business.
    pub(crate) fn start_with_log(arguments: &[&str]) -> (Self, BufReader<ChildStderr>) {
        let mut child = command(arguments, &[]).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut ready = String::new();
        while !ready.contains("ready: ") {
            ready.clear();
            assert_ne!(log.read_line(&mut ready).unwrap(), 0, "the server starts");
        }
        let (_, lines) = channel();
        let mut process = Self { child, lines, log: Vec::new(), addresses: Vec::new() };
        process.read_addresses(&ready);
        (process, log)
    }

    fn read_addresses(&mut self, ready: &str) {
        let (_, list) = ready.split_once("ready: ").unwrap();
        let list = list.split(['"', ',']).next().unwrap();
        self.addresses = list
            .split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(protocol, address)| (protocol.to_owned(), address.parse().unwrap()))
            .collect();
    }

    /// Runs the program to its end.
    pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)], stdin: &str) -> Finished {
        let mut process = Self::spawn(arguments, variables);
        // A program that does not read may have ended already.
        let _ = process.child.stdin.take().unwrap().write_all(stdin.as_bytes());
        process.wait()
    }

    /// Starts a server whose state a service manager is told: the socket. Nobody can read its log.
    pub(crate) fn start_notifying(
        arguments: &[&str],
        variables: &[(&str, &str)],
        socket: &UnixDatagram,
    ) -> Self {
        let path = socket.local_addr().unwrap();
        let path = path.as_pathname().unwrap().to_str().unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = command(arguments, variables);
        let child = command.env("NOTIFY_SOCKET", path).stderr(full).spawn().unwrap();
        let (_, lines) = channel();
        let mut process = Self { child, lines, log: Vec::new(), addresses: Vec::new() };
        let told = receive(socket);
        assert!(told.starts_with("READY=1\nSTATUS=ready: grpc="), "{told}");
        process.read_addresses(told.trim_end());
        process
    }

    /// Returns true once the process has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn spawn(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(arguments, variables).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (line, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        Self { child, lines, log: Vec::new(), addresses: Vec::new() }
    }

    /// Waits for a line of the log that contains `part`.
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => {
                    panic!("no line with `{part}` ({error}), but:\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// Returns the first address of a protocol.
    pub(crate) fn address(&self, protocol: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| name == protocol).unwrap().1
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(mut self) -> Finished {
        // The end of the process closes the log.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it did not end:\n{}", self.log.join("\n"))
                }
            }
        }
        // So does it close stdout, which has a deadline; the wait for the process has none.
        let mut stdout = self.child.stdout.take().unwrap();
        let (ended, end) = channel();
        thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| ended.send(text))
        });
        let Ok(stdout) = end.recv_timeout(PATIENCE) else {
            panic!("it did not end:\n{}", self.log.join("\n"))
        };
        let code = self.child.wait().unwrap().code();
        Finished { code, stdout, stderr: self.log.join("\n") }
    }
}

/// Receives what the server tells a service manager next, apart from signs of life.
pub(crate) fn receive(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 1024];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if text != "WATCHDOG=1\n" {
            return text;
        }
    }
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvrpc-server"));
    // The environment of the test run is not passed on.
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    // Concurrent tests must not all bind the usual port of the `text` protocol.
    if arguments.contains(&"--listen") && !arguments.contains(&"--compat") {
        command.env("KVRPC_NO_COMPAT", "true");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

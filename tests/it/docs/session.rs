//! Runs a page from its top to its end, as a reader would.
//!
//! - A `console` block has commands behind `$ `, and below each what it prints. `…` stands for any
//!   text in a line, and on a line of its own for any lines.
//! - `needs=PROGRAM` on it: run only by the test for machines that have the program.
//! - `terminal=NAME` on it: its last command goes on running in a terminal of that name while the
//!   page goes on, and what is shown below it has to come by the end of the next block.
//! - A block with `file=PATH` is the text of that file.
//! - An `sh` block has the commands that set everything up, without output.
//!
//! `cargo run` and `cargo build` stand for the programs that this test was built with. Servers
//! listen on ports that the system chooses: the addresses of the page are replaced by those in
//! commands and files, and the reverse in what is printed.

use std::collections::HashMap;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::markdown::{Block, blocks, read, root};
use super::terminal::Terminal;
use crate::harness::PATIENCE;

/// Time for a running command to print what is shown; after it, the command that should have made
/// it do so is run again, since nothing tells when a watch has begun.
const AGAIN: Duration = Duration::from_secs(1);

/// A page that is being run.
pub(super) struct Session {
    path: &'static str,
    programs: Vec<String>,
    home: TempDir,
    main: Terminal,
    /// Terminals with a command that goes on running.
    others: HashMap<String, Terminal>,
    /// A terminal's name, and what has to be printed there by the end of the next block.
    awaited: Option<(String, Vec<String>)>,
    /// Addresses of the page, each with the one that a server has instead.
    addresses: Vec<(String, String)>,
}

impl Session {
    pub(super) fn new(path: &'static str, programs: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        for (name, built) in [
            ("kvrpc-server", env!("CARGO_BIN_EXE_kvrpc-server")),
            ("kvrpc-cli", env!("CARGO_BIN_EXE_kvrpc-cli")),
        ] {
            symlink(built, home.path().join("bin").join(name)).unwrap();
        }
        for folder in ["proto", "tests"] {
            symlink(root().join(folder), home.path().join(folder)).unwrap();
        }
        let main = Terminal::open(home.path());
        Self {
            path,
            programs: programs.iter().map(|&program| program.to_owned()).collect(),
            home,
            main,
            others: HashMap::new(),
            awaited: None,
            addresses: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        let mut ran = 0;
        for block in blocks(&read(self.path)) {
            let needs = block.attribute("needs").unwrap_or_default();
            let mut needs = needs.split(',').filter(|program| !program.is_empty());
            if let Some(file) = block.attribute("file") {
                self.write(file, &block);
            } else if block.language() == "sh" {
                block.lines.iter().for_each(|line| self.set_up(line));
            } else if block.language() == "console"
                && needs.all(|program| self.programs.iter().any(|own| own == program))
            {
                self.block(&block);
                ran += 1;
            }
        }
        assert!(self.awaited.is_none(), "{}: nothing follows the last terminal", self.path);
        assert!(ran > 0, "{} shows no command", self.path);
    }

    /// A command of the set-up.
    fn set_up(&mut self, line: &str) {
        match self.localised(line).as_str() {
            // This is it.
            "cargo test" => {}
            server if server.starts_with("kvrpc-server") => self.serve("server", server, &[]),
            other => panic!("{}: no set-up command: {other}", self.path),
        }
    }

    fn write(&self, file: &str, block: &Block) {
        let path = self.home.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, self.to_real(&block.lines.join("\n")) + "\n").unwrap();
    }

    fn block(&mut self, block: &Block) {
        let awaited = self.awaited.take();
        let commands = commands(&block.lines);
        assert!(!commands.is_empty(), "{}:{}: no command", self.path, block.line);
        let (last, rest) = commands.split_last().unwrap();
        for (command, shown) in rest {
            self.command(block.line, command, shown);
        }
        let (command, shown) = last;
        let Some(name) = block.attribute("terminal") else {
            self.command(block.line, command, shown);
            if let Some((name, shown)) = awaited {
                self.wait_for(&name, &shown, command);
            }
            return;
        };
        let command = self.to_real(&self.localised(command));
        if command.starts_with("kvrpc-server") {
            self.serve(name, &command, shown);
        } else {
            let mut terminal = self.terminal();
            terminal.start(&command);
            self.others.insert(name.to_owned(), terminal);
            self.awaited = Some((name.to_owned(), shown.clone()));
        }
    }

    /// A command that ends: prints what is shown, and fails only where the page says so.
    fn command(&mut self, line: usize, command: &str, shown: &[String]) {
        let place = format!("{}:{line}: `{command}`", self.path);
        let (printed, code) = self.main.run(&self.to_real(&self.localised(command)));
        let printed: Vec<_> = printed.iter().map(|line| self.to_shown(line)).collect();
        assert!(
            matches(shown, &printed),
            "{place} printed\n{}\n\nand the page shows\n{}",
            printed.join("\n"),
            shown.join("\n")
        );
        let told = shown.iter().any(|line| line.starts_with("error: ") || line == "<blank>");
        assert!(code == 0 || told, "{place} ended with {code}, and nothing says so");
    }

    /// Starts a server in a terminal in place of what ran there, and learns where it is.
    fn serve(&mut self, name: &str, command: &str, shown: &[String]) {
        self.others.remove(name);
        let mut terminal = self.terminal();
        let mut places = vec![("grpc", "127.0.0.1:50051"), ("text", "127.0.0.1:5555")];
        let words: Vec<_> = command.split_whitespace().collect();
        for pair in words.windows(2) {
            match *pair {
                ["--listen", address] => places.push(("grpc", address)),
                ["--admin-listen", address] => places.push(("admin", address)),
                ["--compat", listener] => places.push(listener.split_once('=').unwrap()),
                _ => {}
            }
        }
        let mut chosen = command.to_owned();
        for (_, address) in &places {
            chosen = chosen.replace(address, "127.0.0.1:0");
        }
        terminal.export("KVRPC_LISTEN", "127.0.0.1:0");
        terminal.export("KVRPC_COMPAT", "text=127.0.0.1:0");
        terminal.start(&chosen);
        let printed = terminal.wait_for("ready: ");
        let (_, ready) = printed.last().unwrap().split_once("ready: ").unwrap();
        self.addresses.clear();
        for (protocol, real) in ready.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            let of_page = places.iter().rev().find(|(name, _)| *name == protocol);
            let (_, address) = of_page.unwrap_or_else(|| panic!("{protocol} is served unasked"));
            self.addresses.push(((*address).to_owned(), real.to_owned()));
            if protocol == "grpc" {
                self.main.export("KVRPC_SERVER", real);
            }
        }
        // The lines before it depend on the machine.
        let ready = self.to_shown(printed.last().unwrap());
        assert!(
            shown.is_empty() || matches(shown, std::slice::from_ref(&ready)),
            "{}: `{command}` printed\n{ready}",
            self.path
        );
        self.others.insert(name.to_owned(), terminal);
    }

    /// Waits until a terminal has printed what is shown.
    fn wait_for(&mut self, name: &str, shown: &[String], command: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut printed = Vec::new();
        while !matches(shown, &printed) {
            assert!(
                Instant::now() < deadline && printed.len() < shown.len(),
                "{}: terminal {name} printed\n{}\n\nand the page shows\n{}",
                self.path,
                printed.join("\n"),
                shown.join("\n")
            );
            match self.others.get(name).and_then(|terminal| terminal.line(AGAIN)) {
                Some(line) => printed.push(self.to_shown(&line)),
                None => drop(self.main.run(&self.to_real(command))),
            }
        }
    }

    /// A further terminal, which knows where the server is.
    fn terminal(&self) -> Terminal {
        let mut terminal = Terminal::open(self.home.path());
        if let Some((_, grpc)) = self.addresses.first() {
            terminal.export("KVRPC_SERVER", grpc);
        }
        terminal
    }

    /// `cargo run … --bin NAME --` is the program, `cargo build … --bin NAME` has been done.
    fn localised(&self, command: &str) -> String {
        for begin in ["cargo run --release --bin ", "cargo build --release --bin "] {
            if let Some(rest) = command.strip_prefix(begin) {
                let (name, rest) = rest.split_once(" --").unwrap_or((rest, ""));
                assert!(self.home.path().join("bin").join(name).exists(), "{command}");
                let program = begin.contains("run").then(|| format!("{name}{rest}"));
                return program.unwrap_or_else(|| format!("command -v {name} >/dev/null"));
            }
        }
        command.to_owned()
    }

    fn to_real(&self, text: &str) -> String {
        // As one word, as the two that `nc` takes, and as Python's pair.
        let forms = [":", " ", "\", "];
        self.addresses.iter().fold(text.to_owned(), |text, (shown, real)| {
            forms.iter().fold(text, |text, form| {
                text.replace(&shown.replace(':', form), &real.replace(':', form))
            })
        })
    }

    fn to_shown(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(real, shown))
    }
}

/// The commands of a block, each with the lines shown below it.
fn commands(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = false;
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if open {
            let (command, _) = commands.last_mut().unwrap();
            command.push('\n');
            command.push_str(line);
        } else {
            commands.last_mut().expect("a block begins with a command").1.push(line.clone());
        }
        open = line.ends_with('\\') && (open || line.starts_with("$ "));
    }
    commands
}

/// Returns `true` if lines are those shown, in which `…` stands for anything.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, later)| line_matches(first, line) && matches(rest, later)),
    }
}

fn line_matches(shown: &str, line: &str) -> bool {
    let Some((first, rest)) = shown.split_once('…') else { return shown == line };
    let Some(line) = line.strip_prefix(first) else { return false };
    let mut starts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    starts.any(|at| line_matches(rest, &line[at..]))
}

#[test]
fn what_is_shown_is_compared() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (shown, printed, same) in [
        ("a\nb", "a\nb", true),
        ("a", "a\nb", false),
        ("a\nb", "a", false),
        ("a\n…", "a\nb\nc", true),
        ("…\nc", "a\nb\nc", true),
        ("…\nd", "a\nb\nc", false),
        ("a … c", "a b c", true),
        ("a … c", "a b d", false),
        ("…c", "a b c", true),
        ("a…", "b a", false),
    ] {
        assert_eq!(matches(&lines(shown), &lines(printed)), same, "{shown:?} of {printed:?}");
    }
    let block = lines("$ a \\\n  b\nout\n$ c");
    let want = [("a \\\n  b".to_owned(), vec!["out".to_owned()]), ("c".to_owned(), vec![])];
    assert_eq!(commands(&block), want);
}

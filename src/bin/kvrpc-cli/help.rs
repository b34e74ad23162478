//! The help texts, all made from the command table.

use std::fmt::Write as _;

use super::Exit;
use kvrpc::dialect::grammar::{COMMANDS, Mode, Spec};

/// Forms of a value on the command line and at the prompt; in the `text` protocol it is always
/// the value itself.
pub(super) const VALUES: &str = "As a VALUE, - is the standard input, @FILE a file, and @@x is @x.";

/// The commands with one line each.
pub(super) fn commands() -> String {
    let all = || COMMANDS.iter().filter(|spec| spec.exists_in(Mode::CommandLine));
    let form = |spec: &Spec| {
        let options = if spec.options.is_empty() { "" } else { " [--...]" };
        format!("{} {}", spec.name, spec.words_form()).trim_end().to_owned() + options
    };
    let width = all().map(|spec| form(spec).len()).max().unwrap_or(0);
    let mut text = String::from("Commands:\n");
    for spec in all() {
        let _ = writeln!(text, "  {:width$}  {}", form(spec), spec.help);
    }
    text
}

/// Text below the options in `--help`.
pub(super) fn after_options() -> String {
    let mut text = commands();
    text.push_str(
        "\nSeveral commands may stand one after another. The options of a command stand behind \
         its words;\n\
         `--` makes the next word literal. `help COMMAND` tells more.\n",
    );
    let _ = writeln!(text, "{VALUES}");
    text.push_str(
        "\nExamples:\n\
         \x20 kvrpc-cli put city Kolkata put country India get country get city\n\
         \x20 kvrpc-cli put code 1234 --ttl 5m get code\n\
         \x20 kvrpc-cli -o json keys user/\n\
         \x20 kvrpc-cli --server https://kv.example:50051 --ca-cert ca.pem whoami\n\
         \x20 kvrpc-cli export > store.jsonl\n\
         \x20 kvrpc-cli --via text --verbose put city Kolkata get city\n\
         \x20 kvrpc-cli --via ws-pickle --server kv.example:8765 --user anuran get city\n\n\
         Exit codes:\n",
    );
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning());
    }
    text.push_str(
        "\nEnvironment: KVRPC_SERVER, KVRPC_USER; KVRPC_TOKEN (a session's token), \
         KVRPC_CACHE_DIR (where tokens are kept)",
    );
    text
}

/// All about one command.
pub(super) fn command(spec: &Spec) -> String {
    let mut text = format!("{}\n  {}\n", spec.usage(), spec.help);
    if spec.words_form().contains("VALUE") {
        let _ = writeln!(text, "  {VALUES}");
    }
    if !spec.options.is_empty() {
        text.push_str("\nOptions:\n");
        let width = spec.options.iter().map(|option| option.form().len()).max().unwrap_or(0);
        for option in spec.options {
            let _ = writeln!(text, "  {:width$}  {}", option.form(), option.help);
        }
    }
    text.push_str("\nExamples:\n");
    for example in spec.examples {
        let _ = writeln!(text, "  {example}");
    }
    text
}

//! Completions for shells: the options from clap, the commands from the table, the keys from the
//! server.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap_complete::aot::{Bash, Fish, Zsh, generate};

use super::args;
use kvrpc::dialect::grammar::{COMMANDS, Mode, Shell, names};

const NAME: &str = "kvrpc-cli";

/// The command that lists the keys that begin with the word behind it.
macro_rules! keys_command {
    () => {
        "kvrpc-cli --no-sign-in --timeout 500ms keys -- "
    };
}

/// The keys are asked of the server that the environment names, and only with a session that is
/// there already. They are never expanded by the shell: a key is the server's text.
const BASH_KEYS: &str = concat!(
    r#"
_kvrpc_cli_with_keys() {
    _kvrpc__cli "$@"
    case "${COMP_WORDS[COMP_CWORD-1]}" in
        get|put|delete)
            local key
            COMPREPLY=()
            while IFS= read -r key; do
                COMPREPLY+=("$(printf '%q' "$key")")
            done < <("#,
    keys_command!(),
    r#""${COMP_WORDS[COMP_CWORD]}" 2>/dev/null)
            ;;
    esac
}
complete -F _kvrpc_cli_with_keys -o bashdefault -o default kvrpc-cli
"#
);

const ZSH_KEYS: &str = concat!(
    r#"
_kvrpc-cli_with_keys() {
    case "${words[CURRENT-1]}" in
        get|put|delete)
            compadd -- ${(f)"$("#,
    keys_command!(),
    r#""${words[CURRENT]}" 2>/dev/null)"}
            ;;
        *)
            _kvrpc-cli "$@"
            ;;
    esac
}
compdef _kvrpc-cli_with_keys kvrpc-cli
"#
);

/// The script for a shell.
pub(super) fn script(shell: Shell) -> String {
    let command = args::command();
    let named = || {
        let values = PossibleValuesParser::new(names(Mode::CommandLine));
        args::command().mut_arg("words", |words| words.value_parser(values))
    };
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut named(), NAME, &mut script),
        Shell::Zsh => generate(Zsh, &mut named(), NAME, &mut script),
        // This generator leaves the values of words out.
        Shell::Fish => generate(Fish, &mut { command }, NAME, &mut script),
    }
    let mut script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script.push_str(BASH_KEYS),
        Shell::Zsh => script.push_str(ZSH_KEYS),
        Shell::Fish => {
            for spec in COMMANDS.iter().filter(|spec| spec.exists_in(Mode::CommandLine)) {
                let help = spec.help.replace('\'', "\\'");
                let _ = writeln!(script, "complete -c {NAME} -f -a {} -d '{help}'", spec.name);
            }
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_in_every_script() {
        // The name that clap gives its function is what the one for keys calls.
        assert!(script(Shell::Bash).starts_with("_kvrpc__cli() {"));
        assert!(script(Shell::Zsh).contains("\n_kvrpc-cli() {"));
        for shell in Shell::ALL {
            let script = script(shell);
            let words = names(Mode::CommandLine).chain(["strict", "password-file", "server"]);
            for word in words {
                assert!(script.contains(word), "{word} is not completed by {}", shell.as_str());
            }
        }
    }
}

//! Candidates for the next word of a line that is being typed, for completions and hints.

use super::{Mode, Opt, Spec, Word, find};

/// Candidates for the next word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Words that the command still takes, the next one first.
    pub words: &'static [Word],
    /// Options that the command takes; empty while required words are missing.
    pub options: &'static [Opt],
    /// Option whose value is next.
    pub value_of: Option<Opt>,
    /// True if a command may start here.
    pub command: bool,
}

/// Returns the candidates for the word after `words`, which are complete; the word that is being
/// typed is not among them.
pub fn expect<S: AsRef<str>>(words: &[S], mode: Mode) -> Expect {
    let mut rest = words;
    let mut last = Expect { command: true, ..Expect::default() };
    while let [name, behind @ ..] = rest {
        // After a word that is not a command, there are no candidates.
        let Some(spec) = find(name.as_ref(), mode) else { return Expect::default() };
        let (expect, left) = after(spec, behind, mode);
        last = expect;
        rest = left;
    }
    last
}

fn after<'a, S: AsRef<str>>(spec: &'static Spec, words: &'a [S], mode: Mode) -> (Expect, &'a [S]) {
    let mut rest = words;
    for (index, word) in spec.words.iter().enumerate() {
        let needed = matches!(word, Word::Needed(_) | Word::Many(_) | Word::GetOrPut);
        match rest {
            [] => {
                let words = spec.words.get(index..).unwrap_or_default();
                let options = if needed { &[] } else { spec.options };
                return (Expect { words, options, command: !needed, value_of: None }, rest);
            }
            // The rest is a complete `get` or `put`.
            [name, behind @ ..] if *word == Word::GetOrPut => match find(name.as_ref(), mode) {
                Some(inner) => return after(inner, behind, mode),
                None => return (Expect::default(), &[]),
            },
            [dashes, _, behind @ ..] if dashes.as_ref() == "--" => rest = behind,
            [text, ..]
                if !needed
                    && (text.as_ref().starts_with("--") || find(text.as_ref(), mode).is_some()) =>
            {
                break;
            }
            [_, behind @ ..] => rest = behind,
        }
    }
    while let [option, behind @ ..] = rest {
        if !option.as_ref().starts_with("--") {
            break;
        }
        rest = behind;
        let known = spec
            .options
            .iter()
            .find(|known| known.name == option.as_ref() && known.value.is_some());
        match (known, rest) {
            (Some(option), []) => {
                return (Expect { value_of: Some(*option), ..Expect::default() }, rest);
            }
            (Some(_), [_, behind @ ..]) => rest = behind,
            (None, _) => {}
        }
    }
    (Expect { words: &[], options: spec.options, command: true, value_of: None }, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_follow() {
        // Columns: words so far; next word, first option, option whose value is next, command
        // allowed.
        for (line, word, option, value_of, command) in [
            ("", None, None, None, true),
            ("get", Some("KEY"), None, None, false),
            ("get k", None, None, None, true),
            ("get k put", Some("KEY"), None, None, false),
            ("put k", Some("VALUE"), None, None, false),
            ("put k v", None, Some("--ttl"), None, true),
            ("put k v --ttl", None, None, Some("--ttl"), false),
            ("put k v --ttl 5s", None, Some("--ttl"), None, true),
            ("put k v --ttl=5s", None, Some("--ttl"), None, true),
            ("keys", Some("[PREFIX]"), Some("--user"), None, true),
            ("keys -- get", None, Some("--user"), None, true),
            ("keys get", Some("KEY"), None, None, false),
            ("help", Some("[COMMAND]"), None, None, true),
            ("manage 9", Some("get KEY | put KEY VALUE"), None, None, false),
            ("manage 9 put k", Some("VALUE"), None, None, false),
            ("manage 9 get k", None, None, None, true),
            ("nonsense", None, None, None, false),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            let got = expect(&words, Mode::CommandLine);
            let seen = (
                got.words.first().map(Word::form),
                got.options.first().map(|option| option.name),
                got.value_of.map(|option| option.name),
                got.command,
            );
            assert_eq!(seen, (word.map(str::to_owned), option, value_of, command), "{line}");
        }
    }
}

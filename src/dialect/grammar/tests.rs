//! Accepted and rejected lines, in tables and by properties.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails on every other")]

use std::time::Duration;

use proptest::prelude::*;

use super::{
    COMMANDS, Call, InputSource, Mode, ParseError, PutCall, Shell, find, parse, quote,
    split_blanks, split_quoted,
};
use crate::model::{Expiry, Key, Prefix, RequestId, UnixMillis, UserName};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn get(text: &str) -> Call {
    Call::Get { key: key(text) }
}

fn put(text: &str, value: &str) -> Call {
    let value = InputSource::Text(value.to_owned());
    Call::Put(PutCall { key: key(text), value, expiry: None, if_revision: None, request_id: None })
}

fn keys(prefix: &str, user: Option<&str>) -> Call {
    Call::Keys { prefix: Prefix::new(prefix).unwrap(), user: user.map(name) }
}

fn calls(line: &str, mode: Mode) -> Result<Vec<Call>, String> {
    let words = match mode {
        Mode::CommandLine => split_quoted(line).map_err(|error| error.to_string())?,
        Mode::TextProtocol => split_blanks(line).map(str::to_owned).collect(),
    };
    match parse(&words, mode) {
        Ok(chain) => Ok(chain.into_iter().map(|parsed| parsed.call).collect()),
        Err(error) => Err(error.to_string()),
    }
}

fn value(line: &str) -> InputSource {
    match calls(line, Mode::CommandLine).unwrap().remove(0) {
        Call::Put(put) => put.value,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn chains_on_the_command_line() {
    for (line, want) in [
        ("", vec![]),
        ("get city", vec![get("city")]),
        (
            "put city Kolkata put country India get country get city",
            vec![put("city", "Kolkata"), put("country", "India"), get("country"), get("city")],
        ),
        ("get put", vec![get("put")]),
        ("get get get get", vec![get("get"), get("get")]),
        ("put k 'New Delhi'", vec![put("k", "New Delhi")]),
        ("put k -1", vec![put("k", "-1")]),
        ("put k -- --ttl", vec![put("k", "--ttl")]),
        ("put k -- -", vec![put("k", "-")]),
        ("put k @@home", vec![put("k", "@home")]),
        ("keys keys user/", vec![keys("", None), keys("user/", None)]),
        ("keys -- get", vec![keys("get", None)]),
        ("keys u --user anuran whoami", vec![keys("u", Some("anuran")), Call::WhoAmI]),
        ("keys --user=anuran", vec![keys("", Some("anuran"))]),
        ("upgrade whoami", vec![Call::Upgrade { user: None }, Call::WhoAmI]),
        ("upgrade anuran whoami", vec![Call::Upgrade { user: Some(name("anuran")) }, Call::WhoAmI]),
        (
            "downgrade a --end-sessions",
            vec![Call::Downgrade { user: name("a"), end_sessions: true }],
        ),
        ("calc 12 + 13 now", vec![Call::Calc { expression: "12 + 13".to_owned() }, Call::Now]),
        ("calc 4.5 / -6", vec![Call::Calc { expression: "4.5 / -6".to_owned() }]),
        (
            "decode 01101000 01101001 now",
            vec![Call::Decode { bits: "01101000 01101001".to_owned() }, Call::Now],
        ),
        ("auth adam", vec![Call::Auth { user: "adam".to_owned(), password: None }]),
        ("import", vec![Call::Import { source: InputSource::Stdin }]),
        ("import -", vec![Call::Import { source: InputSource::Stdin }]),
        ("import ./-", vec![Call::Import { source: InputSource::File("./-".into()) }]),
        ("completions zsh", vec![Call::Completions { shell: Shell::Zsh }]),
        ("help", vec![Call::Help { command: None }]),
        ("help get", vec![Call::Help { command: find("get", Mode::CommandLine) }]),
        ("get --help", vec![Call::Help { command: find("get", Mode::CommandLine) }]),
        ("put k --help", vec![Call::Help { command: find("put", Mode::CommandLine) }]),
        ("put k v --ttl 5m --help", vec![Call::Help { command: find("put", Mode::CommandLine) }]),
        ("import - --help", vec![Call::Help { command: find("import", Mode::CommandLine) }]),
        ("manage 48106 put k --help", vec![Call::Help { command: find("put", Mode::CommandLine) }]),
        ("put k -- --help", vec![put("k", "--help")]),
    ] {
        assert_eq!(calls(line, Mode::CommandLine), Ok(want), "{line}");
    }
}

#[test]
fn where_values_come_from() {
    for (line, want) in [
        ("put k -", InputSource::Stdin),
        ("put k @cat.png", InputSource::File("cat.png".into())),
        ("put k -- @cat.png", InputSource::Text("@cat.png".to_owned())),
        ("put k @@@", InputSource::Text("@@".to_owned())),
        ("put k ''", InputSource::Text(String::new())),
    ] {
        assert_eq!(value(line), want, "{line}");
    }
}

#[test]
fn options_of_a_put() {
    let line = "putother u k v --ttl 5m --if-revision 0 --request-id x";
    let put = PutCall {
        key: key("k"),
        value: InputSource::Text("v".to_owned()),
        expiry: Some(Expiry::After(Duration::from_secs(300))),
        if_revision: Some(0),
        request_id: RequestId::new("x".to_owned()).unwrap(),
    };
    for mode in [Mode::CommandLine, Mode::TextProtocol] {
        assert_eq!(
            calls(line, mode),
            Ok(vec![Call::PutOther { user: name("u"), put: put.clone() }]),
            "{mode:?}"
        );
    }
    let at =
        calls("put k v --expire-time 1970-01-01T00:00:01.5Z", Mode::CommandLine).unwrap().remove(0);
    let time = Expiry::At(UnixMillis::new(1_500));
    assert!(matches!(&at, Call::Put(PutCall { expiry, .. }) if *expiry == Some(time)), "{at:?}");
}

#[test]
fn what_is_refused_and_why() {
    for (line, why) in [
        ("gett city", "`gett` is no command; did you mean `get`?"),
        ("zzz", "`zzz` is no command; `help` lists them"),
        (
            "get new delhi",
            "`delhi` is no command; did you mean `delete`? \
             (`get KEY` takes no more words; quote a word with spaces)",
        ),
        (
            "put",
            "`put` lacks its KEY; the form is `put KEY VALUE [--ttl DURATION] [--expire-time TIME] \
             [--if-revision N] [--request-id ID]`",
        ),
        ("get", "`get` lacks its KEY; the form is `get KEY`"),
        (
            "get --key",
            "`--key` stands where `get` needs its KEY; write `-- --key` if that is what you mean",
        ),
        ("get --", "`get` lacks its KEY; the form is `get KEY`"),
        ("get k --ttl 5s", "`get` has no option `--ttl`; it has none"),
        ("delete k --ttl 5s", "`delete` has no option `--ttl`; it has --if-revision, --request-id"),
        ("put k v --ttl", "`put` lacks the value of --ttl; write `--ttl DURATION`"),
        ("put k v --ttl 5", "`put`: --ttl: `5` lacks its unit; write 5ms, 5s, 5m, 5h or 5d"),
        (
            "put k v --ttl 5w",
            "`put`: --ttl: `5w` is no duration; write a whole number and a unit: ms, s, m, h or d",
        ),
        ("put k v --ttl 0s", "`put`: ttl is zero; it must be 1 ms to 10 years"),
        ("put k v --ttl 4000d", "`put`: ttl is over 10 years; it must be 1 ms to 10 years"),
        (
            "put k v --ttl 99999999999999999999d",
            "`put`: --ttl: `99999999999999999999d` is no duration; \
             write a whole number and a unit: ms, s, m, h or d",
        ),
        ("put k v --ttl 1s --ttl 2s", "`put` was given --ttl twice"),
        (
            "put k v --ttl 1s --expire-time 2030-01-01T00:00:00Z",
            "`put`: --ttl: give it or --expire-time, not both",
        ),
        (
            "put k v --expire-time soon",
            "`put`: --expire-time: `soon` is no time; write it as 2026-11-21T18:00:00Z",
        ),
        ("put k v --if-revision +1", "`put`: --if-revision: `+1` is no whole number"),
        ("put k v --if-revision -1", "`put`: --if-revision: `-1` is no whole number"),
        ("put k @", "`put`: VALUE: `@` lacks the file's name; `@@` is a literal @"),
        ("scan --keys-only=yes", "`scan` takes no value for --keys-only"),
        ("get ''", "`get`: key is empty; a key is 1 to 1,024 bytes"),
        ("getother '' k", "`getother`: user name is empty; a name is 1 to 64 characters"),
        ("completions tcsh", "`completions`: SHELL: `tcsh` is none of bash, zsh, fish"),
        ("help gett", "`gett` is no command; did you mean `get`?"),
        ("calc 12 +", "`calc` lacks its NUMBER; the form is `calc NUMBER OP NUMBER`"),
        ("get 'k", "a quote does not end"),
        (
            "manage 9 delete k",
            "`manage` lacks its get or put; the form is `manage USER get KEY | put KEY VALUE`",
        ),
    ] {
        assert_eq!(calls(line, Mode::CommandLine), Err(why.to_owned()), "{line}");
    }
}

#[test]
fn chains_at_the_listener() {
    for (line, want) in [
        ("put city Kolkata get city", Ok(vec![put("city", "Kolkata"), get("city")])),
        ("put k -", Ok(vec![put("k", "-")])),
        ("put k @file", Ok(vec![put("k", "@file")])),
        ("put k --", Ok(vec![put("k", "--")])),
        ("put k --ttl", Ok(vec![put("k", "--ttl")])),
        ("put k 'a'", Ok(vec![put("k", "'a'")])),
        ("get --help", Ok(vec![get("--help")])),
        (
            "auth adam bill",
            Ok(vec![Call::Auth { user: "adam".to_owned(), password: Some("bill".to_owned()) }]),
        ),
        (
            "manage 48106 get city",
            Ok(vec![Call::GetOther { user: name("48106"), key: key("city") }]),
        ),
        (
            "manage 9 get k whoami",
            Ok(vec![Call::GetOther { user: name("9"), key: key("k") }, Call::WhoAmI]),
        ),
        (
            "manage 9 delete k",
            Err("`manage` lacks its get or put; the form is `manage USER get KEY | put KEY VALUE`"),
        ),
        ("auth adam", Err("`auth` lacks its PASSWORD; the form is `auth USER PASSWORD`")),
        ("token", Err("`token` is no command; `help` lists them")),
        ("import f", Err("`import` is no command; `help` lists them")),
        ("Get city", Err("`Get` is no command; `help` lists them")),
        (
            "put city New Delhi",
            Err("`Delhi` is no command; `help` lists them \
                 (`put KEY VALUE [--ttl DURATION] [--expire-time TIME] [--if-revision N] \
                 [--request-id ID]` takes no more words; quote a word with spaces)"),
        ),
    ] {
        assert_eq!(calls(line, Mode::TextProtocol), want.map_err(str::to_owned), "{line}");
    }
    let words: Vec<&str> = split_blanks("manage 9 put k v").collect();
    let parsed = parse(&words, Mode::TextProtocol).unwrap().remove(0);
    assert_eq!(parsed.spec.name, "manage");
    assert!(matches!(parsed.call.command(), Ok(Some(crate::model::Command::PutOther { .. }))));
}

#[test]
fn every_row_holds_together() {
    for spec in COMMANDS {
        let mode =
            if spec.exists_in(Mode::CommandLine) { Mode::CommandLine } else { Mode::TextProtocol };
        assert_eq!(find(spec.name, mode), Some(spec), "{} is there twice", spec.name);
        for example in spec.examples {
            // The example's redirection or pipe is the shell's, not the command's.
            let command = example.split(['>', '|']).next().unwrap_or_default();
            let words: Vec<String> = split_quoted(command).unwrap();
            let chain = parse(&words, mode).unwrap_or_else(|error| panic!("{example}: {error}"));
            assert_eq!(chain.len(), 1, "{example}");
            assert_eq!(chain[0].spec, spec, "{example}");
        }
    }
}

/// Returns words that parse to the call on the command line.
fn print(call: &Call) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |word: &str| words.push(word.to_owned());
    let source = |source: &InputSource| match source {
        InputSource::Text(text) => vec!["--".to_owned(), text.clone()],
        InputSource::Stdin => vec!["-".to_owned()],
        InputSource::File(path) => vec![format!("@{}", path.display())],
    };
    match call {
        Call::Get { key } => ["get", "--", key.as_str()].into_iter().for_each(say),
        Call::Put(put) => {
            ["put", "--", put.key.as_str()].into_iter().for_each(&mut say);
            source(&put.value).iter().for_each(|word| say(word));
            if let Some(Expiry::After(ttl)) = put.expiry {
                ["--ttl", &format!("{}ms", ttl.as_millis())].into_iter().for_each(&mut say);
            }
            if let Some(revision) = put.if_revision {
                say(&format!("--if-revision={revision}"));
            }
            if let Some(id) = &put.request_id {
                ["--request-id", id.as_str()].into_iter().for_each(&mut say);
            }
        }
        Call::Keys { prefix, user } => {
            ["keys", "--", prefix.as_str()].into_iter().for_each(&mut say);
            if let Some(user) = user {
                ["--user", user.as_str()].into_iter().for_each(&mut say);
            }
        }
        Call::Upgrade { user } => {
            say("upgrade");
            if let Some(user) = user {
                ["--", user.as_str()].into_iter().for_each(&mut say);
            }
        }
        Call::Encode { text } => ["encode", "--", text].into_iter().for_each(say),
        other => panic!("{other:?} is not generated"),
    }
    words
}

fn any_call() -> impl Strategy<Value = Call> {
    let word = "\\PC{1,12}|get|--ttl|-|@x|--";
    let ttl = prop::option::of(
        (1u64..10_000_000).prop_map(|ms| Expiry::After(Duration::from_millis(ms))),
    );
    let id = prop::option::of("\\PC{1,16}")
        .prop_map(|id| id.and_then(|id| RequestId::new(id).unwrap_or_default()));
    let source = prop_oneof![
        ".{0,12}".prop_map(InputSource::Text),
        Just(InputSource::Stdin),
        "[^@\\x00][^\\x00]{0,8}".prop_map(|path| InputSource::File(path.into())),
    ];
    let user = || {
        prop::option::of("[a-zA-Z0-9 -]{1,12}")
            .prop_map(|user| user.and_then(|user| UserName::new(user).ok()))
    };
    prop_oneof![
        word.prop_map(|text| get(&text)),
        (word, source, ttl, prop::option::of(any::<u64>()), id).prop_map(
            |(text, value, expiry, if_revision, request_id)| {
                Call::Put(PutCall { key: key(&text), value, expiry, if_revision, request_id })
            }
        ),
        ("\\PC{0,12}", user())
            .prop_map(|(prefix, user)| Call::Keys { prefix: Prefix::new(prefix).unwrap(), user }),
        user().prop_map(|user| Call::Upgrade { user }),
        ".{0,12}".prop_map(|text| Call::Encode { text }),
    ]
}

#[test]
fn only_the_command_line_suggests_and_only_for_words_as_long_as_a_command() {
    let suggested = |word: &str, mode| match parse(&[word], mode) {
        Err(ParseError::UnknownCommand { nearest, .. }) => nearest,
        other => panic!("{other:?}"),
    };
    assert_eq!(suggested("WHOAM", Mode::CommandLine), Some("whoami"));
    assert_eq!(suggested("WHOAM", Mode::TextProtocol), None);
    let long = format!("whoami{}", "i".repeat(27));
    assert_eq!(suggested(&long[..32], Mode::CommandLine), Some("whoami"));
    assert_eq!(suggested(&long, Mode::CommandLine), None);
}

proptest! {
    #[test]
    fn a_printed_chain_parses_to_itself(chain in prop::collection::vec(any_call(), 0..5)) {
        let words: Vec<String> = chain.iter().flat_map(print).collect();
        let parsed = parse(&words, Mode::CommandLine)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(parsed.into_iter().map(|parsed| parsed.call).collect::<Vec<_>>(), chain);
    }

    #[test]
    fn quoted_words_split_to_themselves(words in prop::collection::vec(any::<String>(), 0..6)) {
        let line: Vec<_> = words.iter().map(|word| quote(word)).collect();
        prop_assert_eq!(split_quoted(&line.join(" ")).unwrap(), words);
    }

    #[test]
    fn nothing_typed_panics(line in any::<String>(), text_protocol in any::<bool>()) {
        let _ = calls(&line, if text_protocol { Mode::TextProtocol } else { Mode::CommandLine });
    }

    #[test]
    fn no_words_panic(
        words in prop::collection::vec(prop_oneof![
            (0..COMMANDS.len()).prop_map(|row| COMMANDS[row].name.to_owned()),
            prop::sample::select(
                vec!["--", "--ttl", "--user", "--if-revision=", "@", "-", "", "5m"]
            )
            .prop_map(str::to_owned),
            any::<String>(),
        ], 0..12),
        text_protocol in any::<bool>(),
    ) {
        let mode = if text_protocol { Mode::TextProtocol } else { Mode::CommandLine };
        if let Err(error) = parse(&words, mode) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

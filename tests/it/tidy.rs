//! Rules for the source tree that need no tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files with this extension below a folder, by their path from the root, with their
/// text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut folders = vec![root().join(folder)];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == ending) {
                found.push(path);
            }
        }
    }
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
    found
        .iter()
        .map(|path| (path.strip_prefix(root()).unwrap().display().to_string(), text(path)))
        .collect()
}

fn rust() -> Vec<(String, String)> {
    ["src", "tests", "bench"].into_iter().flat_map(|folder| files(folder, "rs")).collect()
}

#[test]
fn every_file_says_what_it_is_and_is_no_longer_than_a_room() {
    for (path, text) in rust() {
        assert!(text.starts_with("//!"), "{path}: begin with a `//!` line that says what is in it");
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines; over 400 asks to be split");
    }
}

/// Parts of the library that only the server uses.
const SERVER_PARTS: &[&str] =
    &["kvrpc::store", "kvrpc::service", "kvrpc::grpc", "kvrpc::listen", "kvrpc::server"];

/// Dependencies that each part must not have.
#[test]
fn no_part_knows_what_it_must_not() {
    let forbidden: [(&str, &[&str]); 8] = [
        (
            "src/model",
            &[
                "crate::store",
                "crate::service",
                "crate::pb",
                "crate::grpc",
                "crate::listen",
                "crate::server",
                "tokio",
                "tonic",
            ],
        ),
        (
            "src/store",
            &[
                "crate::service",
                "crate::pb",
                "crate::grpc",
                "crate::listen",
                "crate::server",
                "tokio::net",
                "tonic",
            ],
        ),
        (
            "src/service",
            &["crate::pb", "crate::grpc", "crate::listen", "crate::server", "tokio::net", "tonic"],
        ),
        (
            "src/dialect",
            &[
                "crate::store",
                "crate::service",
                "crate::pb",
                "crate::grpc",
                "crate::listen",
                "crate::server",
                "tokio",
                "tonic",
            ],
        ),
        // The command line and the load generator know the contract and the grammar, not the
        // server.
        ("src/bin/kvrpc-cli", SERVER_PARTS),
        ("bench/src", SERVER_PARTS),
        ("src/grpc", &["crate::dialect", "crate::server"]),
        ("src/listen", &["crate::store", "crate::pb", "crate::grpc", "crate::server"]),
    ];
    for (part, names) in forbidden {
        for (path, text) in files(part, "rs") {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for name in names {
                    assert!(!line.contains(name), "{path} names {name}: {line}");
                }
            }
        }
    }
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    for (path, text) in files("tests", "rs").into_iter().chain(files("bench/tests", "rs")) {
        let sleeps = ["sleep", "("].concat();
        assert!(!text.contains(&sleeps), "{path}: wait for the condition with a deadline instead");
    }
}

#[test]
fn nothing_names_the_place_where_it_was_written() {
    let places = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    for (path, text) in
        rust().into_iter().chain(files("proto", "proto")).chain(files("bench", "py"))
    {
        for place in &places {
            assert!(!text.contains(place.as_str()), "{path} names {place}");
        }
    }
}

/// First words of comments behind which the noun that a reader searches for comes late.
const LATE: [&str; 6] = ["What", "Whether", "How", "Who", "Which", "Where"];

#[test]
fn comments_begin_with_the_noun_or_the_verb() {
    let mut late = Vec::new();
    let proto = files("proto", "proto");
    for (path, text) in rust().into_iter().chain(proto) {
        let mut before = "";
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let comment = line.trim_start_matches(['/', '!']).trim_start();
            let is_first = line.starts_with("//") && !before.starts_with("//");
            if is_first && LATE.iter().any(|word| comment.split(' ').next() == Some(word)) {
                late.push(format!("{path}:{}: {line}", number + 1));
            }
            before = line;
        }
    }
    assert!(late.is_empty(), "begin with a noun or a verb:\n{}", late.join("\n"));
}

/// Names that several types of `src` have. The list may only shrink.
const AMBIGUOUS_TYPES: [&str; 5] = ["Call", "ChatEvent", "JoinedRoom", "Reservation", "User"];

/// Returns the name of the type that is defined in a line and is visible outside its module.
fn visible_type(line: &str) -> Option<&str> {
    let mut rest = line.trim_start().strip_prefix("pub")?;
    if let Some(scope) = rest.strip_prefix('(') {
        rest = scope.split_once(')')?.1;
    }
    let (kind, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    if !["struct", "enum", "trait", "type"].contains(&kind) {
        return None;
    }
    // The name that a macro fills in begins with a dollar sign.
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

#[test]
fn a_type_name_means_one_type() {
    assert_eq!(visible_type("pub struct Put<'a> {"), Some("Put"));
    assert_eq!(visible_type("    pub(in crate::grpc) type Stream = Events;"), Some("Stream"));
    assert_eq!(visible_type("pub fn type_name()"), None);
    assert_eq!(visible_type("struct Private;"), None);
    assert_eq!(visible_type("pub struct $name {"), None);

    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files("src", "rs") {
        for (number, line) in text.lines().enumerate() {
            let Some(name) = visible_type(line) else { continue };
            // By convention each crate has a `Result` with its own error.
            let program = path.starts_with("src/bin/") && name == "Result";
            let name = if program { format!("program's {name}") } else { name.to_owned() };
            places.entry(name).or_default().push(format!("{path}:{}", number + 1));
        }
    }
    assert!(places.len() > 200, "{} types", places.len());
    places.retain(|_, places| places.len() > 1);
    for name in AMBIGUOUS_TYPES {
        assert!(places.remove(name).is_some(), "{name} means one type now: take it off the list");
    }
    assert!(places.is_empty(), "give each type a name of its own: {places:#?}");
}

//! Form of the pages: width, sentences, fences, links.

use std::path::{Component, Path, PathBuf};

use super::RUN;
use super::markdown::{anchors, blocks, links, pages, prose, read, root, without_code};

/// The longest line of a page, in characters.
const WIDTH: usize = 120;

#[test]
fn lines_are_no_wider_than_a_reader_sees() {
    let mut wide = Vec::new();
    for page in pages() {
        for (index, line) in page.text.lines().enumerate() {
            let width = line.chars().count();
            if width > WIDTH {
                wide.push(format!("{}:{} has {width} columns", page.path, index + 1));
            }
        }
    }
    assert!(wide.is_empty(), "over {WIDTH}:\n{}", wide.join("\n"));
}

/// Returns `true` if a sentence ends before the end of the line.
fn has_two_sentences(line: &str) -> bool {
    let line = without_code(line);
    let ends = line.match_indices(". ").filter(|(at, _)| {
        let before = line[..*at].chars().next_back();
        let after = line[at + 2..].chars().next();
        // `1. ` begins a row of a list.
        before.is_some_and(|c| !c.is_ascii_digit()) && after.is_some_and(char::is_uppercase)
    });
    ends.count() > 0
}

#[test]
fn a_line_has_one_sentence() {
    let mut long = Vec::new();
    for page in pages() {
        for (number, line) in prose(&page.text) {
            if !line.trim_start().starts_with('|') && has_two_sentences(line) {
                long.push(format!("{}:{number}: {line}", page.path));
            }
        }
    }
    assert!(long.is_empty(), "begin a line with each sentence:\n{}", long.join("\n"));
}

#[test]
fn the_first_page_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 120, "README.md has {lines} lines");
    let lines = read("CONTRIBUTING.md").lines().count();
    assert!(lines <= 75, "CONTRIBUTING.md has {lines} lines");
}

#[test]
fn every_block_says_what_it_is() {
    for page in pages() {
        for block in blocks(&page.text) {
            let place = format!("{}:{}", page.path, block.line);
            assert!(!block.info.is_empty(), "{place}: name the block's language");
            if !RUN.contains(&page.path.as_str()) {
                continue;
            }
            // A block that is neither run nor written to a file has a reason.
            let used = matches!(block.language(), "sh" | "console");
            let used = used || ["file", "not-run"].iter().any(|key| block.attribute(key).is_some());
            assert!(used, "{place}: not run, and `not-run=WHY` is missing: {}", block.info);
        }
    }
}

#[test]
fn every_row_of_a_table_has_its_columns() {
    for page in pages() {
        let mut columns = None;
        for (number, line) in prose(&page.text) {
            if !line.starts_with('|') {
                columns = None;
                continue;
            }
            // A bar in a code span parts cells too, unless it is escaped.
            let bars = line.replace("\\|", "").matches('|').count();
            let wanted = *columns.get_or_insert(bars);
            assert_eq!(bars, wanted, "{}:{number}: {line}", page.path);
        }
    }
}

/// The file that a link of a page leads to, from the root.
fn resolve(page: &str, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let beside = Path::new(page).parent().unwrap_or(Path::new("")).join(target);
    for component in beside.components() {
        match component {
            Component::ParentDir => assert!(path.pop(), "{page}: {target} leaves the tree"),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for (number, line) in prose(&page.text) {
            for link in links(line) {
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let path = if file.is_empty() {
                    page.path.clone().into()
                } else {
                    resolve(&page.path, file)
                };
                let there = root().join(&path).exists();
                let found = there
                    && (anchor.is_empty()
                        || anchors(&read(path.to_str().unwrap())).iter().any(|own| own == anchor));
                if !found {
                    broken.push(format!("{}:{number}: {link}", page.path));
                }
            }
        }
    }
    assert!(broken.is_empty(), "links to nowhere:\n{}", broken.join("\n"));
}

/// Folders whose files the pages name in code spans.
const NAMED: [&str; 8] =
    ["src/", "tests/", "proto/", "bench/", "fuzz/", "deploy/", "docs/", ".ci/"];

/// Returns `true` if a path, in which `*` is any name and `NAME` a name to choose, leads
/// somewhere.
fn is_there(path: &str) -> bool {
    let fixed = path.split('/').take_while(|part| {
        let chosen = part.split('.').next().is_some_and(|name| name == "NAME");
        !part.contains('*') && !chosen
    });
    root().join(fixed.collect::<PathBuf>()).exists()
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let mut lost = Vec::new();
    for page in pages() {
        for (number, line) in prose(&page.text) {
            for code in line.split('`').skip(1).step_by(2) {
                let path = code.split(' ').next().unwrap_or_default();
                let named = NAMED.iter().any(|folder| path.starts_with(folder));
                if named && !is_there(path) {
                    lost.push(format!("{}:{number}: {path}", page.path));
                }
            }
        }
    }
    assert!(lost.is_empty(), "named, and not there:\n{}", lost.join("\n"));
}

#[test]
fn no_page_is_left_alone() {
    let pages = pages();
    let linked: Vec<PathBuf> = pages
        .iter()
        .flat_map(|page| {
            let lines = prose(&page.text).into_iter().flat_map(|(_, line)| links(line));
            lines.map(|link| resolve(&page.path, link.split('#').next().unwrap_or_default()))
        })
        .collect();
    for page in pages.iter().filter(|page| page.path.starts_with("docs/")) {
        let found = linked.iter().any(|path| path.as_path() == Path::new(&page.path));
        assert!(found, "no other page links to {}", page.path);
    }
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert!(has_two_sentences("One. Two."));
    assert!(!has_two_sentences("1. One."));
    assert!(!has_two_sentences("See `a. B`, e.g. here."));
    assert_eq!(links("[a](b.md#c), `[d](e)` and ![f](g.svg)"), ["b.md#c", "g.svg"]);
    assert_eq!(links("[name]: ../a.md"), ["../a.md"]);
    assert_eq!(anchors("# A `b`: c\n\n## D\n### D\n"), ["a-b-c", "d", "d-1"]);
    let page = "```console needs=nc\n$ a\n```\ntext\n";
    let block = &blocks(page)[0];
    assert_eq!((block.language(), block.attribute("needs")), ("console", Some("nc")));
    assert_eq!(prose(page), [(4, "text")]);
    assert!(is_there("src/dialect/NAME.rs") && is_there("src/*/mod.rs"));
    assert!(!is_there("src/nothing.rs"));
    assert_eq!(resolve("docs/a/b.md", "../c.md"), Path::new("docs/c.md"));
}

//! Width of source and comment lines.

use super::markdown::files;

/// The longest line of a source, in characters.
const WIDTH: usize = 100;

/// The endings of sources.
const SOURCES: [&str; 5] = ["rs", "proto", "lua", "py", "sh"];

/// Programs without an ending.
const PROGRAMS: [&str; 2] = ["/run", "bench/comparison"];

#[test]
fn sources_are_no_wider_than_a_window() {
    let is_source = |path: &str| {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        SOURCES.contains(&ending) || PROGRAMS.iter().any(|program| path.ends_with(program))
    };
    let mut wide = Vec::new();
    for file in files(is_source) {
        let lines = file.text.lines().filter(|line| line.chars().count() > WIDTH).count();
        if lines > 0 {
            wide.push(format!("{}: {lines} lines", file.path));
        }
    }
    assert!(wide.is_empty(), "over {WIDTH} columns:\n{}", wide.join("\n"));
}

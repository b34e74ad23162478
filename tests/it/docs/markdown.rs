//! Markdown as far as the checks need it: fenced blocks, prose, headings, links.

use std::fs;
use std::path::Path;

/// A file of the tree.
pub(super) struct File {
    /// Its path from the root.
    pub(super) path: String,
    pub(super) text: String,
}

/// A fenced block.
pub(super) struct Block {
    /// The line of its opening fence, from 1.
    pub(super) line: usize,
    /// Text behind the opening fence.
    pub(super) info: String,
    pub(super) lines: Vec<String>,
}

impl Block {
    /// The value of `NAME=VALUE` in the info string.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut words = self.info.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The first word of the info string.
    pub(super) fn language(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read(path: &str) -> String {
    let text = fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Folders that builds, tools and readers of the README leave in the tree.
fn is_left_behind(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let anywhere =
        ["target", ".git", "node_modules", "venv", "artifacts", "coverage", "__pycache__"];
    path == "client" || anywhere.contains(&name)
}

/// Every file of the tree whose path passes.
pub(super) fn files(wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let mut folders = vec![root().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
            if is_left_behind(path) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if wanted(path) {
                found.push(File { text: read(path), path: path.to_owned() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every page of Markdown.
pub(super) fn pages() -> Vec<File> {
    files(|path| path.ends_with(".md"))
}

/// The fenced blocks of a page.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            open = !open;
            if open {
                let info = info.trim().to_owned();
                blocks.push(Block { line: index + 1, info, lines: Vec::new() });
            }
        } else if open {
            blocks.last_mut().unwrap().lines.push(line.to_owned());
        }
    }
    assert!(!open, "the last fence is not closed");
    blocks
}

/// The lines outside fenced blocks, each with its number from 1.
pub(super) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut open = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            open = !open;
        } else if !open {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// A line without its code spans.
pub(super) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of the links and pictures in a line.
pub(super) fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    // `[name]: target` at the beginning of a line.
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
    {
        return vec![target.to_owned()];
    }
    let targets = line.split("](").skip(1);
    targets.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String = heading.trim().to_lowercase().chars().filter(kept).collect();
        let slug = slug.replace(' ', "-");
        let same = anchors.iter().filter(|anchor| **anchor == slug).count();
        anchors.push(if same == 0 { slug } else { format!("{slug}-{same}") });
    }
    anchors
}

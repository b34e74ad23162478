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
        if lines > 0 && !EXCEPTIONS.iter().any(|exception| file.path.starts_with(exception)) {
            wide.push(format!("{}: {lines} lines", file.path));
        }
    }
    assert!(wide.is_empty(), "over {WIDTH} columns:\n{}", wide.join("\n"));
}

/// Files and folders that still have wider lines.
const EXCEPTIONS: &[&str] = &[
    "bench/tests/server/mod.rs",
    "src/bin/kvrpc-cli/args.rs",
    "src/bin/kvrpc-cli/chat/room_session.rs",
    "src/bin/kvrpc-cli/commands/keys.rs",
    "src/bin/kvrpc-cli/completions.rs",
    "src/bin/kvrpc-cli/doctor.rs",
    "src/bin/kvrpc-cli/explain.rs",
    "src/bin/kvrpc-cli/help.rs",
    "src/bin/kvrpc-cli/input.rs",
    "src/bin/kvrpc-cli/man.rs",
    "src/bin/kvrpc-cli/session.rs",
    "src/bin/kvrpc-cli/via/chat.rs",
    "src/bin/kvrpc-cli/via/connection.rs",
    "src/bin/kvrpc-cli/via/text.rs",
    "src/bin/kvrpc-cli/via/ws_text.rs",
    "tests/it/cli/chains.rs",
    "tests/it/cli/mod.rs",
    "tests/it/cli/transfer.rs",
    "tests/it/cli/via.rs",
    "tests/it/cluster/rolling.rs",
    "tests/it/dialect/pickle.rs",
    "tests/it/dialect/properties.rs",
    "tests/it/dialect/ws.rs",
    "tests/it/grpc/people.rs",
    "tests/it/grpc/web.rs",
    "tests/it/harness/redis.rs",
    "tests/it/store/cases.rs",
    "tests/it/store/mod.rs",
    "tests/it/store/model.rs",
    "tests/it/store/starts.rs",
];

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
    ".ci/deploy.py",
    ".ci/run",
    "bench/cluster/run",
    "bench/comparison",
    "bench/fanout/run",
    "bench/peers/echo/echo.py",
    "bench/peers/lib/install.py",
    "bench/peers/lib/load.py",
    "bench/peers/lib/measure.py",
    "bench/peers/lib/memory.py",
    "bench/peers/lib/report.py",
    "bench/peers/lib/servers.py",
    "bench/peers/lib/subjects.py",
    "bench/peers/lib/wire.py",
    "bench/peers/run",
    "bench/scaling/lib/loads.py",
    "bench/scaling/lib/page.py",
    "bench/scaling/run",
    "bench/tests/server/mod.rs",
    "bench/unary.py",
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
    "tests/clients/clock_client.py",
    "tests/clients/ctrl_d.py",
    "tests/clients/old_client.py",
    "tests/clients/pickle_client.py",
    "tests/clients/relay.py",
    "tests/clients/wrong_listener.py",
    "tests/clients/ws_pickle_client.py",
    "tests/clients/ws_text_client.py",
    "tests/faults/attacks.py",
    "tests/faults/run",
    "tests/interop/client.py",
    "tests/it/cli/chains.rs",
    "tests/it/cli/mod.rs",
    "tests/it/cli/transfer.rs",
    "tests/it/cli/via.rs",
    "tests/it/cluster/rolling.rs",
    "tests/it/dialect/corpus/generate.py",
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

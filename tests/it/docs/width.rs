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
    "bench/unary.py",
    "examples/fanout.rs",
    "src/client/args.rs",
    "src/client/bench/compare/markdown.rs",
    "src/client/bench/compare/relay.rs",
    "src/client/bench/compare/wire.rs",
    "src/client/bench/listener.rs",
    "src/client/bench/drive.rs",
    "src/client/bench/grpc.rs",
    "src/client/bench/report.rs",
    "src/client/chat/talk.rs",
    "src/client/commands/keys.rs",
    "src/client/completions.rs",
    "src/client/doctor.rs",
    "src/client/explain.rs",
    "src/client/help.rs",
    "src/client/input.rs",
    "src/client/man.rs",
    "src/client/session.rs",
    "src/client/via/chat.rs",
    "src/client/via/link.rs",
    "src/client/via/text.rs",
    "src/client/via/ws_text.rs",
    "src/dialect/grammar/table.rs",
    "src/dialect/grammar/tests.rs",
    "src/dialect/grammar/wrong.rs",
    "src/dialect/line.rs",
    "src/dialect/pickle/opcode.rs",
    "src/listen/address.rs",
    "src/listen/http/drive.rs",
    "src/listen/http/refuse.rs",
    "src/listen/socket/member.rs",
    "src/listen/socket/mod.rs",
    "src/listen/socket/share.rs",
    "src/listen/socket/stream.rs",
    "src/listen/socket/websocket.rs",
    "src/listen/workers.rs",
    "src/pb/reply.rs",
    "src/pb/wire/tests.rs",
    "src/server/compat.rs",
    "src/server/config/accounts.rs",
    "src/server/config/check.rs",
    "src/server/config/listeners.rs",
    "src/server/config/flags.rs",
    "src/server/config/tests.rs",
    "src/server/tls.rs",
    "src/service/authorize.rs",
    "src/service/method.rs",
    "src/service/page_token.rs",
    "src/service/rooms/membership.rs",
    "src/service/rooms/refusal.rs",
    "src/service/token.rs",
    "src/service/watch.rs",
    "src/store/memory/engine.rs",
    "src/store/memory/state.rs",
    "src/store/redis/check.rs",
    "src/store/redis/failure.rs",
    "src/store/redis/library.rs",
    "src/store/redis/lua/answers.lua",
    "src/store/redis/lua/people.lua",
    "src/store/redis/lua/puts.lua",
    "src/store/redis/lua/record.lua",
    "src/store/redis/lua/rooms.lua",
    "src/store/redis/lua/store.lua",
    "src/store/redis/refusal.rs",
    "src/store/redis/rooms/events.rs",
    "src/store/redis/settings.rs",
    "tests/clients/clock_client.py",
    "tests/clients/ctrl_d.py",
    "tests/clients/decode_client.py",
    "tests/clients/frames.py",
    "tests/clients/old_client.py",
    "tests/clients/pickle_client.py",
    "tests/clients/pickles.py",
    "tests/clients/relay.py",
    "tests/clients/text_client.py",
    "tests/clients/web_socket.py",
    "tests/clients/wrong_listener.py",
    "tests/clients/ws_pickle_client.py",
    "tests/clients/ws_text_client.py",
    "tests/faults/attacks.py",
    "tests/faults/listeners.py",
    "tests/faults/pages.py",
    "tests/faults/run",
    "tests/faults/server.py",
    "tests/interop/client.py",
    "tests/it/cli/bench.rs",
    "tests/it/cli/chains.rs",
    "tests/it/cli/mod.rs",
    "tests/it/cli/transfer.rs",
    "tests/it/cli/via.rs",
    "tests/it/cluster/rolling.rs",
    "tests/it/dialect/corpus/generate.py",
    "tests/it/dialect/pickle.rs",
    "tests/it/dialect/properties.rs",
    "tests/it/dialect/text.rs",
    "tests/it/dialect/ws.rs",
    "tests/it/grpc/people.rs",
    "tests/it/grpc/web.rs",
    "tests/it/harness/redis.rs",
    "tests/it/store/cases.rs",
    "tests/it/store/mod.rs",
    "tests/it/store/model.rs",
    "tests/it/store/starts.rs",
];

#!/usr/bin/env python3
"""Server CPU of an authorised Get and Put, beside a bare tonic echo on the same runtime.

Runs kvrpc-server and the example bare_echo in turn under h2load (Debian: nghttp2-client), and
prints a table of medians with ratios, and the rounds. CPU is that of the server process
(/proc/PID/task/*/schedstat), read before and after each run.

    cargo build --profile dist --locked --bins
    cargo build --profile dist --locked -p kvrpc-bench --example bare_echo
    python3 bench/unary.py [--rounds 7] [--calls 200000]
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

PROGRAMS = pathlib.Path(__file__).resolve().parent.parent / "target" / "dist"


def start(arguments, pattern):
    """Starts a server; the process and the address that its log names."""
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(pattern, line):
            return process, found.group(1)
    sys.exit(f"{arguments[0]} did not start")


def cpu(process):
    """Seconds of CPU that a process's threads have used.

    Read from the scheduler, since the counts of user and system time have hundredths only.
    """
    threads = pathlib.Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def field(number, text):
    """A string field of a message."""
    data = text.encode()
    return bytes([number << 3 | 2, len(data)]) + data


def frame(message):
    """A message as it stands in a gRPC body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def run(process, address, path, body, headers, calls, clients):
    """Microseconds of server CPU a call, and calls a second."""
    command = ["h2load", f"-n{calls}", f"-c{clients}", "-m16", "-t1", "-d", body]
    for header in ["content-type: application/grpc", "te: trailers", *headers]:
        command += ["-H", header]
    before = cpu(process)
    output = subprocess.run(
        [*command, f"http://{address}{path}"], capture_output=True, text=True, check=True
    ).stdout
    used = cpu(process) - before
    succeeded = int(re.search(r"(\d+) succeeded", output).group(1))
    if succeeded != calls:
        sys.exit(f"{succeeded} of {calls} calls succeeded:\n{output}")
    # A refused call is a 200 too, but a short one with trailers only: each answer of a kind has
    # the same size.
    return used / calls * 1e6, float(re.search(r"([\d.]+) req/s", output).group(1))


def main():
    """All rounds."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--calls", type=int, default=200_000)
    options.add_argument("--clients", type=int, default=8)
    options = options.parse_args()
    flags = [
        "--listen",
        "127.0.0.1:0",
        *(["--no-compat"] if "--no-compat" in help_of("kvrpc-server") else []),
    ]
    server, address = start([PROGRAMS / "kvrpc-server", *flags], r"grpc=(\S+)")
    echo, echo_address = start([PROGRAMS / "examples" / "bare_echo"], r"^(\S+:\d+)$")
    try:
        cli = [PROGRAMS / "kvrpc-cli", "--server", address, "--user", f"bench-{os.getpid()}"]
        subprocess.run([*cli, "put", "city", "Kolkata"], check=True)
        got = subprocess.run(
            [*cli, "get", "city"], check=True, capture_output=True, text=True
        ).stdout
        assert got == "Kolkata\n", got
        token = subprocess.run(
            [*cli, "token"], check=True, capture_output=True, text=True
        ).stdout.strip()
        bearer = [f"authorization: Bearer {token}"]
        folder = tempfile.TemporaryDirectory()
        bodies = {
            "echo": frame(field(1, "Kolkata")),
            "get": frame(field(1, "city")),
            "put": frame(field(1, "city") + field(2, "Kolkata")),
        }
        for name, body in bodies.items():
            (pathlib.Path(folder.name) / name).write_bytes(body)
        service = "/kvrpc.v1.KeyValueService/"
        subjects = {
            "bare tonic echo": (
                echo,
                echo_address,
                "/kvrpc.v1.CodecService/Encode",
                f"{folder.name}/echo",
                [],
            ),
            "Get, authorised": (server, address, service + "Get", f"{folder.name}/get", bearer),
            "Put, authorised": (server, address, service + "Put", f"{folder.name}/put", bearer),
        }
        rounds = {name: [] for name in subjects}
        for _ in range(options.rounds + 1):
            for name, subject in subjects.items():
                rounds[name].append(run(*subject, options.calls, options.clients))
    finally:
        server.kill()
        echo.kill()
    base = statistics.median(used for used, _ in rounds["bare tonic echo"][1:])
    print("| what | server CPU, µs a call | ratio | calls a second | rounds, µs |")
    print("|---|--:|--:|--:|---|")
    for name, measured in rounds.items():
        # The first round warms up.
        used = [used for used, _ in measured[1:]]
        rate = statistics.median(rate for _, rate in measured[1:])
        median = statistics.median(used)
        print(
            f"| {name} | {median:.2f} | {median / base:.2f} | {rate:,.0f} |"
            f" {' '.join(f'{u:.2f}' for u in used)} |"
        )


def help_of(program):
    """What a program says of itself."""
    return subprocess.run(
        [PROGRAMS / program, "--help"], capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()

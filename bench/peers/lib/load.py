"""The clients, each pinned to core 1: one run of each, with its answers checked."""

import json
import pathlib
import re
import subprocess
import tempfile

from install import ECHO, ROOT, TOOLS
from servers import CLIENT_CORE
from subjects import VALUE, need

# Connections and calls in flight on each.
SHAPES = {"8 × 16": (8, 16), "50 × 1": (50, 1)}
STREAMS = {"8 × 1": (8, 1)}
REDIS_CLIENTS = 50


def client(*command):
    """Runs a client on its core; what it printed."""
    done = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    need(
        done.returncode == 0,
        f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}",
    )
    return done.stdout


def h2load(row, server, shape, calls, more=()):
    """One run of a gRPC row: seconds of the server's CPU, and calls a second."""
    connections, streams = (SHAPES | STREAMS)[shape]
    known = row.probe(server.address)
    with tempfile.NamedTemporaryFile() as body:
        body.write(row.body())
        body.flush()
        command = [
            "h2load",
            f"-n{calls}",
            f"-c{connections}",
            f"-m{streams}",
            "-t1",
            "-d",
            body.name,
            *more,
        ]
        for name, value in {
            "content-type": "application/grpc",
            "te": "trailers",
            **row.headers,
        }.items():
            command += ["-H", f"{name}: {value}"]
        before = server.cpu()
        output = client(*command, f"http://{server.address}{row.path}")
        used = server.cpu() - before
    succeeded = int(re.search(r"(\d+) succeeded", output).group(1))
    need(succeeded == calls, f"{row.name}: {succeeded} of {calls} calls succeeded:\n{output}")
    # An error has no DATA and a wrong answer another length: the bytes must be exactly those
    # of right answers.
    data, want = int(re.search(r"\((\d+)\) data", output).group(1)), row.expected(known, calls)
    need(data == want, f"{row.name}: {data} bytes of answers, not {want}")
    after = row.probe(server.address)
    need(after == known or row.writes, f"{row.name}: the answer changed from {known} to {after}")
    seconds = re.search(r"finished in ([\d.]+)(us|ms|s),", output)
    took = float(seconds.group(1)) * {"us": 1e-6, "ms": 1e-3, "s": 1}[seconds.group(2)]
    return used, calls / took


def redis_benchmark(row, server, calls):
    """One run of a RESP row: seconds of the server's CPU, and commands a second."""
    port = server.address.split(":")[1]
    cli = ["redis-cli", "-p", port]
    client(*cli, "SET", "key:__rand_int__", VALUE)
    need(
        client(*cli, "GET", "key:__rand_int__").strip() == VALUE,
        f"{row.name}: another value came back",
    )
    client(*cli, "CONFIG", "RESETSTAT")
    before = server.cpu()
    arguments = [
        "-p",
        port,
        "-t",
        row.command.lower(),
        "-n",
        calls,
        "-c",
        REDIS_CLIENTS,
        "-P",
        row.pipeline,
        "-d",
        len(VALUE),
        "--csv",
    ]
    output = client("redis-benchmark", *arguments)
    used = server.cpu() - before
    stats = client(*cli, "INFO", "all")
    ran = int(re.search(rf"cmdstat_{row.command.lower()}:calls=(\d+)", stats).group(1))
    # The client rounds up to whole pipelines.
    need(
        calls <= ran <= calls + REDIS_CLIENTS * row.pipeline,
        f"{row.name}: {ran} commands ran, not {calls}",
    )
    hits = int(re.search(r"keyspace_hits:(\d+)", stats).group(1))
    need(row.command != "GET" or hits == ran, f"{row.name}: {hits} of {ran} found their key")
    need("errorstat_" not in stats, f"{row.name}: the server answered with errors")
    rate = float(output.strip().splitlines()[-1].split(",")[1].strip('"'))
    return used, rate


def percentiles(values):
    """p50, p99 and p99.9."""
    ordered = sorted(values)
    return [
        ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99, 0.999)
    ]


def paced(row, server, rate, seconds):
    """h2load at a fixed rate over 8 connections: p50, p99, p99.9 in µs, and the rate reached."""
    each = max(1, round(rate / 8))
    calls = max(400, int(each * 8 * seconds))
    with tempfile.NamedTemporaryFile() as log:
        h2load(row, server, "8 × 16", calls, [f"--rps={each}", f"--log-file={log.name}"])
        lines = [line.split("\t") for line in pathlib.Path(log.name).read_text().splitlines()]
    starts = [int(line[0]) for line in lines]
    spent = (max(starts) - min(starts)) / 1e6
    return percentiles([int(line[2]) for line in lines]), (len(lines) - 1) / spent


def ghz(row, server, rate, seconds):
    """ghz at a fixed rate, which does not wait for slow answers: p50, p99, p99.9 in µs."""
    proto, method = ghz_method(row)
    calls = int(rate * seconds)
    with tempfile.NamedTemporaryFile() as body:
        body.write(row.message)
        body.flush()
        command = [
            TOOLS / "bin" / "ghz",
            "--insecure",
            "--import-paths",
            proto[0],
            "--proto",
            proto[1],
            "--call",
            method,
        ]
        command += [
            "--binary-file",
            body.name,
            "--rps",
            rate,
            "--async",
            "--concurrency",
            50,
            "--connections",
            8,
            "--total",
            calls,
        ]
        command += [
            "--metadata",
            json.dumps(row.headers),
            "--format",
            "json",
            "--timeout",
            "10s",
            server.address,
        ]
        report = json.loads(client(*command))
    statuses = report["statusCodeDistribution"]
    need(
        statuses == {"OK": calls},
        f"{row.name}: ghz saw {statuses}, {report.get('errorDistribution')}",
    )
    return percentiles([detail["latency"] / 1e3 for detail in report["details"]])


def ghz_method(row):
    """The contract and the method of a row, as ghz wants them."""
    service, method = row.path.strip("/").split("/")
    if service.startswith("etcdserverpb"):
        return (ECHO, "etcd.proto"), f"{service}.{method}"
    file = "codec" if service.endswith("CodecService") else "key_value"
    return (ROOT / "proto", f"kvrpc/v1/{file}.proto"), f"{service}.{method}"

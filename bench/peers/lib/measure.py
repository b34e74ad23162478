"""Runs the rounds.

Each round measures every row once, so that other load on the machine affects all rows alike.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import time

import load
import memory
import report
import servers
import subjects

# Where ghz, which needs more of its core than the servers do, still keeps time.
GHZ_RATE = 1_000
GHZ_SECONDS = 3


def everything(options):
    """All parts, and the report."""
    parts = options.parts.split(",")
    results = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds}
    running = {}
    try:
        for name, start in servers.START.items():
            running[name] = start()
        rows = [row for row in subjects.all_of(running) if re.search(options.only, row.name)]
        wanted = {row.server for row in rows}
        for name in [name for name in running if name not in wanted]:
            running.pop(name).stop()
        if "cpu" in parts:
            results["cpu"] = cpu(rows, running, options)
        if "latency" in parts and "cpu" in parts:
            results["latency"] = latency(rows, running, results["cpu"], options)
    finally:
        for server in running.values():
            server.stop()
    if "memory" in parts:
        results["memory"] = memory.all_of(options.only)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "peers.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    )
    (options.out / "peers.md").write_text(report.markdown(results))
    print(report.markdown(results))


def machine():
    """What it was measured on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    versions = {
        "redis-server": ["redis-server", "--version"],
        "etcd": ["etcd", "--version"],
        "h2load": ["h2load", "--version"],
        "node": ["node", "--version"],
        "go": ["go", "version"],
        "rustc": ["rustc", "--version"],
    }

    def first(command):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return re.search(r"\d+\.\d+\.\d+", said).group(0)

    return {
        "cores": os.cpu_count(),
        "processor": model.group(1) if model else "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: first(command) for name, command in versions.items()},
    }


def variants(rows):
    """Each row with each shape of load that fits it."""
    for row in rows:
        if isinstance(row, subjects.Resp):
            yield row, f"50 × {row.pipeline}"
        elif row.messages > 1:
            yield row, "8 × 1"
        elif row.operations > 1:
            yield row, "8 × 16"
        else:
            for shape in load.SHAPES:
                yield row, shape


def once(row, server, shape, calls):
    """One run: µs of CPU an operation, and operations a second."""
    server.quiet()
    if isinstance(row, subjects.Resp):
        used, rate = load.redis_benchmark(row, server, calls)
        return used / calls * 1e6, rate
    used, rate = load.h2load(row, server, shape, calls)
    return used / calls / row.operations * 1e6, rate * row.operations


def cpu(rows, running, options):
    """CPU and throughput, with one core for the server."""
    plan, measured = [], []
    for row, shape in variants(rows):
        # A short run tells how many calls the wanted time takes.
        calls = max(20, 2_000 // getattr(row, "operations", 1))
        for _ in range(2):
            _, rate = once(row, running[row.server], shape, calls)
            calls = max(100, int(rate / getattr(row, "operations", 1) * options.seconds))
        plan.append((row, shape, calls))
        measured.append({"name": row.name, "shape": shape, "calls": calls, "cpu": [], "rate": []})
    for number in range(options.rounds):
        for (row, shape, calls), result in zip(plan, measured):
            used, rate = once(row, running[row.server], shape, calls)
            result["cpu"].append(round(used, 3))
            result["rate"].append(round(rate))
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return measured


def latency(rows, running, capacity, options):
    """Latency at half of the throughput just measured, and at one rate for all."""
    rates = {
        result["name"]: statistics.median(result["rate"])
        for result in capacity
        if result["shape"] == "8 × 16"
    }
    singles = [row for row in rows if isinstance(row, subjects.Grpc) and row.operations == 1]
    measured = [
        {"name": row.name, "rate": rates[row.name] / 2, "half": [], "fixed": [], "reached": []}
        for row in singles
    ]
    for _ in range(options.rounds):
        for row, result in zip(singles, measured):
            server = running[row.server]
            server.quiet()
            times, reached = load.paced(row, server, result["rate"], options.seconds)
            result["half"].append(times)
            result["reached"].append(round(reached))
            result["fixed"].append(load.ghz(row, server, GHZ_RATE, GHZ_SECONDS))
    return measured

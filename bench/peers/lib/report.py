"""The tables."""

import statistics

HEAD = """# kvrpc beside other servers

Made by `bench/peers/run`; the raw rounds are in `peers.json`. {date}, {cores} cores ({processor}), load {load} at the start.
Each server ran on core 0 alone, its client on core 1; medians of {rounds} interleaved rounds of about {seconds} s. CPU is the server process's own, user and system. kvrpc's limits, roles
and metrics were at their defaults; its calls carry a session's token and are authorised. Keys have 16 bytes, values and echoed texts 100. Every run's answers were checked: a call before and after it by another client for
grpc-status 0 and the value's bytes, and all bytes of DATA of all answers against what right ones have; at Redis the number of hits and of errors. Versions: {versions}.
"""


def markdown(results):
    """The whole report."""
    machine = dict(results["machine"])
    machine["versions"] = "; ".join(f"{name}: {text}" for name, text in machine["versions"].items())
    parts = [HEAD.format(**machine, rounds=results["rounds"], seconds=results["seconds"])]
    if "cpu" in results:
        parts += [cpu(results["cpu"])]
    if "latency" in results:
        parts += [latency(results["latency"])]
    if results.get("memory"):
        parts += [memory(results["memory"])]
    return "\n".join(parts)


def base_of(results, name, shape="8 × 16"):
    """The median CPU of a row; none if it did not run."""
    found = [statistics.median(r["cpu"]) for r in results if r["name"] == name and r["shape"] == shape]
    return found[0] if found else None


def cpu(results):
    """CPU and throughput."""
    lines = [
        "## What an operation costs\n",
        "Connections × operations in flight on each. The last column is kvrpc's Get in the same shape (8 × 16 where there is no such row) divided by the row: below 1, kvrpc needs less.\n",
        "| server | shape | CPU, µs an operation | least to most | operations a second | kvrpc Get / this |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for result in results:
        used = statistics.median(result["cpu"])
        base = base_of(results, "kvrpc Get", result["shape"]) or base_of(results, "kvrpc Get")
        ratio = f"{base / used:.2f}" if base and used else ""
        spread = f"{min(result['cpu']):.2f} to {max(result['cpu']):.2f}"
        lines.append(f"| {result['name']} | {result['shape']} | {used:.2f} | {spread} | {statistics.median(result['rate']):,.0f} | {ratio} |")
    return "\n".join(lines) + "\n"


def latency(results):
    """Latency at half of capacity, and at a fixed rate."""
    lines = [
        "## Latency\n",
        "In µs, medians of the rounds. Left: h2load at half of the row's throughput above, over 8 connections (each keeps its own pace; a call's time is from when it was sent). Right: ghz at 1,000 calls",
        "a second for every server, sent whether or not earlier ones were answered; its own cost is in it.\n",
        "| server | rate | p50 | p99 | p99.9 | ghz p50 | p99 | p99.9 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        cells = []
        for kind in ("half", "fixed"):
            cells += [f"{statistics.median(times[at] for times in result[kind]):,.0f}" for at in range(3)]
        reached = statistics.median(result["reached"])
        # Where the pace was not kept, the load was not what the column says.
        note = "" if reached > 0.95 * result["rate"] else f" (reached {reached:,.0f})"
        lines.append(f"| {result['name']} | {result['rate']:,.0f}{note} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def memory(results):
    """Resident memory."""
    lines = [
        "## Memory\n",
        "Resident bytes that the server's process grew by, divided by how many there were; each in a fresh process. Ratios are kvrpc's divided by the other's. For the connections of `text`,",
        "which sign in each, the limit of sign-ins a second was raised.\n",
        "| what | kvrpc, bytes | peer | bytes | ratio |",
        "|---|--:|---|--:|--:|",
    ]
    for result in results:
        ours, other = result["kvrpc"], result["peer_bytes"]
        lines.append(f"| {result['what']} | {ours:,.0f} | {result['peer']} | {other:,.0f} | {ours / other:.2f} |")
    return "\n".join(lines) + "\n"

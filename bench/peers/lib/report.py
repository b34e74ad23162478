"""The tables."""

import statistics

from reflow import reflow

HEAD = """# kvrpc beside other servers

Made by `bench/peers/run`; the raw rounds are in `peers.json`.
{date}, {cores} cores ({processor}), a load of {load} from elsewhere.
Each server ran on core 0 alone, its client on core 1;
medians of {rounds} interleaved rounds of about {seconds} s.
CPU is the time that the server's threads ran, in user space and in the kernel.
kvrpc's limits, roles and metrics were at their defaults;
its calls carry a session's token and are authorised.
Keys have 16 bytes, values and echoed texts 100.
Every run's answers were checked:
a call before and after it by another client for grpc-status 0 and the value's bytes,
and all bytes of DATA of all answers against those of right answers;
at Redis the number of hits and of errors.
Versions: {versions}.
"""


def markdown(results):
    """The whole report."""
    machine = dict(results["machine"])
    machine["versions"] = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    parts = [HEAD.format(**machine, rounds=results["rounds"], seconds=results["seconds"])]
    if "cpu" in results:
        parts += [cpu(results["cpu"])]
    if "latency" in results:
        parts += [latency(results["latency"])]
    if results.get("memory"):
        parts += [memory(results["memory"])]
    return reflow("\n".join(parts))


# What a row that is no single gRPC call is set beside.
BESIDE = {
    "redis GET -P 16": "kvrpc Pipeline of 16 Gets",
    "redis GET -P 64": "kvrpc Pipeline of 128 Gets",
    "redis SET -P 1": "kvrpc Put",
    "redis SET -P 16": "kvrpc Pipeline of 16 Puts",
    "redis SET -P 64": "kvrpc Pipeline of 128 Puts",
}


def median_of(results, name, shape):
    """The median CPU of a row, in the shape or in the only one that it has."""
    found = {r["shape"]: statistics.median(r["cpu"]) for r in results if r["name"] == name}
    return found.get(shape) or found.get("8 × 16") or found.get("8 × 1")


def cpu(results):
    """CPU and throughput."""
    lines = [
        "## What an operation costs\n",
        (
            "Connections × calls in flight on each; a Pipeline's stream has 64 batches. All"
            " operations are on one key. The ratio is what kvrpc needs for its row divided by what"
            " this one needs: below 1, kvrpc needs less.\n"
        ),
        (
            "| server | shape | CPU, µs an operation | least to most | operations a second | ratio"
            " | beside |"
        ),
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for result in results:
        used = statistics.median(result["cpu"])
        beside = BESIDE.get(result["name"], "kvrpc Get")
        base = (
            None
            if result["name"].startswith("kvrpc")
            else median_of(results, beside, result["shape"])
        )
        cells = f"{base / used:.2f} | {beside}" if base else " | "
        spread = f"{min(result['cpu']):.2f} to {max(result['cpu']):.2f}"
        rate = statistics.median(result["rate"])
        lines.append(
            f"| {result['name']} | {result['shape']} | {used:.2f} | {spread} | {rate:,.0f} |"
            f" {cells} |"
        )
    return "\n".join(lines) + "\n"


def latency(results):
    """Latency at half of capacity, and at a fixed rate."""
    lines = [
        "## Latency\n",
        (
            "In µs, medians of the rounds. Left: h2load at half of the row's throughput above, over"
            " 8 connections (each keeps its own pace; a call's time is from when it was sent)."
            " Right: ghz at 1,000 calls"
        ),
        (
            "a second for every server, sent whether or not earlier ones were answered; its own"
            " cost is in it.\n"
        ),
        "| server | rate | p50 | p99 | p99.9 | ghz p50 | p99 | p99.9 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        cells = []
        for kind in ("half", "fixed"):
            cells += [
                f"{statistics.median(times[at] for times in result[kind]):,.0f}" for at in range(3)
            ]
        reached = statistics.median(result["reached"])
        # Where the pace was not kept, the load was not what the column says.
        note = "" if reached > 0.95 * result["rate"] else f" (reached {reached:,.0f})"
        lines.append(f"| {result['name']} | {result['rate']:,.0f}{note} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def memory(results):
    """Resident memory."""
    lines = [
        "## Memory\n",
        (
            "Resident bytes that the server's process grew by, divided by how many there were; each"
            " in a fresh process. Ratios are kvrpc's divided by the other's. For the connections of"
            " `text`,"
        ),
        "which sign in each, the limit of sign-ins a second was raised.\n",
        "| what | kvrpc, bytes | peer | bytes | ratio |",
        "|---|--:|---|--:|--:|",
    ]
    for result in results:
        ours, other = result["kvrpc"], result["peer_bytes"]
        lines.append(
            f"| {result['what']} | {ours:,.0f} | {result['peer']} | {other:,.0f} |"
            f" {ours / other:.2f} |"
        )
    return "\n".join(lines) + "\n"

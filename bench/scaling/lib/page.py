"""bench/results/scaling.md and its plots."""

import json
import os
import statistics
import subprocess
import sys
import time

from install import ROOT, TOOLS
from reflow import reflow

MATPLOTLIB = "3.10.8"

ABOUT = {
    "keys": (
        "One user's store. A batch shows what the store costs, since little of the way there is"
        " in it."
    ),
    "users": (
        "The calls take turns over all of them, each with its own session and store of 10 keys. One"
        " user alone is found without looking: the server keeps with a connection who called last."
    ),
    "connections": (
        "Gets of one user by h2load, as fast as the answers come. The bare tonic echo, an answer as"
        " long with nothing around it under the same load, shows what of the growth is not kvrpc's:"
        " each call finds the state of its connection, in the system, on both ends, and in HTTP/2,"
        " further from the processor. With 16 calls in flight they share that."
    ),
}


def of(results, dimension):
    """The series of a dimension: name → its points."""
    found = {}
    for result in results:
        if result["dimension"] == dimension:
            found.setdefault(result["series"], []).append(result)
    return found


def growth(base, point):
    """Percentage by which a point costs more than the smallest: the median over the rounds.

    Each round measured both within seconds.
    """
    return (
        statistics.median(cpu / least for cpu, least in zip(point["cpu"], base["cpu"])) - 1
    ) * 100


def size(count):
    """Bytes as people say them."""
    return f"{count >> 20} MiB" if count >> 20 else f"{count >> 10} KiB"


def text(results, memory, options):
    """bench/results/scaling.md."""
    lines = [
        "# What more of it costs",
        "",
        (
            f"Server CPU of an operation. All points of a series take turns, {options.rounds}"
            f" rounds of {options.seconds:g} s each, with their connections open and their clients"
            " halted meanwhile: medians, the middle half of"
        ),
        (
            "the rounds, and the median over the rounds of what a point cost beside the smallest of"
            " the same round. Made by `bench/scaling/run`; all rounds are in"
            " `bench/results/scaling.json`."
        ),
        (
            f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores; server on one, client on the"
            " other. Values of 100 bytes; by keys and users, nine gets to one put in an order"
            " without a pattern. Every answer was checked."
        ),
        "The limits of keys, bytes, sessions and sign-ins were raised.",
        "",
    ]
    for dimension, about in ABOUT.items():
        series = of(results, dimension)
        if not series:
            continue
        lines += [
            f"## {dimension.capitalize()}",
            "",
            about,
            "",
            "| series | "
            + next(iter(series.values()))[0]["label"]
            + " | CPU, µs an operation | middle half | operations a second | beside the smallest |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name, points in series.items():
            for point in points:
                low, middle, high = statistics.quantiles(point["cpu"], n=4)
                rate = statistics.median(point["rate"])
                lines.append(
                    f"| {name} | {point['size']:,} | {middle:.2f} | {low:.2f} to {high:.2f} |"
                    f" {rate:,.0f} | {growth(points[0], point):+.0f} % |"
                )
        lines += ["", f"![CPU of an operation by {dimension}](scaling-{dimension}.svg)", ""]
    lines += [
        "## The machine",
        "",
        (
            "What grows is misses of the processor's caches. A read of a line of memory that nobody"
            " could foresee costs here, by how much memory is in use"
            " (`bench/examples/memory_latency.rs`, before the series and after). It jumps where"
            " what the other programs left of the caches ends."
        ),
        "",
    ]
    lines += [
        "| in use | " + " | ".join(size(count) for count, _ in memory[0]) + " |",
        "|---|" + "--:|" * len(memory[0]),
    ]
    lines += [
        f"| {when}, ns | " + " | ".join(f"{nanoseconds:.0f}" for _, nanoseconds in found) + " |"
        for when, found in zip(("before", "after"), memory)
    ]
    return reflow("\n".join([*lines, ""]))


def plots(results):
    """A plot for each dimension."""
    python = TOOLS / "plots"
    if not (python / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        subprocess.run(
            [python / "bin" / "pip", "install", "--quiet", f"matplotlib=={MATPLOTLIB}"], check=True
        )
    code = """
import json, statistics, sys
import matplotlib
matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kvrpc"})
from matplotlib import pyplot
for dimension, series in json.load(sys.stdin).items():
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for name, points in series.items():
        sizes = [point["size"] for point in points]
        low, middle, high = zip(*(statistics.quantiles(point["cpu"], n=4) for point in points))
        axes.plot(sizes, middle, marker="o", label=name)
        axes.fill_between(sizes, low, high, alpha=0.15)
        axes.set_xlabel(points[0]["label"])
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("server CPU, µs an operation")
    axes.legend()
    figure.tight_layout()
    figure.savefig(f"{sys.argv[1]}/scaling-{dimension}.svg", metadata={"Date": None})
"""
    given = {dimension: of(results, dimension) for dimension in ABOUT if of(results, dimension)}
    subprocess.run(
        [python / "bin" / "python", "-c", code, ROOT / "bench" / "results"],
        input=json.dumps(given),
        text=True,
        check=True,
    )

"""The table: on the terminal, and in docs/faults.md."""

import os
import platform

from server import ROOT

HEAD = ("| attack | door | load | p50 before, beside, during (ms) | p99 before, beside, during (ms) | p99 grew | newcomer (ms) | memory before, peak, after (MiB) "
        "| processor | verdict |\n|---|---|---|---|---|---|---|---|---|---|")
ATTACKS = [
    ("silent", "10,000 connections that say nothing, and 100 new ones a second in place of the oldest"),
    ("slow", "1,000 connections that send a byte a second each, of a request that does not end"),
    ("long", "40 connections a second, each with a frame, line, message, name or header over the limit"),
    ("unread", "400 connections that ask for as much as the door gives, and read nothing of it"),
    ("flood", "20,000 datagrams a second from one address, among them some too long and some that are answers"),
    ("descriptors", "a server with 128 descriptors and 300 clients that speak"),
    ("starved", "a server whose limit of descriptors falls below what it has open, so that each accept fails"),
]


def load(row):
    return ", ".join(f"{value:,} {key}" for key, value in row.load.items())


def line(row):
    (p50, p99), (p50_beside, p99_beside), (p50_during, p99_during) = row.before, row.beside, row.during
    alone = max(p99, p99_beside)
    grew = p99_during / alone if alone else 0
    memory = ", ".join(f"{value:.0f}" for value in row.rss)
    # Those two rows are about one server's descriptors: there is nothing beside.
    beside = (lambda time: f"{time:.2f}") if p99_beside else (lambda time: "–")
    return (f"| {row.attack} | `{row.door}` | {load(row)} | {p50:.2f}, {beside(p50_beside)}, {p50_during:.2f} | {p99:.2f}, {beside(p99_beside)}, {p99_during:.2f} | {grew:.1f} × "
            f"| {row.newcomer:.1f} | {memory} | {row.cpu:.0%} | {row.failure or 'answers'} |")


def write(rows, refused, seconds, load):
    cores = os.cpu_count()
    text = f"""# Faults

What hostile clients do to a server, and to a well-behaved client of the same door. Measured by `tests/faults/run` ({seconds:.0f} s) on a machine with {cores} cores
({platform.system()}), which the server, the attack and the measuring client share, and at a load average of {load:.1f} before it began; `tests/faults/run --quick` is part of CI, and fails if the server
does not live, does not answer rightly afterwards, or takes more memory than it may.

Each row is a new server with one door beside gRPC and the default limits. The well-behaved client asks each 2 ms on a connection that it had before the attack; p50 and
p99 are medians of 4 windows of half a second, so a p99 is the third longest of some 200 and varies by half from run to run. *Before* is measured alone, *beside* while the same attack is on
another server of this machine, *during* while it is on this one: *beside* is what the attack takes of the processors, which a client and a server on machines of their own do not notice. So *p99 grew* is *during* by the longer of the other two. *Newcomer* is the time from a new connection to its first answer during the
attack. *Processor* is the server's time as a share of one core, its work for the well-behaved client among it.

"""
    for name, what in ATTACKS:
        text += f"- **{name}**: {what}.\n"
    text += f"\n{HEAD}\n" + "\n".join(line(row) for row in rows) + "\n"
    text += """
A full door sends the longest silent away: those are among the closed of *silent*, with the hundred a second that the attack itself ends; the client that has spoken keeps its place. At gRPC, silence ends after 3 s.
At *unread* the server makes what a connection may have unread, less the more others have, and waits: nobody has to be closed at gRPC and at the doors that answer in pieces. Where one reply is long (a batch of `pickle`, a frame of `encode`), the attack comes back
as often as it is closed, and gets its next long reply when the one that waited longest has had a tenth of a second to be taken.
What is kept of replies that nobody takes is at most 256 MiB for gRPC and 64 MiB for all socket doors; then whoever has waited longest to be read is closed. The system keeps 16 KiB more for each at a socket door and 64 KiB at gRPC, and what is on its way.

## Web pages

A page can make its visitor's browser send requests to doors on the visitor's own machine. What a door ran is told by `kvrpc_calls`.

| door | request | result | answer |
|---|---|---|---|
""" + "\n".join(refused) + "\n"
    (ROOT / "docs/faults.md").write_text(text)

"""The tables: on the terminal, and in bench/results/faults.md."""

import os
import platform

from server import ROOT

ATTACKS = [
    ("silent", "10,000 connections that say nothing, and 100 new ones a second for the oldest"),
    ("slow", "1,000 connections that send a byte a second each, of a request that does not end"),
    ("long", "40 connections a second, each with a frame, line, message or name over the limit"),
    ("unread", "400 connections that ask for as much as the protocol gives, and read nothing"),
    ("flood", "20,000 datagrams a second from one address, some too long, some answers"),
    ("descriptors", "a server with 128 descriptors and 300 clients that are active"),
    ("starved", "a server whose limit of descriptors falls below what it has open"),
]

HEAD = """# Faults

Effect of hostile clients on a server, and on a well-behaved client of the same protocol.
Measured by `tests/faults/run` ({seconds:.0f} s) on {system} with {cores} cores,
which the server, the attack and the measuring client share,
at a load average of {load:.1f} before it began.
`tests/faults/run --quick` is part of CI: it fails if the server does not live,
does not answer rightly afterwards,
or takes more memory than it may.

Each row is a new server with gRPC, the protocol of the row, and the default limits.

{attacks}
## A well-behaved client

It asks each 2 ms on a connection that it had before the attack.
p50 and p99, in ms, are medians of 4 windows of half a second:
a p99 is the third longest of some 200, and varies by half from run to run.

- *Before* is measured alone.
- *Beside* is measured while the same attack is on another server of this machine:
  it is what the attack takes of the processors,
  which a client and a server on machines of their own do not notice.
- *During* is measured while the attack is on this server.
- *Grew* is the p99 during the attack by the longer of the other two.
- *Newcomer* is the time in ms from a new connection to its first answer during the attack.

| attack | protocol | p50 before, beside, during | p99 before, beside, during | grew | newcomer |
|---|---|---|---|--:|--:|
"""

LOAD = """
## The server

Memory is resident, in MiB, before, at its peak, and after.
*Processor* is the server's time as a share of one core,
its work for the well-behaved client included.

| attack | protocol | load | memory | processor | verdict |
|---|---|---|---|--:|---|
"""

NOTES = """
- When a protocol has as many connections as it may, those that have been silent longest are closed:
  they are among the closed of *silent*, with the hundred a second that the attack itself ends.
  A client that has been active keeps its place.
  Over gRPC, silence ends after 3 s.
- At *unread* the server bounds what a connection may have unread, the less the more others have,
  and waits:
  nobody has to be closed over gRPC and in the protocols that answer in pieces.
  Where one reply is long (a batch of `pickle`, a frame of `encode`),
  the attack comes back as often as it is closed,
  and gets its next long reply when the one that waited longest has had a tenth of a second to be
  taken.
- What is kept of replies that nobody takes is at most 256 MiB for gRPC and 64 MiB for all legacy
  protocols;
  then the connection that has waited longest to be read is closed.
  The system keeps 16 KiB more for each legacy connection and 64 KiB for gRPC,
  and what is on its way.

## Web pages

A page can make its visitor's browser send requests to listeners on the visitor's own machine.
`kvrpc_calls` tells what ran.

| protocol | request | result | answer |
|---|---|---|---|
"""


def load(row):
    return ", ".join(f"{value:,} {key}" for key, value in row.load.items())


def latency(row):
    """A row of the first table."""
    (p50, p99), (p50_beside, p99_beside) = row.before, row.beside
    p50_during, p99_during = row.during
    alone = max(p99, p99_beside)
    grew = p99_during / alone if alone else 0
    # Two rows are about one server's descriptors: there is nothing beside.
    beside = (lambda time: f"{time:.2f}") if p99_beside else (lambda time: "–")
    return (
        f"| {row.attack} | `{row.protocol}` | {p50:.2f}, {beside(p50_beside)}, {p50_during:.2f} "
        f"| {p99:.2f}, {beside(p99_beside)}, {p99_during:.2f} | {grew:.1f} × "
        f"| {row.newcomer:.1f} |\n"
    )


def server(row):
    """A row of the second table."""
    memory = ", ".join(f"{value:.0f}" for value in row.rss)
    return (
        f"| {row.attack} | `{row.protocol}` | {load(row)} | {memory} | {row.cpu:.0%} "
        f"| {row.failure or 'answers'} |\n"
    )


def line(row):
    """A row on the terminal."""
    return latency(row) + server(row).rstrip()


def write(rows, refused, seconds, load_average):
    attacks = "".join(f"- **{name}**: {what}.\n" for name, what in ATTACKS)
    text = HEAD.format(
        seconds=seconds,
        system=platform.system(),
        cores=os.cpu_count(),
        load=load_average,
        attacks=attacks,
    )
    text += "".join(latency(row) for row in rows) + LOAD
    text += "".join(server(row) for row in rows) + NOTES + "\n".join(refused) + "\n"
    (ROOT / "bench/results/faults.md").write_text(text)

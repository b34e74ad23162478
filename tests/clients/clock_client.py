#!/usr/bin/env python3
"""Client of the dialect `clock`, on the server's own machine.

Usage: clock_client.py HOST:PORT [--wait 5]
"""

import datetime
import socket
import sys
import time

from old_client import PATIENCE, arguments, done, expect, show, think

# Answers to one source at once, and in a second.
BURST, PER_SECOND = 100, 100


class Clock:
    """A UDP socket that talks to one server."""

    def __init__(self, options):
        self.options = options
        self.socket = socket.socket(
            socket.AF_INET6 if ":" in options.host else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.socket.settimeout(PATIENCE)
        self.socket.connect((options.host, options.port))

    def ask(self, request):
        """One datagram, one datagram."""
        show(self.options, "clock", "->", request)
        self.socket.send(request)
        try:
            reply = self.socket.recv(1024)
        except TimeoutError:
            sys.exit(f"reply to {request!r}: nothing within {PATIENCE} s")
        show(self.options, "clock", "<-", reply)
        return reply

    def flood(self, count):
        """Sends many at once; how many come back until it is quiet."""
        answers = 0
        self.socket.settimeout(0)
        for _ in range(count):
            self.socket.send(b"x")
            answers += self.waiting()
        self.socket.settimeout(1)
        return answers + self.waiting()

    def waiting(self):
        """How many answers there are to take."""
        answers = 0
        try:
            while self.socket.recv(1024):
                answers += 1
        except OSError:
            return answers


def now(layout):
    """The local time in a layout."""
    return datetime.datetime.now().strftime(layout).encode()


def at(clock, request, layout):
    """Asks for what changes meanwhile: the reply is one of all the answers there were."""
    before = datetime.datetime.now()
    reply = clock.ask(request)
    seconds = int((datetime.datetime.now() - before).total_seconds()) + 2
    right = [
        (before + datetime.timedelta(seconds=second)).strftime(layout).encode()
        for second in range(seconds)
    ]
    if reply not in right:
        sys.exit(f"reply to {request!r}: got {reply!r}, expected one of {right}")


def main():
    """The documented session."""
    options = arguments(__doc__)
    clock = Clock(options)
    think(options)
    at(clock, b"SEND_DATE", "%Y-%m-%d")
    at(clock, b"SEND_TIME", "%H:%M:%S")
    for request in [b"hello", b"x", b"send_date", b"SEND_DATE\n", b"x" * 1024]:
        expect(f"reply to {request[:20]!r}", clock.ask(request), b"Ok")
    # Datagrams that get no answer: one that could be an answer, an empty one, one too long.
    # The next answer is the first that arrives.
    for silent in [b"Ok", now("%Y-%m-%d"), now("%H:%M:%S"), b"", b"x" * 1025]:
        clock.socket.send(silent)
    at(clock, b"SEND_DATE", "%Y-%m-%d")
    since = time.monotonic()
    answers = clock.flood(3_000)
    most = BURST + PER_SECOND * (time.monotonic() - since) + 1
    if not 1 <= answers <= most:
        sys.exit(
            f"3000 datagrams at once: got {answers} answers, expected at least one and at most"
            f" {most:.0f}"
        )
    done("clock")


if __name__ == "__main__":
    main()

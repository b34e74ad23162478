#!/usr/bin/env python3
"""Relay that prints each segment that passes, with the number of its connection.

Usage: relay.py LISTEN_HOST:PORT TARGET_HOST:PORT [--find WORD]...
Point a client at the first address. With --find it prints no segments, but for each connection
that ends the number of bytes that passed, and of occurrences of each word in clear text.
"""

import argparse
import itertools
import selectors
import socket
import threading

# How much of a segment is printed.
SHOWN = 200
NUMBERS = itertools.count(1)


def address(text):
    """HOST:PORT as a pair."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Relay:
    """One connection of a client, and one to the server."""

    def __init__(self, client, target, words):
        self.ends = {client: socket.create_connection(target)}
        self.ends[self.ends[client]] = client
        self.client = client
        self.number = next(NUMBERS)
        self.words = words
        self.passed = {client: b"", self.ends[client]: b""}

    def run(self):
        """Until both sides have said their last."""
        selector = selectors.DefaultSelector()
        for end in self.ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                if not self.relay(key.fileobj):
                    selector.unregister(key.fileobj)
        for end in self.ends:
            end.close()
        if self.words:
            self.report()

    def relay(self, end):
        """Passes one segment on; whether more may come."""
        try:
            segment = end.recv(65_536)
            self.ends[end].sendall(segment)
        except OSError:
            segment = b""
        self.passed[end] += segment
        if not self.words:
            self.show("->" if end is self.client else "<-", segment)
        if not segment:
            try:
                self.ends[end].shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return bool(segment)

    def show(self, direction, segment):
        """A line for a segment, or for the end of a direction."""
        what = f"{segment[:SHOWN]!r}{'…' if len(segment) > SHOWN else ''}" if segment else "end"
        print(self.number, direction, what, flush=True)

    def report(self):
        """What of the words could be read."""
        sent, got = self.passed[self.client], self.passed[self.ends[self.client]]
        found = ", ".join(f"{word}: {(sent + got).count(word.encode())}" for word in self.words)
        print(f"-> {len(sent)} bytes  <- {len(got)} bytes  in the clear: {found}", flush=True)


def main():
    """Relays until it is stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("listen", type=address)
    parser.add_argument("target", type=address)
    parser.add_argument("--find", action="append", default=[])
    options = parser.parse_args()
    with socket.create_server(options.listen) as server:
        while True:
            relay = Relay(server.accept()[0], options.target, options.find)
            threading.Thread(target=relay.run, daemon=True).start()


if __name__ == "__main__":
    main()

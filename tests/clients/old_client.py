"""Behaviour of the old clients: typing pauses, no newline, one recv(1024) for each reply.

A reply that comes in pieces, late, or with a byte too many ends the script, which prints the bytes
that it received and those that it expected.
"""

import argparse
import signal
import socket
import sys
import time

# Time that a person takes to type, in seconds, where --wait says less: longer than the pause that
# ends a request.
QUICKEST = 0.2
# How long a reply may take, and how long all of a script, in seconds.
PATIENCE = 20
WHOLE_SESSION = 150


def arguments(description):
    """The command line of every client."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("address", help="HOST:PORT of the listener")
    parser.add_argument("--wait", type=float, default=5, help="seconds at each prompt (5)")
    parser.add_argument(
        "--policy",
        choices=["managers", "open"],
        default="managers",
        help="the server's --upgrade-policy",
    )
    parser.add_argument("--show", action="store_true", help="print what is sent and received")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    options.host, options.port = host.strip("[]"), int(port)
    signal.alarm(WHOLE_SESSION)
    return options


def think(options):
    """A person at the prompt."""
    time.sleep(max(options.wait, QUICKEST))


def show(options, who, direction, segment):
    """With --show, a line for a segment, or for the server's end."""
    if options.show:
        print(who, direction, f"{segment[:200]!r}{'…' if len(segment) > 200 else ''}")


def expect(what, got, wanted):
    """Ends the script unless these are the same."""
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, expected {wanted!r}")


def done(name):
    """The last line of a session that went as it should."""
    print(f"{name}: ok")


class Client:
    """A connection over TCP."""

    def __init__(self, options):
        self.socket = socket.create_connection((options.host, options.port), timeout=PATIENCE)
        self.options = options

    @property
    def name(self):
        """Name that the `text` protocol gives this client: its own port."""
        return str(self.socket.getsockname()[1])

    def send(self, request):
        """Sends in one segment."""
        show(self.options, self.name, "->", request)
        self.socket.sendall(request)

    def receive(self, what="a reply"):
        """What one recv(1024) gives; nothing when the server has closed."""
        try:
            reply = self.socket.recv(1024)
        except TimeoutError:
            sys.exit(f"{what}: nothing within {PATIENCE} s")
        show(self.options, self.name, "<-", reply)
        return reply

    def ask(self, request, wanted):
        """One request, one reply."""
        self.send(request)
        expect(f"reply to {request[:80]!r}", self.receive(f"reply to {request[:80]!r}"), wanted)

    def expect_closed(self, after):
        """The server ends the connection, and says nothing more."""
        expect(f"after {after}", self.receive(f"end after {after}"), b"")

    def rest(self):
        """Ends the sending side, as nc does with its input.

        Returns everything received until the server ends its side.
        """
        self.socket.shutdown(socket.SHUT_WR)
        return b"".join(iter(self.receive, b""))

    def close(self):
        """Leaves."""
        self.socket.close()

"""A WebSocket connection that is used as the old clients use theirs: one message, one answer."""

import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from old_client import PATIENCE, expect


class WebSocket:
    """A connection."""

    def __init__(self, options):
        self.connection = connect(f"ws://{options.address}/", open_timeout=PATIENCE)

    def send(self, message):
        """Sends text as a text message, bytes as a binary one."""
        self.connection.send(message)

    def receive(self, what="an answer"):
        """The next message: a string if it is a text message, bytes if it is a binary one."""
        try:
            return self.connection.recv(timeout=PATIENCE)
        except TimeoutError:
            sys.exit(f"{what}: nothing within {PATIENCE} s")
        except ConnectionClosed as closed:
            sys.exit(f"{what}: got an end ({closed})")

    def ask(self, request, wanted):
        """One request, one answer of the same kind of message."""
        self.send(request)
        expect(f"answer to {request[:80]!r}", self.receive(f"answer to {request[:80]!r}"), wanted)

    def expect_closed(self, after, code=1000):
        """The server closes with this code, and says nothing more."""
        try:
            expect(f"after {after}", self.connection.recv(timeout=PATIENCE), "the end")
        except TimeoutError:
            sys.exit(f"after {after}: no end within {PATIENCE} s")
        except ConnectionClosed as closed:
            expect(f"after {after}, the code", closed.rcvd.code if closed.rcvd else None, code)

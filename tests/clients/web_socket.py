"""A WebSocket connection that is used as the old clients use theirs: one message, one answer."""

import atexit
import contextlib
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from old_client import PATIENCE, expect, show

# Closes what is still open when the script ends.
OPEN = contextlib.ExitStack()
atexit.register(OPEN.close)


class WebSocket:
    """A connection."""

    def __init__(self, options):
        self.options = options
        self.connection = OPEN.enter_context(
            connect(f"ws://{options.address}/", open_timeout=PATIENCE)
        )
        # What --show calls it.
        self.name = str(self.connection.local_address[1])

    def send(self, message):
        """Sends text as a text message, bytes as a binary one."""
        show(self.options, self.name, "->", message)
        self.connection.send(message)

    def receive(self, what="an answer"):
        """The next message: a string if it is a text message, bytes if it is a binary one."""
        try:
            message = self.connection.recv(timeout=PATIENCE)
        except TimeoutError:
            sys.exit(f"{what}: nothing within {PATIENCE} s")
        except ConnectionClosed as closed:
            sys.exit(f"{what}: got an end ({closed})")
        show(self.options, self.name, "<-", message)
        return message

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
            show(self.options, self.name, "<-", str(closed))
            expect(f"after {after}, the code", closed.rcvd.code if closed.rcvd else None, code)

#!/usr/bin/env python3
"""Client of the dialect `ws-text`.

Usage: ws_text_client.py HOST:PORT [--wait 5] [--policy managers]
Needs the package websockets. The server has the account `adam`.
"""

from old_client import arguments, done, think
from web_socket import WebSocket

DENIED = b"you are not allowed to access keys of other users"
FORMAT = "wrong message format"


def main():
    """The documented session, with another client whose store it asks for."""
    options = arguments(__doc__)
    other, client = WebSocket(options), WebSocket(options)
    think(options)
    other.ask("amartya2", "success")
    other.ask("put x y", "done")
    for request, answer in [
        ("amartya2", "duplicate user name"),
        ("Amartya2", "duplicate user name"),
        ("adam", "duplicate user name"),
        ("5", "invalid user name"),
        ("", "invalid user name"),
        ("a\tb", "invalid user name"),
        ("amartya1", "success"),
        ("put a b", "done"),
        ("get a", "b"),
        ("get c", "key not found"),
        ("  get   a ", "b"),
        # Itself is served; others are denied before anybody looks whether they exist.
        ("get amartya1 a", "b"),
        ("get amartya1 c", "key not found"),
        ("get amartya2 x", DENIED),
        ("get nobody x", DENIED),
        # A key like any other.
        ("put role manager", "done"),
        ("get role", "manager"),
        ("get amartya2 x", DENIED),
        ("hello", FORMAT),
        ("", FORMAT),
        ("put a", FORMAT),
        ("put a b c", FORMAT),
        ("get", FORMAT),
        ("get a b c", FORMAT),
        ("GET a", FORMAT),
        ("q now", FORMAT),
        ("get " + "k" * 1025, "error: key has 1025 bytes; at most 1,024 are allowed"),
    ]:
        client.ask(request, answer)
    if options.policy == "open":
        for request, answer in [
            ("upgrade me please", "upgraded to manager"),
            ("upgrade", "already a manager"),
            ("get amartya2 x", "y"),
            ("get amartya2 z", "key not found"),
            ("get nobody x", "user not found"),
            # Who made itself a manager reads no account's store.
            ("get adam x", DENIED),
        ]:
            client.ask(request, answer)
    else:
        client.ask("upgrade", "you are not allowed to upgrade")
        client.ask("get amartya2 x", DENIED)
    client.ask("q", "exiting")
    client.expect_closed("q")
    # The name is free again, and the store is not what it was.
    again = WebSocket(options)
    think(options)
    again.ask("amartya1", "success")
    again.ask("get a", "key not found")
    other.ask("get x", "y")
    done("ws-text")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Table of the replies that each kind of client gets over each protocol.

Usage: wrong_protocol.py text=HOST:PORT pickle=HOST:PORT ...
The addresses are those of the server's line `ready: ...`, without clock, which is UDP.
"""

import concurrent.futures
import itertools
import pickle
import socket
import ssl
import struct
import sys
import time

# Pause of a person between two sends, and time for the server to close by itself, in seconds.
PAUSE, PATIENCE = 0.3, 7
SHOWN = 60

WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def client_hello():
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


# Messages of each client, as a person would type them; NAME is different each time.
CLIENTS = {
    "`text`": [b"put city Kolkata"],
    "`pickle`": [b"NAME", pickle.dumps([{"method": "get", "key": "city"}], 2)],
    "`ws-…`": [WEBSOCKET],
    "`encode`": [struct.pack(">I", 4) + b"comm"],
    "`hello`": [b"knock knock"],
    "`calc`": [b"NAME", b"12 + 13"],
    "`chat`": [b"NAME", b"hello"],
    "a browser": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    "gRPC": [HTTP2],
    "gRPC with TLS": [client_hello()],
}
NUMBERS = itertools.count()


def ask(address, messages):
    """Sends the messages in turn.

    Returns all received bytes, and the seconds until the server closed, or None if it did not.
    """
    host, _, port = address.rpartition(":")
    name = b"visitor%d" % next(NUMBERS)
    got = b""
    since = time.monotonic()
    with socket.create_connection((host.strip("[]"), int(port))) as client:
        for index, message in enumerate(messages, 1):
            client.settimeout(PATIENCE if index == len(messages) else PAUSE)
            try:
                client.sendall(message.replace(b"NAME", name))
                while part := client.recv(65_536):
                    got += part
            except TimeoutError:
                continue
            except OSError:
                pass
            return got, time.monotonic() - since
    return got, None


def shown(got, closed):
    """A cell of the table."""
    if got.startswith(b"HTTP/"):
        words = got.split(b"\r\n", 1)[0].decode()
    else:
        # What can be read of it.
        words = "".join(
            chr(byte) if 32 <= byte < 127 else "\\n" if byte == 10 else "." for byte in got
        )
    words = f"`{words[:SHOWN]}{'…' if len(words) > SHOWN else ''}`" if words else "nothing"
    if closed is None:
        return words
    return words + (", closed" if closed < 1.5 else f", closed after {closed:.0f} s")


def columns(addresses):
    """Replies to each client, by protocol.

    The clients take turns; each tries all protocols at once, since many take seconds to reply.
    """
    cells = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for client, said in CLIENTS.items():
            # Not these at once: a name that is used over one is taken over the other.
            for together in [set(addresses) - {"pickle"}, set(addresses) & {"pickle"}]:
                asked = {
                    protocol: pool.submit(ask, addresses[protocol], said) for protocol in together
                }
                cells.update(
                    {(protocol, client): shown(*asked[protocol].result()) for protocol in together}
                )
    return cells


def main():
    """Prints the table, a row for each reply over a protocol."""
    addresses = dict(pair.split("=", 1) for pair in sys.argv[1:])
    for name in ("clock", "admin"):
        addresses.pop(name, None)
    cells = columns(addresses)
    print("| protocol | what comes | to the client of |\n|---|---|---|")
    for protocol in addresses:
        answers = {}
        for client in CLIENTS:
            answers.setdefault(cells[protocol, client], []).append(client)
        for answer, clients in answers.items():
            print(f"| `{protocol}` | {answer} | {', '.join(clients)} |")


if __name__ == "__main__":
    main()

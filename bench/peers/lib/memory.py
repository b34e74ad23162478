"""Resident memory per key, per idle stream and per idle connection, each in a fresh process."""

import re
import selectors
import socket
import tempfile
import time

import grpc
import servers
from subjects import KEY_VALUE, VALUE, need, sign_in
from wire import field, fields, h2, open_stream

KEYS = 1_000_000
BATCH = 1_000
CONNECTIONS = 5_000
AT_ONCE = 32
DEADLINE_SECONDS = 60


def all_of(only):
    """Every comparison whose name fits."""
    comparisons = [
        (
            "a key of 16 bytes with a value of 100, at 1,000,000",
            keys_kvrpc,
            "redis-server",
            keys_redis,
        ),
        (
            "an idle gRPC connection with an open Watch, at 5,000",
            watch_kvrpc,
            "etcd Watch",
            watch_etcd,
        ),
        (
            "an idle connection of `text` after a command, at 5,000",
            text_kvrpc,
            "redis-server",
            client_redis,
        ),
    ]
    results = []
    for what, ours, peer, theirs in comparisons:
        if re.search(only, f"memory {what} kvrpc {peer}"):
            results.append(
                {"what": what, "kvrpc": round(ours()), "peer": peer, "peer_bytes": round(theirs())}
            )
            print("memory:", results[-1], flush=True)
    return results


def key(number):
    """16 bytes."""
    return f"key:{number:012}"


def grown(start, fill, count):
    """Bytes for each that a fresh server's memory grew by."""
    server = start()
    try:
        before = server.resident()
        kept = fill(server)
        after = server.resident()
        for connection in kept or []:
            connection.close()
        return (after - before) / count
    finally:
        server.stop()


def keys_kvrpc():
    """Puts of batches, and the count that the server then tells."""

    def fill(server):
        with grpc.insecure_channel(server.address) as channel:
            metadata = (("authorization", f"Bearer {sign_in(server.address)}"),)
            put = channel.unary_unary(KEY_VALUE + "Batch")
            for first in range(0, KEYS, BATCH):
                operations = (
                    field(2, field(1, key(number)) + field(2, VALUE))
                    for number in range(first, first + BATCH)
                )
                answer = put(
                    b"".join(field(1, operation) for operation in operations),
                    metadata=metadata,
                    timeout=30,
                )
                need(
                    len([1 for number, _ in fields(answer) if number == 1]) == BATCH,
                    "a batch lacks results",
                )
            last = channel.unary_unary(KEY_VALUE + "Get")(
                field(1, key(KEYS - 1)), metadata=metadata, timeout=10
            )
            got = dict(fields(last))
            need(got[1] == VALUE.encode() and got[3] == KEYS, f"the last key is {got}")

    return grown(servers.kvrpc, fill, KEYS)


def keys_redis():
    """SETs in pipelines, and DBSIZE."""

    def fill(server):
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port))) as connection, connection.makefile(
            "rb"
        ) as answers:
            for first in range(0, KEYS, BATCH):
                commands = (
                    f"*3\r\n$3\r\nSET\r\n$16\r\n{key(number)}\r\n${len(VALUE)}\r\n{VALUE}\r\n"
                    for number in range(first, first + BATCH)
                )
                connection.sendall("".join(commands).encode())
                need(answers.read(5 * BATCH) == b"+OK\r\n" * BATCH, "a SET failed")
            connection.sendall(b"DBSIZE\r\n")
            size = answers.readline()
            need(size == f":{KEYS}\r\n".encode(), f"DBSIZE is {size!r}")

    return grown(servers.redis, fill, KEYS)


def open_all(server, greeting, is_ready, answer_pings=False):
    """Opens all connections, and waits until each had its first answer.

    Stays connected, and answers pings.
    """
    host, port = server.address.split(":")
    selector, kept, ready = selectors.DefaultSelector(), [], 0
    received = {}

    def read(timeout):
        nonlocal ready
        for entry, _ in selector.select(timeout):
            connection = entry.fileobj
            piece = connection.recv(65536)
            need(piece, f"{server.name} closed a connection after {received[connection]!r}")
            if answer_pings and (at := piece.find(b"\0\0\x08\x06\0\0\0\0\0")) >= 0:
                connection.sendall(h2(6, 1, 0, piece[at + 9 : at + 17]))
            if received[connection] is None:
                continue
            received[connection] += piece
            if is_ready(received[connection]):
                received[connection] = None
                ready += 1
                if answer_pings:
                    connection.sendall(h2(4, 1, 0))

    deadline = time.monotonic() + DEADLINE_SECONDS
    for opened in range(CONNECTIONS):
        # A server may refuse a burst of connections that it cannot take up.
        while opened - ready >= AT_ONCE and time.monotonic() < deadline:
            read(0.2)
        connection = socket.create_connection((host, int(port)), 10)
        received[connection] = b""
        selector.register(connection, selectors.EVENT_READ)
        connection.sendall(greeting)
        kept.append(connection)
        read(0)
    while ready < CONNECTIONS:
        need(
            time.monotonic() < deadline,
            f"{ready} of {CONNECTIONS} connections to {server.name} had an answer",
        )
        read(0.2)
    # What was only needed for the beginning may go.
    calm = time.monotonic() + 2
    while time.monotonic() < calm:
        read(0.2)
    return kept


def has_data(received):
    """Whether there is a whole DATA frame of stream 1 with something in it."""
    at = 0
    while at + 9 <= len(received):
        length = int.from_bytes(received[at : at + 3], "big")
        if at + 9 + length > len(received):
            return False
        if received[at + 3] == 0 and length > 5:
            return True
        # An answer that ends the stream is an error.
        need(not (received[at + 3] == 1 and received[at + 4] & 1), "the stream ended")
        at += 9 + length
    return False


def watch_kvrpc():
    """A Watch of one's own store on each connection."""

    def fill(server):
        headers = {"authorization": f"Bearer {sign_in(server.address)}"}
        return open_all(
            server, open_stream(server.address, KEY_VALUE + "Watch", b"", headers), has_data, True
        )

    return grown(servers.kvrpc, fill, CONNECTIONS)


def watch_etcd():
    """A Watch of one key on each connection (WatchRequest.create_request = 1, its key = 1)."""

    def fill(server):
        greeting = open_stream(
            server.address, "/etcdserverpb.Watch/Watch", field(1, field(1, "key")), {}
        )
        return open_all(server, greeting, has_data, True)

    return grown(servers.etcd, fill, CONNECTIONS)


def text_kvrpc():
    """The listener `text`, after a get that finds nothing.

    Each connection signs in. At the default of 100 a second, the first connections would be closed
    for idleness before the last is open.
    """

    def fill(server):
        server.address = re.search(r"text=(\S+)", server.log.decode()).group(1)
        return open_all(server, b"get key\n", lambda got: got == b"<blank>\n")

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
        settings.write(f"[limits]\nsign-ins-per-second = {10 * CONNECTIONS}\n")
        settings.flush()
        return grown(lambda: servers.kvrpc("--config", settings.name), fill, CONNECTIONS)


def client_redis():
    """A Redis client after the same."""
    return grown(
        servers.redis,
        lambda server: open_all(server, b"GET key\r\n", lambda got: got == b"$-1\r\n"),
        CONNECTIONS,
    )

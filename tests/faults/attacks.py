"""One hostile client, in its own process: `attacks.py ATTACK PROTOCOL HOST PORT COUNT`.

Prints `ready` when it has begun, goes on until its standard input ends or its time is up, and
prints its result as JSON. Its load is bounded, so that the server is measured and not the want of
cores.
"""

import errno
import json
import os
import pickle
import select
import socket
import struct
import sys
import time

import clients
from server import raise_descriptors

SOURCES = ["127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"]
LONGEST = 60.0
BIG = 60_000


class Peers:
    """Many connections, each opened again when the server has closed it, at a bounded rate."""

    def __init__(self, protocol, address, count, per_second, opening, receive_buffer=None):
        self.protocol, self.address, self.count, self.per_second = (
            protocol,
            address,
            count,
            per_second,
        )
        self.opening, self.receive_buffer = opening, receive_buffer
        self.epoll, self.open, self.waiting = select.epoll(), {}, {}
        self.opened = self.closed = self.failed = 0
        self.heard = b""
        self.allowance, self.last = float(per_second), time.monotonic()

    def add(self):
        stream = socket.socket()
        try:
            if self.receive_buffer:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            # The kernel chooses the port at connect, so that each source has all of them.
            stream.setsockopt(socket.IPPROTO_IP, 24, 1)
            stream.bind((SOURCES[self.opened % len(SOURCES)], 0))
            stream.settimeout(5)
            stream.connect(self.address)
            words = self.opening(self)
            if words.startswith(b"GET /"):
                # No word of the dialect before the handshake is done.
                head, words = words.split(b"\r\n\r\n", 1)
                stream.sendall(head + b"\r\n\r\n")
                stream.recv(4096)
            stream.setblocking(False)
        except OSError:
            self.failed += 1
            stream.close()
            return
        self.opened += 1
        self.open[stream.fileno()] = stream
        self.waiting[stream.fileno()] = words
        # Unread replies are to stay unread: only the close is of interest.
        self.epoll.register(
            stream.fileno(), select.EPOLLRDHUP | (0 if self.receive_buffer else select.EPOLLIN)
        )
        self.push(stream.fileno())

    def push(self, number, most=1 << 20):
        """Sends more of what a connection has to say, as far as the server takes it."""
        rest = self.waiting.get(number)
        try:
            if rest:
                self.waiting[number] = rest[self.open[number].send(rest[:most]) :]
        except BlockingIOError:
            pass
        except OSError:
            self.drop(number)

    def drop(self, number):
        self.closed += 1
        self.waiting.pop(number, None)
        self.open.pop(number).close()

    def keep(self):
        """Takes note of what was closed, and opens what is missing."""
        for number, event in self.epoll.poll(0):
            if number not in self.open:
                continue
            gone = event & (select.EPOLLHUP | select.EPOLLERR)
            if event & select.EPOLLIN and not gone:
                try:
                    got = self.open[number].recv(65536)
                    self.heard = (self.heard + got)[:200]
                    gone = not got
                except OSError as error:
                    gone = error.errno not in (errno.EAGAIN, errno.EINTR)
            if gone or (event & select.EPOLLRDHUP and self.receive_buffer):
                self.drop(number)
        now = time.monotonic()
        self.allowance = min(
            self.allowance + (now - self.last) * self.per_second, self.per_second / 10 + 1
        )
        self.last = now
        while len(self.open) < self.count and self.allowance >= 1:
            self.allowance -= 1
            self.add()

    def fill(self, seconds):
        """Opens all of them as fast as that goes."""
        end, before = time.monotonic() + seconds, self.per_second
        while len(self.open) < self.count and time.monotonic() < end and self.failed < 1000:
            self.add()
        self.per_second, self.allowance = before, 0.0

    def stats(self):
        return {
            "held": len(self.open),
            "opened": self.opened,
            "closed": self.closed,
            "failed": self.failed,
        }


def handshake():
    head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return (
        head + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def turns(seconds=0.005):
    """Until nobody wants more: the standard input has ended, or it was too long."""
    print("ready", flush=True)
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        readable, _, _ = select.select([sys.stdin], [], [], seconds)
        if readable and not os.read(0, 1024):
            return
        yield


def silent(protocol, address, count):
    """Connects and says nothing; 100 new ones a second go on coming, in place of the oldest."""
    peers = Peers(protocol, address, count, 500, lambda _: b"")
    peers.fill(20)
    oldest = time.monotonic()
    for _ in turns():
        peers.keep()
        while time.monotonic() - oldest > 0.01 and peers.open:
            oldest += 0.01
            peers.drop(next(iter(peers.open)))
    return peers.stats()


def slow_words(protocol):
    """What is said a byte at a time: a request that does not end."""
    if protocol == "grpc":
        return clients.PREFACE
    if protocol in ("encode", "decode"):
        return struct.pack(">I", 65_536) + b"0" * 1000
    if protocol.endswith("pickle"):
        head = b"slow\n" if protocol == "pickle" else b""
        return head + b"\x80\x02]X" + struct.pack("<I", 60_000) + b"a" * 1000
    return b"put a " + b"a" * 1000


def slow(protocol, address, count):
    """Each connection sends a byte a second; at a WebSocket, half of them after the handshake."""

    def opening(peers):
        if protocol.startswith("ws-") and peers.opened % 2:
            return (
                handshake()
                + clients.ws_frame(clients.name("slow").encode())
                + b"\x82\xfe\xea\x60"
            )
        return b""

    peers = Peers(protocol, address, count, 500, opening)
    peers.fill(10)
    said, ring, sent = {}, [], 0
    began = time.monotonic()
    for _ in turns():
        peers.keep()
        while sent < (time.monotonic() - began) * count:
            sent += 1
            ring = ring or list(peers.open)
            if not ring:
                break
            number = ring.pop()
            if number not in peers.open:
                continue
            words = handshake() if protocol.startswith("ws-") else slow_words(protocol)
            said[number] = at = said.get(number, -1) + 1
            peers.waiting[number] = words[at % len(words) :][:1]
            peers.push(number)
    return {**peers.stats(), "bytes": sent}


def too_long(protocol):
    """What is over the protocol's limits, in turn."""
    if protocol == "grpc":
        hello = clients.PREFACE + clients.SETTINGS
        yield hello + clients.call(b"/kvrpc.v1.ClockService/Now", 1, more=[(b"x", b"a" * 16_000)])
        yield (
            hello
            + clients.h2_frame(1, 0, 1, b"\0" * 16_384)
            + clients.h2_frame(9, 0, 1, b"\0" * 16_384) * 64
        )
        yield hello + struct.pack(">I", 1 << 23)[1:] + b"\0\0\0\0\0\1" + b"a" * 65_536
        yield b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"
    elif protocol in ("encode", "decode"):
        yield struct.pack(">I", 65_537) + b"0" * 65_537
        yield struct.pack(">i", -1) + b"0" * 1000
        yield struct.pack(">I", 0x7FFFFFFF) + b"0" * 100_000
    elif protocol == "pickle":
        yield b"long\n" + pickle.dumps(["a" * 70_000], 2)
        yield b"long\n\x80\x02" + b"(" * 60_000
        yield b"long\n\x80\x02X" + struct.pack("<I", 1 << 31) + b"a" * 60_000
        yield b"n" * 70_000
    elif protocol.startswith("ws-"):
        named = handshake() + clients.ws_frame(clients.name("long").encode())
        yield named + clients.ws_frame(b"a" * 70_000, True)
        yield named + clients.ws_frame(b"a" * 300_000, True)
        yield named + b"\x81\xff" + struct.pack(">Q", 1 << 62) + b"a" * 1000
        yield handshake()[:-2] + b"X: " + b"a" * 100_000
    else:
        yield b"a" * 70_000
        yield b"a" * 65_537 + b"\n"


def long(protocol, address, count):
    """Connections at a rate, each with one oversized item; reads the answer and closes."""
    done = heard = 0
    began = time.monotonic()
    for _ in turns():
        while done < (time.monotonic() - began) * count:
            kinds = list(too_long(protocol))
            try:
                stream = clients.connect(address, SOURCES[done % len(SOURCES)], 2)
                stream.sendall(kinds[done % len(kinds)])
                heard += bool(stream.recv(4096))
                stream.close()
            except OSError:
                # Closed while it spoke: that is an answer too.
                heard += 1
            done += 1
    return {"sent": done, "answered": heard}


def much(protocol, address):
    """Requests for as much as the protocol gives, again and again."""
    if protocol == "text":
        return b"put b " + b"b" * BIG + b"\n" + (b"get b " * 80 + b"\n") * 200
    if protocol == "encode":
        return clients.frame(b"a" * 65_536) * 100
    if protocol == "decode":
        return clients.frame(b"01100001 " * 7_000 + b"0") * 100
    if protocol.endswith("pickle"):
        put = pickle.dumps([{"method": "put", "key": "b", "value": "b" * BIG}], 2)
        get = pickle.dumps([{"method": "get", "key": "b"}] * 80, 2)
        who = clients.name("greedy").encode()
        if protocol == "pickle":
            return who + b"\n" + put + get * 200
        return (
            handshake()
            + clients.ws_frame(who)
            + clients.ws_frame(put, True)
            + clients.ws_frame(get, True) * 200
        )
    if protocol == "ws-text":
        said = clients.ws_frame(clients.name("greedy").encode()) + clients.ws_frame(
            b"put b " + b"b" * BIG
        )
        return handshake() + said + clients.ws_frame(b"get b") * 2_000
    if protocol == "chat":
        return clients.name("deaf").encode() + b"\n"
    return (b"x" if protocol == "hello" else b"n") + b"\n1 + 1\n" * 100_000


def token(address):
    """A session over gRPC with a big value in its store."""
    client = clients.Grpc(address, SOURCES[0])
    reply = client.ask(
        b"/kvrpc.v1.AuthService/SignIn", clients.string(1, clients.name("greedy").encode())
    )
    token = reply[2 : 2 + reply[1]]
    client.stream.sendall(
        clients.call(
            b"/kvrpc.v1.KeyValueService/Put",
            client.id,
            clients.string(1, b"b") + clients.string(2, b"b" * BIG),
            [(b"authorization", b"Bearer " + token)],
        )
    )
    client.id += 2
    client.ask()
    return token


def unread(protocol, address, count):
    """Asks for much, and reads nothing."""
    if protocol == "grpc":
        bearer = [(b"authorization", b"Bearer " + token(address))]
        window = clients.h2_frame(4, 0, 0, struct.pack(">HI", 4, 0x7FFFFFFF))
        window += clients.h2_frame(8, 0, 0, struct.pack(">I", 0x7FFF0000))
        gets = [
            clients.call(
                b"/kvrpc.v1.KeyValueService/Get", 1 + 2 * at, clients.string(1, b"b"), bearer
            )
            for at in range(120)
        ]
        words = clients.PREFACE + window + b"".join(gets)
    else:
        words = None
    peers = Peers(
        protocol,
        address,
        count,
        200,
        lambda _: words or much(protocol, address),
        receive_buffer=4096,
    )
    peers.fill(5)
    speaker = None
    if protocol == "chat":
        speaker = clients.connect(address, SOURCES[3])
        speaker.sendall(clients.name("loud").encode() + b"\n")
    said = 0
    for _ in turns():
        peers.keep()
        for number in list(peers.open):
            peers.push(number)
        if speaker and said < 50 * LONGEST:
            said += 1
            speaker.sendall(b"a" * 2_000 + b"\n")
    return peers.stats()


def flood(protocol, address, count):
    """So many datagrams a second from one address."""
    stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.bind((SOURCES[0], 0))
    stream.setblocking(False)
    words = [b"SEND_TIME", b"SEND_DATE", b"x", b"a" * 1400, b"Ok"]
    began, sent = time.monotonic(), 0
    for _ in turns(0.002):
        while sent < (time.monotonic() - began) * count:
            try:
                stream.sendto(words[sent % len(words)], address)
            except BlockingIOError:
                pass
            sent += 1
        try:
            while True:
                stream.recv(64)
        except BlockingIOError:
            pass
    return {"sent": sent}


ATTACKS = {"silent": silent, "slow": slow, "long": long, "unread": unread, "flood": flood}


def main():
    _, attack, protocol, host, port, count = sys.argv
    raise_descriptors(60_000)
    print(json.dumps(ATTACKS[attack](protocol, (host, int(port)), int(count))), flush=True)


if __name__ == "__main__":
    main()

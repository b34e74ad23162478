"""One well-behaved client for each protocol: it asks, checks the answer, and is timed."""

import base64
import os
import pickle
import re
import socket
import struct
import time

# Loopback's whole network is this machine: each part of the test has an address of its own.
SOURCE = "127.0.0.9"
PATIENCE = 10.0


def connect(address, source=SOURCE, patience=PATIENCE):
    stream = socket.create_connection(address, timeout=patience, source_address=(source, 0))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def exactly(stream, length):
    got = b""
    while len(got) < length:
        part = stream.recv(length - len(got))
        if not part:
            raise ConnectionError("closed")
        got += part
    return got


class Line:
    """A dialect of lines: what is said first, a request, and its answer."""

    def __init__(self, address, source=SOURCE, first=b"", request=b"", answer=b""):
        self.stream, self.request, self.answer = connect(address, source), request, answer
        if first:
            self.stream.sendall(first)

    def ask(self):
        self.stream.sendall(self.request)
        got = exactly(self.stream, len(self.answer))
        if got != self.answer:
            raise ValueError(f"{self.request!r} was answered by {got!r}")

    def close(self):
        self.stream.close()


class Text(Line):
    def __init__(self, address, source=SOURCE):
        super().__init__(
            address,
            source,
            request=b"put city Kolkata get city\n",
            answer=b"Successfully set city as Kolkata\nKolkata\n",
        )


class Hello(Line):
    def __init__(self, address, source=SOURCE):
        super().__init__(address, source, request=b"knock\n", answer=b"Whose there?\n")


class Calc(Line):
    def __init__(self, address, source=SOURCE):
        super().__init__(
            address, source, first=b"somebody\n", request=b"12 + 13\n", answer=b"25.0\n"
        )


class Encode(Line):
    def __init__(self, address, source=SOURCE):
        super().__init__(address, source, request=frame(b"hi"), answer=frame(b"01101000 01101001"))


class Decode(Line):
    def __init__(self, address, source=SOURCE):
        super().__init__(address, source, request=frame(b"01101000 01101001"), answer=frame(b"hi"))


def frame(text):
    return struct.pack(">I", len(text)) + text


def name(kind="good"):
    return f"{kind}-{os.urandom(6).hex()}"


class Pickle(Line):
    def __init__(self, address, source=SOURCE):
        requests = [
            {"method": "put", "key": "city", "value": "Kolkata"},
            {"method": "get", "key": "city"},
        ]
        super().__init__(address, source, first=name().encode(), request=pickle.dumps(requests, 2))

    def ask(self):
        self.stream.sendall(self.request)
        got = b""
        while not got.endswith(b"."):
            part = self.stream.recv(4096)
            if not part:
                raise ConnectionError("closed")
            got += part
        if pickle.loads(got) != ["Successful", "Kolkata"]:
            raise ValueError(f"answered by {got!r}")


class Chat:
    """Two members: what one says, the other hears."""

    def __init__(self, address, source=SOURCE):
        self.hearer, self.speaker = connect(address, source), connect(address, source)
        self.name, self.said, self.rest = name(), 0, b""
        self.hearer.sendall(name().encode() + b"\n")
        time.sleep(0.05)
        self.speaker.sendall(self.name.encode() + b"\n")
        self.hear(f"{self.name} has joined the chat.".encode())

    def hear(self, wanted):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            *lines, self.rest = self.rest.split(b"\n")
            if wanted in lines:
                return
            part = self.hearer.recv(65536)
            if not part:
                raise ConnectionError("closed")
            self.rest += part
        raise TimeoutError(f"{wanted!r} was not heard")

    def ask(self):
        self.said += 1
        # Who says something is told what the others say, and must read it.
        self.speaker.setblocking(False)
        try:
            while self.speaker.recv(65536):
                pass
        except BlockingIOError:
            pass
        self.speaker.settimeout(PATIENCE)
        self.speaker.sendall(b"line %d\n" % self.said)
        self.hear(b"%s: line %d" % (self.name.encode(), self.said))

    def close(self):
        self.hearer.close()
        self.speaker.close()


def shake(stream, origin=None):
    """Opens a WebSocket; gives the status of the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection:"
        f" Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    )
    head += "Sec-WebSocket-Version: 13\r\n" + (f"Origin: {origin}\r\n" if origin else "") + "\r\n"
    stream.sendall(head.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        part = stream.recv(1)
        if not part:
            raise ConnectionError("closed")
        got += part
    return int(got.split()[1])


def ws_frame(payload, binary=False):
    mask, length = os.urandom(4), len(payload)
    head = bytes([0x82 if binary else 0x81])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack(">H", length)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", length)
    key = (mask * (length // 4 + 1))[:length]
    return (
        head
        + mask
        + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
    )


def ws_read(stream):
    while True:
        first, second = exactly(stream, 2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", exactly(stream, 2))
        elif length == 127:
            (length,) = struct.unpack(">Q", exactly(stream, 8))
        payload = exactly(stream, length)
        if first & 0x0F in (1, 2):
            return payload
        if first & 0x0F == 8:
            raise ConnectionError("closed")


class WsText:
    def __init__(self, address, source=SOURCE):
        self.stream = connect(address, source)
        shake(self.stream)
        self.say(name().encode(), b"success")
        self.say(b"put city Kolkata", b"done")

    def say(self, words, answer):
        self.stream.sendall(ws_frame(words))
        got = ws_read(self.stream)
        if got != answer:
            raise ValueError(f"{words!r} was answered by {got!r}")

    def ask(self):
        self.say(b"get city", b"Kolkata")

    def close(self):
        self.stream.close()


class WsPickle:
    def __init__(self, address, source=SOURCE):
        self.stream = connect(address, source)
        shake(self.stream)
        self.stream.sendall(ws_frame(name().encode()))

    def ask(self):
        requests = [
            {"method": "put", "key": "city", "value": "Kolkata"},
            {"method": "get", "key": "city"},
        ]
        self.stream.sendall(ws_frame(pickle.dumps(requests, 2), True))
        got = pickle.loads(ws_read(self.stream))
        if got != ["Successful", "Kolkata"]:
            raise ValueError(f"answered by {got!r}")

    def close(self):
        self.stream.close()


class Clock:
    def __init__(self, address, source=SOURCE):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.settimeout(1)
        self.socket.connect(address)

    def ask(self):
        # A datagram may be lost; the time that the next one takes counts all the same.
        for _ in range(5):
            self.socket.send(b"SEND_TIME")
            try:
                got = self.socket.recv(64)
            except TimeoutError:
                continue
            if not re.fullmatch(rb"\d\d:\d\d:\d\d", got):
                raise ValueError(f"answered by {got!r}")
            return
        raise TimeoutError("no answer")

    def close(self):
        self.socket.close()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


def h2_frame(kind, flags, stream, payload=b""):
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def header(key, value):
    """A literal header that is not indexed (RFC 7541, 6.2.2)."""

    def text(raw):
        return (bytes([len(raw)]) if len(raw) < 127 else b"\x7f" + varint(len(raw) - 127)) + raw

    return b"\0" + text(key) + text(value)


def varint(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number % 128 + 128]), number // 128
    return out + bytes([number])


def call(path, stream, message=b"", more=()):
    """The frames of a unary call."""
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]
    block = b"".join(header(key, value) for key, value in headers)
    body = b"\0" + struct.pack(">I", len(message)) + message
    parts = [body[at : at + 16384] for at in range(0, len(body), 16384)]
    data = b"".join(
        h2_frame(0, at == len(parts) - 1, stream, part) for at, part in enumerate(parts)
    )
    return h2_frame(1, 4, stream, block) + data


def string(number, text):
    """A string field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(text)) + text


class Grpc:
    """`ClockService.Now` over HTTP/2, made by hand: the standard library has neither."""

    def __init__(self, address, source=SOURCE):
        self.stream, self.id = connect(address, source), 1
        self.stream.sendall(PREFACE + SETTINGS)

    def ask(self, path=b"/kvrpc.v1.ClockService/Now", message=b""):
        sent, self.id = self.id, self.id + 2
        self.stream.sendall(call(path, sent, message))
        body = b""
        while True:
            head = exactly(self.stream, 9)
            length, (kind, flags, stream) = int.from_bytes(head[:3], "big"), struct.unpack(
                ">BBI", head[3:]
            )
            payload = exactly(self.stream, length)
            if kind == 4 and not flags & 1:
                self.stream.sendall(h2_frame(4, 1, 0))
            elif kind == 6 and not flags & 1:
                self.stream.sendall(h2_frame(6, 1, 0, payload))
            elif kind == 7 or (kind == 3 and stream == sent):
                raise ConnectionError("the call was refused")
            elif kind == 0 and stream == sent:
                body += payload
                self.stream.sendall(h2_frame(8, 0, 0, struct.pack(">I", max(length, 1))))
            if stream == sent and flags & 1 and kind in (0, 1):
                if len(body) < 5 + 10:
                    raise ValueError("the call failed")
                return body[5:]

    def close(self):
        self.stream.close()


CLIENTS = {
    "grpc": Grpc,
    "text": Text,
    "pickle": Pickle,
    "ws-pickle": WsPickle,
    "ws-text": WsText,
    "encode": Encode,
    "decode": Decode,
    "clock": Clock,
    "hello": Hello,
    "calc": Calc,
    "chat": Chat,
}

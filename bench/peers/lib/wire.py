"""Protobuf fields, gRPC frames and HTTP/2 frames, as far as the clients here write them."""


def varint(number):
    """A base-128 varint."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, data):
    """A field with a length: a string, bytes, or a message."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def number_field(number, value):
    """A field that is a number."""
    return varint(number << 3) + varint(value)


def frame(message):
    """A message as it stands in a gRPC body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def fields(message):
    """The fields of a message, as (number, value): bytes or a number."""
    at, out = 0, []

    def take():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = take()
        if tag & 7 == 0:
            out.append((tag >> 3, take()))
        elif tag & 7 == 2:
            length = take()
            out.append((tag >> 3, message[at : at + length]))
            at += length
        else:
            raise ValueError(f"wire type {tag & 7}")
    return out


def h2(kind, flags, stream, payload=b""):
    """An HTTP/2 frame (RFC 9113, section 4.1)."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def literal(name, value):
    """A header field that enters no table (RFC 7541, section 6.2.2), each length below 127."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def open_stream(authority, path, message, headers):
    """Bytes that open a call that stays open: preface, settings, headers, one message."""
    block = b"".join(
        literal(name, value)
        for name, value in {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": authority,
            "content-type": "application/grpc",
            "te": "trailers",
            **headers,
        }.items()
    )
    body = frame(message)
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2(4, 0, 0) + h2(1, 4, 1, block) + h2(0, 0, 1, body)
    )

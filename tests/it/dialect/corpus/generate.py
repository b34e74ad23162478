#!/usr/bin/env python3
"""Writes the inputs of the pickle tests beside this script, and the seeds of the fuzz targets.

`pickles.txt` has lists of requests as Python pickles them, `hostile.txt` pickles that must be
refused. Runs with Python 3.8 or later.

Lines are: case, protocol, pickler, bytes in hex; or: case, rule that refuses it, bytes in hex.
"""

import os
import pathlib
import pickle
import pickletools
import struct

HERE = pathlib.Path(__file__).parent
SEEDS = HERE.parents[3] / "fuzz" / "corpus"


def get(key):
    return {"method": "get", "key": key}


def put(key, value):
    return {"method": "put", "key": key, "value": value}


shared = "shared"
CASES = {
    "empty-list": [],
    "empty-tuple": (),
    "get": [get("city")],
    "put-get": [put("city", "Kolkata"), get("city")],
    "getother": [{"method": "getother", "username": "anuran", "key": "city"}],
    "upgrade": [{"method": "upgrade"}],
    "tuple-of-one": (put("a", "b"),),
    "tuple-of-two": (put("a", "b"), get("a")),
    "tuple-of-four": (put("a", "b"), get("a"), get("b"), get("a")),
    "any-case": [{"method": "PUT", "key": "a", "value": "b"}, {"method": "GeT", "key": "a"}],
    "latin-1": [put("stra\xdfe", "\xe9"), get("stra\xdfe")],
    "bmp": [
        put("\u0995\u09b2\u0995\u09be\u09a4\u09be", "\u20ac"),
        get("\u0995\u09b2\u0995\u09be\u09a4\u09be"),
    ],
    "astral": [put("\U0001f600", "a\U0001f600b"), get("\U0001f600")],
    "escapes": [put("k", "a\nb\\n\\u0041'\"\r\t\x1a\0\\"), get("k")],
    "long-value": [put("k", "v" * 300), get("k")],
    "shared-strings": [put(shared, shared), get(shared), put(shared, shared), get(shared)],
    "same-dict": [get("a")] * 3,
    "many": [get(str(n)) for n in range(1100)],
    "unknown-method": [{"method": "delete", "key": "a"}, put("a", "b")],
    "missing-fields": [
        {},
        {"method": "get"},
        {"method": "put", "key": "a"},
        {"method": "getother", "key": "a"},
    ],
    "numbers": [
        {"method": "get", "key": n}
        for n in (None, True, False, 1, 300, -70000, 1 << 40, 1 << 3000, 1.5)
    ],
    "other-keys": [
        {1: 2, None: "x", ("a", 1): [], "extra": {"a": ()}, "method": "get", "key": "a"}
    ],
    "nested": [[get("a")], ((), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "get", 5],
    "surrogate": [get("\ud800")],
    "bad-key": [get(""), get("a\tb"), get("k" * 1025)],
    "errors": [put("full", "x"), get("blob"), {"method": "getother", "username": "", "key": "a"}],
    "depth-8": [[[[[[[[]]]]]]]],
}
BYTES = [{"method": "get", "key": b"a"}, {"method": "get", "key": b"a" * 300}]
BYTEARRAY = [{"method": "get", "key": bytearray(b"a")}]

# Output of Python 2's two picklers: str where Python 3 has text, and memo indices from 1 in the C
# one.
PYTHON2 = {
    "put-get": [
        (
            "0-py",
            (
                b"(lp0\n(dp1\nS'method'\np2\nS'put'\np3\nsS'key'\np4\nS'city'\np5"
                b"\nsS'value'\np6\nS'Kolkata'\np7\nsa"
                b"(dp8\ng2\nS'get'\np9\nsg4\ng5\nsa."
            ),
        ),
        (
            "0-c",
            (
                b"(lp1\n(dp2\nS'method'\np3\nS'put'\np4\nsS'key'\np5\nS'city'\np6"
                b"\nsS'value'\np7\nS'Kolkata'\np8\nsa"
                b"(dp9\ng3\nS'get'\np10\nsg5\ng6\nsa."
            ),
        ),
        (
            "1-c",
            (
                b"]q\x01(}q\x02(U\x06methodq\x03U\x03putq\x04U\x03keyq\x05U\x04cityq\x06U"
                b"\x05valueq\x07U\x07Kolkataq\x08u"
                b"}q\x09(h\x03U\x03getq\x0ah\x05h\x06ue."
            ),
        ),
        (
            "2-py",
            (
                b"\x80\x02]q\x00(}q\x01(U\x06methodq\x02T\x03\x00\x00\x00putq\x03U"
                b"\x03keyq\x04U\x04cityq\x05U\x05valueq\x06"
                b"U\x07Kolkataq\x07u}q\x08(h\x02U\x03getq\x09h\x04h\x05ue."
            ),
        ),
    ],
    "escapes": [
        (
            "0-py",
            (
                b"(lp0\n(dp1\nS'method'\np2\nS'put'\np3\nsS'key'\np4\nS'k'\np5\nsS'value'\np6\n"
                b"S'a\\nb\\\\n\\\\u0041\\'\"\\r\\t\\x1a\\x00\\\\'\np7\nsa(dp8\ng2\nS'get'"
                b"\np9\nsg4\ng5\nsa."
            ),
        ),
    ],
    "latin-1": [
        (
            "0-py",
            (
                b"(lp0\n(dp1\nS'method'\nS'put'\nsS'key'\nS'stra\\xc3\\x9fe'\nsS'value'\nV\xe9\nsa"
                b'(dp2\nS"method"\nS"get"\nsS\'key\'\nVstra\\u00dfe\nsa.'
            ),
        ),
    ],
    "astral": [
        (
            "0-narrow",
            (
                b"(lp0\n(dp1\nVmethod\nVput\nsVkey\nV\\ud83d\\ude00\nsVvalue\nVa\\U0001f600b\nsa"
                b"(dp2\nVmethod\nVget\nsVkey\nV\\ud83d\\ude00\nsa."
            ),
        ),
    ],
    "surrogate": [("0-bytes", b"(lp0\n(dp1\nS'method'\nS'get'\nsS'key'\nS'\\xff'\nsa.")],
}


class Run:
    """Pickles as a call of os.system."""

    def __reduce__(self):
        return os.system, ("echo owned",)


class State:
    """Pickles as NEWOBJ and BUILD."""

    def __init__(self):
        self.a = 1


class Persistent(pickle.Pickler):
    def persistent_id(self, value):
        return value if value == "pid" else None


def persistent(protocol):
    import io

    out = io.BytesIO()
    Persistent(out, protocol).dump([get("pid")])
    return out.getvalue()


def text(words):
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def laughs():
    """Ten lists of ten lists ..., each by the memo: twelve levels, ten to the twelfth leaves."""
    out = b"\x80\x02" + text("ha") + b"q\x000"
    for level in range(12):
        out += (
            b"]("
            + bytes([ord("h"), level]) * 10
            + b"eq"
            + bytes([level + 1])
            + (b"0" if level < 11 else b"")
        )
    return out + b"."


def hostile():
    call = b"c__builtin__\neval\n(S'1'\ntR."
    cycle = []
    cycle.append(cycle)
    dict_cycle = get("a")
    dict_cycle["self"] = dict_cycle
    tuple_cycle = ([],)
    tuple_cycle[0].append(tuple_cycle)
    for protocol in range(6):
        yield f"reduce-{protocol}", "opcode", pickle.dumps([Run()], protocol)
        yield f"build-{protocol}", "opcode", pickle.dumps([get("a"), State()], protocol)
        yield f"set-{protocol}", "opcode", pickle.dumps([{1, 2}], protocol)
        yield f"list-in-itself-{protocol}", "nested", pickle.dumps(cycle, protocol)
        yield f"dict-in-itself-{protocol}", "nested", pickle.dumps([dict_cycle], protocol)
        yield f"tuple-in-itself-{protocol}", "nested", pickle.dumps(tuple_cycle, protocol)
        deep = []
        for _ in range(8):
            deep = [deep]
        yield f"depth-9-{protocol}", "nested", pickle.dumps(deep, protocol)
        yield f"values-{protocol}", "values", pickle.dumps([None] * 10_000, protocol)
        yield f"no-list-{protocol}", "malformed", pickle.dumps("get", protocol)
        yield f"dict-alone-{protocol}", "malformed", pickle.dumps(get("a"), protocol)
        if protocol:
            yield f"persistent-{protocol}", "opcode", persistent(protocol)
    yield "bytes-by-a-call", "opcode", pickle.dumps(BYTES, 2)
    yield "class", "opcode", pickle.dumps([State], 2)
    yield "function", "opcode", pickle.dumps([os.system], 4)
    yield "global", "opcode", call
    yield "global-first", "opcode", b"\x80\x02" + call
    yield "stack-global", "opcode", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."
    yield "inst", "opcode", b"(S'id'\nios\nsystem\n."
    yield "obj", "opcode", b"(S'os'\nS'id'\no."
    yield "newobj", "opcode", b"\x80\x02)\x81."
    yield "newobj-ex", "opcode", b"\x80\x04)}\x92."
    yield "build", "opcode", b"\x80\x02}}b."
    yield "reduce-alone", "opcode", b"\x80\x02)R."
    yield "ext1", "opcode", b"\x80\x02\x82\x01."
    yield "ext2", "opcode", b"\x80\x02\x83\x01\x00."
    yield "ext4", "opcode", b"\x80\x02\x84\x01\x00\x00\x00."
    yield "persid", "opcode", b"Pid\n."
    yield "binpersid", "opcode", b"]Q."
    yield "next-buffer", "opcode", b"\x80\x05\x97."
    yield "readonly-buffer", "opcode", b"\x80\x05\x98."
    yield "dup", "opcode", b"\x80\x02]2."
    yield "dup-bomb", "opcode", b"\x80\x02]" + b"2a" * 20_000 + b"."
    yield "unknown", "opcode", b"\x80\x02\xff."
    yield "text", "opcode", b"GET / HTTP/1.1\r\n\r\n"
    yield "laughs", "nested", laughs()
    yield "lists-in-lists", "nested", b"\x80\x02" + b"]" * 5_000 + b"a" * 4_999 + b"."
    yield "tuples-in-tuples", "nested", b"\x80\x02)" + b"\x85" * 9_000 + b"."
    yield "tuples-in-tuples-by-marks", "nested", b"(" * 30_000 + b"t" * 30_000 + b"."
    yield "dicts-in-dicts", "nested", b"\x80\x02" + b"}K\x01" * 3_000 + b"N" + b"s" * 3_000 + b"."
    yield "marks", "nested", b"(" * 65_000
    yield "list-and-dict-in-each-other", "nested", b"\x80\x02]q\x00}q\x01K\x01h\x00sa."
    yield "lists", "values", b"]" * 65_000
    yield "memo-reads", "values", b"\x80\x02]q\x00(" + b"h\x00" * 30_000 + b"e."
    yield "memoize", "values", b"\x80\x04]" + b"\x94" * 60_000 + b"."
    yield "pops", "values", b"N0" * 30_000
    yield "key-a-list", "malformed", b"\x80\x02]}]Nsa."
    yield "key-a-dict", "malformed", b"\x80\x02]}}Nsa."
    yield "memo-empty", "malformed", b"\x80\x02h\x00."
    yield "memo-index-negative", "malformed", b"]p-1\n."
    yield "memo-index-long", "malformed", b"]p" + b"9" * 5_000 + b"\n."
    yield "memo-index-no-number", "malformed", b"]px\n."
    yield "stop-on-nothing", "malformed", b"."
    yield "stop-on-two", "malformed", b"]]."
    yield "stop-under-a-mark", "malformed", b"](."
    yield "pop-nothing", "malformed", b"0."
    yield "pop-mark-without-mark", "malformed", b"]1."
    yield "append-to-nothing", "malformed", b"Na."
    yield "append-to-a-tuple", "malformed", b")Na."
    yield "append-to-a-dict", "malformed", b"}Na."
    yield "append-under-the-mark", "malformed", b"](Na."
    yield "appends-without-mark", "malformed", b"]Ne."
    yield "item-of-a-list", "malformed", b"]NNs."
    yield "items-odd", "malformed", b"}(Nu."
    yield "dict-odd", "malformed", b"(Nd."
    yield "tuple-of-too-few", "malformed", b"N\x87."
    yield "tuple-under-the-mark", "malformed", b"N(\x85."
    yield "protocol-6", "malformed", b"\x80\x06]."
    yield "protocol-255", "malformed", b"\x80\xff]."
    yield "not-utf-8", "malformed", b"](X\x01\x00\x00\x00\xffe."
    yield "overlong-utf-8", "malformed", b"](X\x02\x00\x00\x00\xc0\x80e."
    yield "escape-too-high", "malformed", b"(V\\U00110000\nl."
    yield "escape-cut", "malformed", b"(V\\u12\nl."
    yield "escape-no-hex", "malformed", b"(V\\u+123\nl."
    yield "quote-missing", "malformed", b"(S'abc\nl."
    yield "quote-alone", "malformed", b"(S'\nl."
    yield "quotes-missing", "malformed", b"(S\nl."
    yield "quote-escaped", "malformed", b"(S'\\'\nl."
    yield "text-of-4-gib", "long", b"]X\xff\xff\xff\xff"
    yield "text-of-64-kib-and-1", "long", b"]X\x01\x00\x01\x00"
    yield "text-of-the-most", "long", b"\x80\x04\x8d" + b"\xff" * 8
    yield "string-negative", "long", b"]T\xff\xff\xff\xff"
    yield "bytes-of-the-most", "long", b"\x80\x04\x8e" + b"\xff" * 8
    yield "bytearray-of-the-most", "long", b"\x80\x05\x96" + b"\xff" * 8
    yield "frame-of-the-most", "long", b"\x80\x04\x95" + b"\xff" * 8
    yield "frame-of-1-mib", "long", b"\x80\x04\x95" + struct.pack("<Q", 1 << 20)
    yield "long4-of-2-gib", "long", b"\x8b\xff\xff\xff\x7f"
    yield "long4-negative", "long", b"\x8b\xff\xff\xff\xff"
    yield "int-without-end", "long", b"I" + b"9" * 65_600
    yield "line-without-end", "long", b"(V" + b"a" * 65_600
    yield "get-without-end", "long", b"g" + b"0" * 65_600
    yield "texts-over-the-limit", "long", b"](" + text("x" * 60_000) + text("y" * 10_000)
    yield "frames", "long", b"\x80\x04" + (b"\x95" + bytes(8)) * 8_000


def dumps():
    for case, requests in CASES.items():
        for protocol in range(6):
            yield case, protocol, "c", pickle.dumps(requests, protocol)
            yield case, protocol, "python", pickle._dumps(requests, protocol)
            yield (
                case,
                protocol,
                "optimized",
                pickletools.optimize(pickle.dumps(requests, protocol)),
            )
        for pickler, data in PYTHON2.get(case, []):
            yield case, pickler[0], pickler, data
    for protocol in range(3, 6):
        yield "bytes", protocol, "c", pickle.dumps(BYTES, protocol)
    yield "bytearray", 5, "c", pickle.dumps(BYTEARRAY, 5)


def seed(target, name, data):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


# Small targets, by hand: the first byte says how the rest is cut.
WORDS = {
    "ws-text": [
        b"\nput a b\nget a\nget anuran city\nupgrade\nget anuran city\nq",
        b"\n\nget\nput a\nget blob\n\xff",
    ],
    "encode": [
        b"\x03\0\0\0\x04comm\0\0\0\0",
        b"\xff\0\x01\0\x01",
        b"\x02\xff\xff\xff\xff",
        b"\x09\0\0\0\x01\xff",
    ],
    "decode": [b"\x05\0\0\0\x0801100011", b"\x05\0\0\0\x0501 21", b"\x05\0\0\0\x0811111111"],
    "clock": [b"\0SEND_DATE", b"\0SEND_TIME", b"\0Ok", b"\0" + b"2026-11-21", b"\0x"],
    "hello": [b"\x04knock knock\nknock", b"\xffknock"],
    "calc": [b"\x03bob\n12 + 13\n1 / 0\nq\n", b"\x07bob\n1e308 * 10\n-.5 / 1e-320\n"],
    "chat": [b"\x03taken\nbob\nhi\nflood\nquit\n", b"\x80bob"],
    "text": [
        (
            b"\x05put city Kolkata\nget city\nbad command\nauth adam wrong\nauth adam bill\nmanage"
            b" 48106 get city\n"
        ),
        b"\x80put city New Delhi",
        b"\x10POST / HTTP/1.1\r\nHost: x\r\n\r\nput a b\n",
        b"\x07put a b get a get b\r\n",
    ],
}


def main():
    table = [
        f"{case} {protocol} {pickler} {data.hex()}\n"
        for case, protocol, pickler, data in dumps()
        if case != "many"
    ]
    table += [f"many 4 c {pickle.dumps(CASES['many'], 4).hex()}\n"]
    (HERE / "pickles.txt").write_text("".join(table))
    bombs = list(hostile())
    (HERE / "hostile.txt").write_text(
        "".join(f"{name} {why} {squeeze(data)}\n" for name, why, data in bombs)
    )
    for target in ("pickle", "ws-pickle"):
        # Cut bytes 0x40 and 0xfe: pieces of 64 bytes, and of 254 with pauses; on WebSocket the
        # byte that ends a message.
        for case, protocol, _, data in dumps():
            if case in ("put-get", "nested", "numbers", "escapes", "astral"):
                seed(
                    target,
                    f"{case}-{protocol}",
                    b"\x40" + (b"bob" if target == "pickle" else b"") + data,
                )
    for name, _, data in bombs:
        if len(data) < 300:
            seed("pickle", name, b"\xfebob" + data)
    for target, seeds in WORDS.items():
        for number, data in enumerate(seeds):
            seed(target, f"seed-{number}", data)


def squeeze(data):
    """Hex, with a run of one byte, or of a few bytes in turn, as `unit*count,`.

    Keeps long inputs short.
    """
    out, at = [], 0
    while at < len(data):
        width, count = max(
            ((w, run(data, at, w)) for w in (1, 2, 9)), key=lambda found: found[0] * found[1]
        )
        if width * count > 32:
            out.append(f",{data[at:at + width].hex()}*{count},")
            at += width * count
        else:
            out.append(data[at : at + 1].hex())
            at += 1
    return "".join(out)


def run(data, at, width):
    unit, count = data[at : at + width], 1
    while len(unit) == width and data[at + count * width : at + (count + 1) * width] == unit:
        count += 1
    return count


if __name__ == "__main__":
    main()

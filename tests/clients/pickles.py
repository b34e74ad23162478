"""What the clients of both pickle dialects ask, and how they read a reply."""

import io
import pickle
import sys


class Executable:
    """What pickles to a call of a function."""

    def __reduce__(self):
        return (sys.exit, ("a pickle ran",))


def read(what, reply):
    """The list in a reply, which must be one pickle of protocol 2 and nothing else."""
    if not reply.startswith(b"\x80\x02"):
        sys.exit(f"{what}: got {reply!r}, expected a pickle of protocol 2")
    stream = io.BytesIO(reply)
    strings = pickle.Unpickler(stream).load()
    if stream.read():
        sys.exit(f"{what}: got {reply!r}, expected no byte after the pickle")
    return strings


def get(key):
    """A request for a value of one's own."""
    return {"method": "get", "key": key}


def put(key, value):
    """A request that sets a value of one's own."""
    return {"method": "put", "key": key, "value": value}


def get_other(user, key):
    """A request for a value of another user."""
    return {"method": "getother", "username": user, "key": key}


UPGRADE = {"method": "upgrade"}


def session(me, other, policy):
    """Requests with their replies, in order; `other` has x = y, and nobody is called `nobody`."""
    yield [get("city")], ["Invalid key"]
    yield [put("city", "Kolkata")], ["Successful"]
    yield [get("city")], ["Kolkata"]
    yield (
        get("city"),
        {"method": "PUT", "key": "a", "value": "\u0986"},
        {"method": "Get", "key": "a"},
    ), [
        "Kolkata",
        "Successful",
        "\u0986",
    ]
    yield [], []
    yield [get_other(me, "city"), get_other(me, "x")], ["Kolkata", "Invalid key"]
    yield [get_other(other, "x"), get_other("nobody", "x")], ["Access Denied", "Access Denied"]
    yield [
        {"method": "dance"},
        {"key": "city"},
        {"method": "get"},
        {"method": "get", "key": 5},
        {"method": "put", "key": "city"},
        {"method": "getother", "key": "city"},
        {"method": None},
        ["method"],
        get("city"),
    ], ["Illegal request"] * 8 + ["Kolkata"]
    yield [get("k" * 1025)], ["Error: key has 1025 bytes; at most 1,024 are allowed"]
    if policy == "managers":
        yield [UPGRADE, get_other(other, "x")], ["Access Denied", "Access Denied"]
        return
    yield [UPGRADE, UPGRADE], ["mode change successfull", "mode change successfull"]
    yield [get_other(other, "x"), get_other(other, "z"), get_other("nobody", "x")], [
        "y",
        "Invalid key",
        "Invalid username",
    ]
    # Who made itself a manager reads no account's store.
    yield [get_other("adam", "x")], ["Access Denied"]


# What ends a connection, after the one reply.
REFUSED = [
    pickle.dumps([Executable()], protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
] + [
    b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00true\x85R.",
    pickle.dumps({"method": "get", "key": "a"}, 2),
    pickle.dumps([put("a", "x" * 70_000)], 2),
    pickle.dumps([[[[[[[[[[]]]]]]]]]], 2),
    b"\x80\x02e.",
]

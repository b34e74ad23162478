#!/usr/bin/env python3
"""Client of the dialect `pickle`.

Usage: pickle_client.py HOST:PORT [--wait 5] [--policy managers]
The server has the account `adam`.
"""

import pickle

import pickles
from old_client import Client, arguments, done, expect, think

ME, OTHER = "rwitick.pickle", "anuran.pickle"


def ask(client, requests, protocol, wanted):
    """One list of requests, one list of strings."""
    what = f"reply to {requests!r} in protocol {protocol}"[:200]
    client.send(pickle.dumps(requests, protocol))
    expect(what, pickles.read(what, client.receive(what)), wanted)


def two_people(options):
    """The documented session, in every protocol in turn."""
    other, client = Client(options), Client(options)
    think(options)
    other.send(OTHER.encode())
    client.send(ME.encode())
    think(options)
    ask(other, [pickles.put("x", "y")], 2, ["Successful"])
    for number, (requests, replies) in enumerate(pickles.session(ME, OTHER, options.policy)):
        ask(client, requests, number % (pickle.HIGHEST_PROTOCOL + 1), replies)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        ask(client, [pickles.get("city")], protocol, ["Kolkata"])
    return other, client


def in_pieces(options, client):
    """One pickle in several segments; the name and several pickles in one."""
    whole = pickle.dumps([pickles.get("city")], 2)
    client.send(whole[:10])
    think(options)
    client.send(whole[10:])
    expect("reply to a pickle in pieces", pickles.read("pieces", client.receive()), ["Kolkata"])
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        together = Client(options)
        first, second = ([pickles.put("a", str(protocol))], [pickles.get("a")])
        together.send(
            b"together.pickle%d" % protocol
            + pickle.dumps(first, protocol)
            + pickle.dumps(second, protocol)
        )
        wanted = reply_bytes("Successful") + reply_bytes(str(protocol))
        expect(f"two pickles at once in protocol {protocol}", together.rest(), wanted)


def reply_bytes(text):
    """A list of one string as the server writes it: protocol 2, MARK, the string, APPENDS."""
    return b"\x80\x02](X" + len(text).to_bytes(4, "little") + text.encode() + b"e."


def refused(options):
    """Names that cannot be had, and pickles that are none."""
    for name in [ME, ME.upper(), "5", "a\tb", "adam"]:
        client = Client(options)
        client.send(name.encode() + pickle.dumps([pickles.get("city")], 2))
        expect(f"the name {name!r}", pickles.read(name, client.receive()), ["Invalid username"])
        client.expect_closed(f"the name {name!r}")
    for number, pickled in enumerate(pickles.REFUSED):
        client = Client(options)
        client.send(b"refused.pickle%d" % number + b"\n" + pickle.dumps([pickles.put("a", "b")], 2))
        expect("before it", pickles.read("before it", client.receive()), ["Successful"])
        client.send(pickled)
        expect(
            f"reply to {pickled[:80]!r}",
            pickles.read("refusal", client.receive()),
            ["Illegal request"],
        )
        client.expect_closed(f"{pickled[:80]!r}")


def main():
    """All of them."""
    options = arguments(__doc__)
    other, client = two_people(options)
    in_pieces(options, client)
    refused(options)
    # None of that was the end of those who were there before.
    ask(other, [pickles.get("x")], 2, ["y"])
    ask(client, [pickles.get("city")], 2, ["Kolkata"])
    done("pickle")


if __name__ == "__main__":
    main()

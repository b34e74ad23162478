#!/usr/bin/env python3
"""Client of the dialect `ws-pickle`.

Usage: ws_pickle_client.py HOST:PORT [--wait 5] [--policy managers]
Needs the package websockets. The server has the account `adam`.
"""

import pickle

import pickles
from old_client import arguments, done, expect, think
from web_socket import WebSocket

ME, OTHER = "rwitick.ws-pickle", "anuran.ws-pickle"


def ask(client, requests, protocol, wanted):
    """One list of requests, one list of strings in a binary message."""
    what = f"answer to {requests!r} in protocol {protocol}"[:200]
    client.send(pickle.dumps(requests, protocol))
    expect(what, read(what, client.receive(what)), wanted)


def read(what, answer):
    """The list in a binary message."""
    expect(f"{what}, the kind of message", type(answer), bytes)
    return pickles.read(what, answer)


def two_people(options):
    """The documented session, in every protocol in turn."""
    other, client = WebSocket(options), WebSocket(options)
    think(options)
    other.send(OTHER)
    client.send(ME)
    think(options)
    ask(other, [pickles.put("x", "y")], 2, ["Successful"])
    for number, (requests, replies) in enumerate(pickles.session(ME, OTHER, options.policy)):
        ask(client, requests, number % (pickle.HIGHEST_PROTOCOL + 1), replies)
    return other, client


def refused(options):
    """Names that cannot be had, pickles that are none, and a pickle where a name should be."""
    request = pickle.dumps([pickles.get("city")], 2)
    for name in [ME, ME.upper(), "5", "a\tb", "adam", ""]:
        client = WebSocket(options)
        client.send(name)
        client.send(request)
        expect(f"the name {name!r}", read(name, client.receive()), ["Invalid username"])
        client.expect_closed(f"the name {name!r}")
    client = WebSocket(options)
    client.send(request)
    expect("a pickle first", read("a pickle first", client.receive()), ["Invalid username"])
    client.expect_closed("a pickle first")
    for number, pickled in enumerate([*pickles.REFUSED, request + request, request[:-1], b""]):
        client = WebSocket(options)
        client.send(f"refused.ws-pickle{number}")
        client.send(pickled)
        expect(
            f"answer to {pickled[:80]!r}", read("refusal", client.receive()), ["Illegal request"]
        )
        client.expect_closed(f"{pickled[:80]!r}", 1009 if len(pickled) > 65_536 else 1000)


def main():
    """All of them."""
    options = arguments(__doc__)
    other, client = two_people(options)
    refused(options)
    # None of that was the end of those who were there before.
    ask(other, [pickles.get("x")], 2, ["y"])
    ask(client, [pickles.get("city")], 2, ["Kolkata"])
    done("ws-pickle")


if __name__ == "__main__":
    main()

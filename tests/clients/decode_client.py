#!/usr/bin/env python3
"""A client of the dialect `decode`. Usage: decode_client.py HOST:PORT [--wait 5]"""

from frames import Frames, ends, frame
from old_client import arguments, done, think

COMM = "01100011 01101111 01101101 01101101"


def main():
    """The documented session."""
    options = arguments(__doc__)
    client = Frames(options)
    think(options)
    client.ask_frame(frame(COMM), "comm")
    for bits, text in [
        # The space that the old server put after the last group comes back as it went.
        (COMM + " ", "comm"),
        ("1100011", "c"),
        ("1", "\x01"),
        ("11000011 10101001", "\u00e9"),
        # Not UTF-8: one character per byte.
        ("11111111 01100001", "\u00ffa"),
    ]:
        client.ask_frame(frame(bits), text)
    for bits, number, fault in [
        ("01100011 2", 2, "2"),
        ("011000110", 1, "011000110"),
        ("1  hello", 2, "hello"),
    ]:
        wanted = f'error: group {number} of bits is "{fault}"; a group is 1 to 8 of 0 and 1'
        client.ask_frame(frame(bits), wanted)
        # The session goes on.
        client.ask_frame(frame(COMM), "comm")
    ends(options, COMM, "comm")
    done("decode")


if __name__ == "__main__":
    main()

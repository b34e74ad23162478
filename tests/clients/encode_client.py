#!/usr/bin/env python3
"""A client of the dialect `encode`. Usage: encode_client.py HOST:PORT [--wait 5]"""

from frames import Frames, ends, frame
from old_client import arguments, done, think

COMM = "01100011 01101111 01101101 01101101"


def main():
    """The documented session."""
    options = arguments(__doc__)
    client = Frames(options)
    think(options)
    client.ask_frame(frame("comm"), COMM)
    think(options)
    client.ask_frame(frame(" a"), "00100000 01100001")
    # A client that counts bytes: each of them is eight bits.
    client.ask_frame(b"\0\0\0\x02\xc3\xa9", "11000011 10101001")
    # In pieces.
    client.send(frame("comm")[:3])
    think(options)
    client.send(frame("comm")[3:])
    client.expect_frame(b"comm in pieces", COMM)
    ends(options, "comm", COMM)
    done("encode")


if __name__ == "__main__":
    main()

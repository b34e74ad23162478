#!/usr/bin/env python3
"""A client of the dialect `calc`. Usage: calc_client.py HOST:PORT [--wait 5]"""

from old_client import Client, arguments, done, think

INVALID = b"Invalid expression"


def main():
    """A name, calculations, the end; another client stays."""
    options = arguments(__doc__)
    client, other = Client(options), Client(options)
    think(options)
    client.send(b"anuran")
    other.send(b"anuran")
    think(options)
    for expression, result in [
        (b"12 + 13", b"25.0"),
        (b"3.24 - 45", b"-41.76"),
        (b"4.5 / -6", b"-0.75"),
        (b"2 * 8", b"16.0"),
        (b"0.1 + 0.2", b"0.30000000000000004"),
        (b"10000000000 * 10000000", b"1e+17"),
        (b"1 / 3", b"0.3333333333333333"),
        (b"1 / 0", b"Division by zero"),
        (b"0 / 0", b"Division by zero"),
        (b"one + two", INVALID),
        (b"12+13", INVALID),
        (b"12 +", INVALID),
        (b"1 + 2 + 3", INVALID),
        (b"2 ^ 3", INVALID),
        (b"nan + 1", INVALID),
        (b"inf + 1", INVALID),
        (b"1e308 * 10", INVALID),
        (b"\xff", INVALID),
        (b"12 + 13\n", b"25.0\n"),
    ]:
        client.ask(expression, result)
    client.send(b"q\n")
    client.expect_closed("q")
    other.ask(b"2 * 8", b"16.0")
    done("calc")


if __name__ == "__main__":
    main()
